//! What is shown of questions and answers.

use std::time::SystemTime;

use serde::Serialize;
use strongroom_model::approval::{Answer, Entry, Excerpt, Grant, State};
use strongroom_model::display::escape_line;

use super::{in_words, left};
use crate::output::{Report, Style, rfc3339, table};

/// Characters of what is asked for in a list.
pub(super) const WIDEST: usize = 60;

#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct List(pub(super) Vec<View>);

/// A question, as it is shown.
#[derive(Serialize)]
pub(super) struct View {
    id: String,
    state: &'static str,
    access: bool,
    principal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    service: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    what: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    place: String,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    /// The beginning of the body, where it is text, while the question is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Excerpt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Whether the agent's own client may not answer it.
    outside: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_s: Option<u64>,
    opened: String,
    expires: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
    /// What a person types to allow what no rule asks about.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(skip)]
    lines: Vec<String>,
    #[serde(skip)]
    left: String,
}

impl View {
    pub(super) fn of(entry: &Entry, now: SystemTime, command: Option<String>) -> Self {
        let question = &entry.question;
        Self {
            id: entry.id.clone(),
            state: entry.state.as_str(),
            access: question.access,
            principal: question.principal.to_string(),
            client: question.client.clone(),
            service: question.service.to_string(),
            rule: question.rule.clone(),
            what: question.what.clone(),
            place: question.place.clone(),
            bytes: question.bytes,
            content_type: question.content_type.clone(),
            body: question.body.clone(),
            reason: question.reason.clone(),
            outside: question.outside,
            ttl_s: question.ttl_s,
            opened: rfc3339(entry.opened),
            expires: rfc3339(entry.expires),
            by: entry.by.map(strongroom_model::approval::By::as_str),
            command,
            lines: question.lines(true),
            left: left(entry.expires, now),
        }
    }

    fn status(&self, style: Style) -> String {
        if self.state == State::Open.as_str() {
            style.yellow(&format!("open, {} left", self.left))
        } else {
            self.state.to_owned()
        }
    }
}

impl Report for List {
    fn text(&self, style: Style) -> String {
        if self.0.is_empty() {
            return "nothing waits for an answer\n".to_owned();
        }
        let head = ["ID", "WHO", "SERVICE", "WHAT", "STATE"].map(|word| style.dim(word)).to_vec();
        let rows = self.0.iter().map(|view| {
            let (mut what, cut) = escape_line(&view.what, WIDEST);
            if cut {
                what.push_str("...");
            }
            let what = if view.access { format!("access: {what}") } else { what };
            vec![
                style.bold(&view.id),
                view.principal.clone(),
                view.service.clone(),
                what,
                view.status(style),
            ]
        });
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}

impl Report for View {
    fn text(&self, style: Style) -> String {
        let mut text = format!("{}  {}\n", style.bold(&self.id), self.status(style));
        for line in &self.lines {
            text.push_str("  ");
            text.push_str(line);
            text.push('\n');
        }
        if self.bytes > 0 && self.body.is_none() && self.state == State::Open.as_str() {
            text.push_str("  what is sent is no text, and is not shown\n");
        }
        if self.outside && !self.access {
            text.push_str("  the rule wants a person outside the agent's client\n");
        }
        if let Some(command) = &self.command {
            text.push_str("  to allow it: ");
            text.push_str(&style.bold(command));
            text.push('\n');
        }
        text
    }
}

/// What a person said, as it is confirmed to them.
#[derive(Serialize)]
pub(super) struct Answered {
    id: String,
    answer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lapses: Option<String>,
    #[serde(skip)]
    words: String,
}

impl Answered {
    /// `at`: what a command needs to act on it.
    pub(super) fn yes(entry: &Entry, answer: Answer, grant: Option<&Grant>, at: &str) -> Self {
        Self {
            id: entry.id.clone(),
            answer: match answer {
                Answer::Session => "session",
                Answer::For(_) => "for",
                Answer::Once | Answer::Deny => "once",
            },
            grant: grant.map(|grant| grant.id.clone()),
            lapses: grant.map(|grant| rfc3339(grant.lapses)),
            words: match grant {
                Some(grant) => format!(
                    "approved: {}\ntake it back by `strongroom grants revoke {}{at}`\n",
                    good_for(entry, answer),
                    grant.id
                ),
                None => format!("approved: {}\n", good_for(entry, answer)),
            },
        }
    }

    pub(super) fn no(entry: &Entry) -> Self {
        Self {
            id: entry.id.clone(),
            answer: "deny",
            grant: None,
            lapses: None,
            words: format!("denied `{}`\n", entry.id),
        }
    }
}

impl Report for Answered {
    fn text(&self, _: Style) -> String {
        self.words.clone()
    }
}

/// What the answer is good for, in words.
pub(super) fn good_for(entry: &Entry, answer: Answer) -> String {
    let question = &entry.question;
    let rule = question.rule.as_deref().unwrap_or_default();
    let class = question.class.map_or("", |class| class.as_str());
    let every = format!("everything that the rule `{rule}` asks about ({class})");
    match answer {
        Answer::Once | Answer::Deny => "good for exactly this, once".to_owned(),
        Answer::Session => {
            let end = question.ttl().map_or_else(|| "8 h".to_owned(), in_words);
            format!("good for {every}, until the agent's connection ends, {end} at the most")
        }
        Answer::For(time) => format!("good for {every}, for {}", in_words(time)),
    }
}
