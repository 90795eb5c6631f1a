//! Asking a person outside the agent's channel, by a window.

use std::sync::Arc;

use super::{BoxFuture, Purpose};
use crate::approval::{Answer, Question};
use crate::principal::Name;
use crate::reference::SecretRef;

/// What came of a window with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It was answered; closing it is a no.
    Answered(Answer),
    /// The code that had to be typed was not typed, three times.
    WrongCode,
    /// It could not be shown, or was not looked at in time.
    Not,
}

/// A verification code, drawn for one question: it stands in the window, in the client's prompt, and nowhere
/// else.
pub trait Verification: Send + Sync {
    /// The code as people see it. Whoever writes it anywhere else than there gives it away.
    fn shown(&self) -> String;

    /// Whether `typed` is this code.
    fn is(&self, typed: &str) -> bool;
}

/// The window program.
pub trait Dialog: Send + Sync {
    /// Whether a window can be shown now, as far as is known without showing one. Cheap.
    fn is_there(&self) -> bool;

    /// A new code for one question; `None`: none can be drawn.
    fn code(&self) -> Option<Arc<dyn Verification>>;

    /// Shows `question`, as soon as no other window of this user is open. `session`: yes can be said for
    /// the session too. `code` is what the agent's client shows; where the question says so it is asked
    /// for and not shown.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the window.
    fn consent<'a>(
        &'a self,
        question: &'a Question,
        session: bool,
        code: Option<&'a dyn Verification>,
    ) -> BoxFuture<'a, Shown>;
}

/// Secrets that something needs and that may not be stored.
#[derive(Clone, Copy, Debug)]
pub struct Lack<'a> {
    /// What needs them.
    pub purpose: Purpose<'a>,
    /// Whose call it is; `None`: no agent's.
    pub principal: Option<&'a Name>,
    /// What each of them is to it, and where it would be stored.
    pub places: &'a [(&'a str, &'a SecretRef)],
}

/// Asks a person for secrets that are not stored, and stores them.
pub trait Lacking: Send + Sync {
    /// Asks for those of `lack` that are not stored, each for this use alone; says whether all are
    /// stored now. Of all who lack the same, in all processes, one asks and the others wait for it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the window; nothing is stored then.
    fn supply<'a>(&'a self, lack: Lack<'a>) -> BoxFuture<'a, bool>;
}
