//! The seam to an MCP framework: what its context of a call can do.

use strongroom_model::ports::BoxFuture;

/// What the context of a call can do. A binding implements it over what the framework hands out:
/// `info(text)` or `log.info(text)`, and `elicit(...)`.
pub trait Context: Send + Sync {
    /// Tells the client something, where it listens. What fails is of no matter.
    fn info<'a>(&'a self, text: &'a str) -> BoxFuture<'a, ()>;

    /// Whether the client can be asked at all, as far as is known beforehand. Where it cannot, no
    /// window is opened only to be closed again.
    fn elicits(&self) -> bool {
        true
    }

    /// Asks the client, and waits for what it says. Dropping the future gives the question up.
    fn elicit<'a>(&'a self, question: &'a Elicitation) -> BoxFuture<'a, Elicited>;
}

/// A question to the client. Its text may have a code in it, which only the client shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Elicitation {
    /// The text.
    pub message: String,
    /// The answers to choose from, as a single choice of texts; none where accepting is the answer.
    pub choices: &'static [&'static str],
}

impl std::fmt::Debug for Elicitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elicitation").field("choices", &self.choices).finish_non_exhaustive()
    }
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elicited {
    /// It was accepted with this answer: the text as it came, and `None` where there was none or it
    /// was no text (a list, a number, null). A binding neither trims nor repairs it.
    Accepted(Option<String>),
    /// It was declined.
    Declined,
    /// It was cancelled.
    Cancelled,
    /// The client, or the framework, has no way to ask.
    Unsupported,
    /// The client is gone, or its answer cannot be understood.
    Gone,
}
