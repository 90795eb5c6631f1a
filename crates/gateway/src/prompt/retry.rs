//! Asking in the modern era: the call ends with `input_required`, and comes again with the answer.
//!
//! What goes with it, the `requestState`, is the client's to keep and ours to believe: it is a tag, under
//! a key that this process drew, over the principal, the question and the request that it is about. One
//! that is not ours, or another's, or too old, begins the round anew.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_model::approval::{PATIENCE, Question};
use strongroom_model::ports::{BoxFuture, Prompt, Prompted, Verification};
use strongroom_seal::{Key, MacKey};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::{form, prompted};

/// Asks by ending the call.
pub(crate) struct RetryPrompt {
    /// What the client came back with: the state, and the answer to our question as written.
    given: Option<(String, String)>,
    unanswered: Mutex<Option<Unanswered>>,
}

/// A question that the client has to show.
pub(crate) struct Unanswered {
    /// The parameters of `elicitation/create`.
    pub(crate) params: Vec<u8>,
    /// What the client has to bring back.
    pub(crate) state: String,
}

impl RetryPrompt {
    /// A prompt of a call that came with `state` and with `response` to our question, if it came so.
    pub(crate) fn new(state: Option<String>, response: Option<String>) -> Self {
        Self { given: state.zip(response), unanswered: Mutex::default() }
    }

    /// The question that was to be asked, if one was.
    pub(crate) fn take(&self) -> Option<Unanswered> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Prompt for RetryPrompt {
    fn ask<'a>(
        &'a self,
        id: &'a str,
        question: &'a Question,
        session: bool,
        code: Option<&'a dyn Verification>,
    ) -> BoxFuture<'a, Prompted> {
        Box::pin(async move {
            let Some(key) = &*KEY else { return Prompted::Unable };
            let now = BEGUN.elapsed().as_millis();
            if let Some((state, response)) = &self.given
                && let Some(shown) = shown_at(key, state, id, question, now)
            {
                let elapsed = u64::try_from(now - shown).unwrap_or(u64::MAX);
                return match prompted(response, question, session) {
                    Prompted::Answered(answer) => {
                        Prompted::Brought(answer, Duration::from_millis(elapsed))
                    }
                    other => other,
                };
            }
            let mut params = Vec::with_capacity(1024);
            form(&mut params, question, session, code);
            let state = seal(key, id, question, now + PATIENCE.as_millis());
            let unanswered = Unanswered { params, state };
            *self.unanswered.lock().unwrap_or_else(PoisonError::into_inner) = Some(unanswered);
            Prompted::Later
        })
    }
}

/// Of this process alone: a state of another one begins the round anew.
static KEY: LazyLock<Option<MacKey>> =
    LazyLock::new(|| Some(Key::generate().ok()?.mac("strongroom request state")));

static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

fn seal(key: &MacKey, id: &str, question: &Question, until: u128) -> String {
    let until = until.to_be_bytes();
    URL_SAFE_NO_PAD.encode([&until[..], &tag(key, id, question, until)].concat())
}

/// When the question was shown, if the state is ours, of this question, and not too old.
fn shown_at(key: &MacKey, state: &str, id: &str, question: &Question, now: u128) -> Option<u128> {
    let bytes = URL_SAFE_NO_PAD.decode(state).ok()?;
    let (until, found) = bytes.split_first_chunk::<16>()?;
    let same = found.ct_eq(&tag(key, id, question, *until));
    let until = u128::from_be_bytes(*until);
    // What was sealed in this process was sealed before now.
    let shown = until.checked_sub(PATIENCE.as_millis()).filter(|shown| *shown <= now)?;
    (bool::from(same) && now < until).then_some(shown)
}

fn tag(key: &MacKey, id: &str, question: &Question, until: [u8; 16]) -> [u8; 32] {
    key.tag(&[
        question.principal.as_str().as_bytes(),
        id.as_bytes(),
        question.digest().bytes(),
        &until,
    ])
}
