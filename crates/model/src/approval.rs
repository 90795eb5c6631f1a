//! What a person said yes to.

/// That a person approved one request, or granted it for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// The grant that covers it, where one does.
    pub grant: Option<String>,
    /// How the person was asked: `cli`, `elicitation`, `dialog`.
    pub method: &'static str,
}
