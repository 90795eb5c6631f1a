//! What a function came to, as JavaScript gets it.

use napi::bindgen_prelude::Either5;
use napi_derive::napi;
use strongroom_sdk::{Error, Notice, Secret};

use crate::surroundings::Notices;

/// A value, or an error: never both.
#[napi(object, object_from_js = false)]
pub struct Outcome {
    /// What was found.
    pub value: Option<Value>,
    /// The stable name of the error.
    pub code: Option<String>,
    /// The error for people, or what is said about a value.
    pub message: Option<String>,
    /// What a person should know since the last time.
    pub notices: Vec<Told>,
}

/// What may be found.
pub(crate) type Value = Either5<bool, u32, String, Vec<String>, Vec<Answered>>;

/// An answer that a window took.
#[napi(object, object_from_js = false)]
pub struct Answered {
    /// The field.
    pub name: String,
    /// What was typed.
    pub value: String,
}

/// Something that stops nothing.
#[napi(object, object_from_js = false)]
pub struct Told {
    /// The stable name of what it is about.
    pub code: String,
    /// The text, one line.
    pub text: String,
}

impl Outcome {
    /// What `done` is in JavaScript; `value` says how its value is shown.
    pub(crate) fn of<T>(
        notices: &Notices,
        done: Result<T, Error>,
        value: impl FnOnce(T) -> Option<Value>,
    ) -> Self {
        let (value, code, message) = match done {
            Ok(done) => (value(done), None, None),
            Err(error) => (None, Some(error.code().to_owned()), Some(error.text())),
        };
        Self { value, code, message, notices: notices.take().into_iter().map(told).collect() }
    }

    /// A yes or a no with its words.
    pub(crate) fn said(notices: &Notices, (ok, text): (bool, String)) -> Self {
        let outcome = Self::of(notices, Ok(ok), |ok| Some(Either5::A(ok)));
        Self { message: Some(text), ..outcome }
    }
}

/// The way out: from here on JavaScript has the value.
pub(crate) fn shown(secret: &Secret) -> String {
    String::from_utf8_lossy(secret.expose()).into_owned()
}

fn told(notice: Notice) -> Told {
    Told { code: notice.code.to_owned(), text: notice.text }
}
