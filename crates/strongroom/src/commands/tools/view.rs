//! What the commands answer.

use serde::Serialize;
use strongroom_model::display::DisplaySafe;
use strongroom_model::pin::Why;
use strongroom_secrets::remote::answers::{Tool, ToolDefinition};
use strongroom_store::pins::Kept;

use super::{Waiting, text};
use crate::output::{Report, Style, rfc3339, table};

/// Lines around a change.
const CONTEXT: usize = 3;

/// Every tool that was seen.
#[derive(Serialize)]
pub(super) struct List {
    pub(super) tools: Vec<Row>,
}

/// One tool.
#[derive(Serialize)]
pub(super) struct Row {
    server: String,
    tool: String,
    /// `approved`, `changed`, `hidden`, `long`.
    state: &'static str,
    /// When it came to stand so.
    since: String,
    /// `first`: it was the first one that was seen; `person`. Absent where nothing is approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_hash: Option<String>,
    /// The file that the server stands in, where that is not the user's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    file: String,
}

impl Row {
    pub(super) fn of(kept: &Kept) -> Self {
        let pin = &kept.pin;
        let (state, at) = match (&pin.waiting, &pin.approved) {
            (Some((version, why)), _) => (why.as_str(), Some(version.at)),
            (None, Some(version)) => ("approved", Some(version.at)),
            // A row that others wrote.
            (None, None) => ("changed", None),
        };
        let by = if pin.by_person { "person" } else { "first" };
        Self {
            server: kept.server.to_string(),
            tool: pin.tool.clone(),
            state,
            since: at.map(rfc3339).unwrap_or_default(),
            approved_by: pin.approved.as_ref().map(|_| by),
            approved_hash: pin.approved.as_ref().map(|version| version.hash.to_string()),
            waiting_hash: pin.waiting.as_ref().map(|(version, _)| version.hash.to_string()),
            file: kept.scope.clone(),
        }
    }
}

impl Row {
    /// One of a team server.
    pub(super) fn at(tool: Tool) -> Self {
        let by = if tool.by_person { "person" } else { "first" };
        Self {
            server: tool.server_id,
            tool: tool.tool,
            state: match (&tool.waiting_hash, Why::parse(&tool.state)) {
                (None, None) => "approved",
                (_, why) => why.unwrap_or(Why::Changed).as_str(),
            },
            since: tool.since.unwrap_or_default(),
            approved_by: tool.approved_hash.as_ref().map(|_| by),
            approved_hash: tool.approved_hash,
            waiting_hash: tool.waiting_hash,
            file: String::new(),
        }
    }
}

impl Report for List {
    fn text(&self, style: Style) -> String {
        if self.tools.is_empty() {
            return "no tools\n".to_owned();
        }
        let head = ["SERVER", "TOOL", "STATE", "SINCE"].map(|word| style.dim(word)).to_vec();
        let rows = self.tools.iter().map(|row| {
            let state = match row.state {
                "approved" => row.state.to_owned(),
                "changed" => style.yellow("waits: it has changed"),
                "hidden" => style.red("waits: it hides something"),
                _ => style.yellow("waits: it is too long"),
            };
            let tool = DisplaySafe(&row.tool).to_string();
            let since = DisplaySafe(&row.since).to_string();
            vec![DisplaySafe(&row.server).to_string(), tool, state, since]
        });
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}

/// What waits.
#[derive(Serialize)]
pub(super) struct Diff {
    pub(super) changes: Vec<Change>,
}

/// One definition that waits.
#[derive(Serialize)]
pub(super) struct Change {
    server: String,
    tool: String,
    /// `changed`, `hidden`, `long`.
    why: &'static str,
    /// The definition that was approved, as its server wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    approved: Option<String>,
    /// The one that waits.
    waiting: String,
    waiting_hash: String,
    seen: String,
    /// When what is approved was approved, as far as that is known.
    #[serde(skip)]
    since: String,
    #[serde(skip)]
    in_words: &'static str,
    diff: Vec<String>,
}

impl Diff {
    pub(super) fn of(waiting: &[Waiting]) -> Self {
        let change = |one: &Waiting| {
            let approved = one.pin().approved.as_ref();
            Change {
                server: one.kept.server.to_string(),
                tool: one.pin().tool.clone(),
                why: one.why.as_str(),
                approved: approved.map(|version| version.text.clone()),
                waiting: one.version.text.clone(),
                waiting_hash: one.version.hash.to_string(),
                seen: rfc3339(one.version.at),
                since: approved.map(|version| rfc3339(version.at)).unwrap_or_default(),
                in_words: one.why.in_words(),
                diff: one.diff(CONTEXT),
            }
        };
        Self { changes: waiting.iter().map(change).collect() }
    }
}

impl Report for Diff {
    fn text(&self, style: Style) -> String {
        if self.changes.is_empty() {
            return "nothing waits for you\n".to_owned();
        }
        let parts: Vec<String> = self.changes.iter().map(|change| change.text(style)).collect();
        parts.join("\n")
    }
}

impl Change {
    /// One of a team server.
    pub(super) fn at(one: ToolDefinition) -> Self {
        let ToolDefinition { tool, approved, waiting } = one;
        let why = Why::parse(&tool.state).unwrap_or(Why::Changed);
        let waiting = waiting.unwrap_or_default();
        Self {
            server: tool.server_id,
            tool: tool.tool,
            why: why.as_str(),
            diff: text::diff(approved.as_deref(), &waiting, CONTEXT),
            approved,
            waiting,
            waiting_hash: tool.waiting_hash.unwrap_or_default(),
            seen: tool.since.unwrap_or_default(),
            since: String::new(),
            in_words: why.in_words(),
        }
    }

    fn text(&self, style: Style) -> String {
        let name = format!("{}/{}", DisplaySafe(&self.server), DisplaySafe(&self.tool));
        let old = match &self.approved {
            Some(_) => format!("--- approved {}", self.since).trim_end().to_owned(),
            None => "--- nothing was approved".to_owned(),
        };
        let seen = format!("+++ seen {}", DisplaySafe(&self.seen));
        let mut lines = vec![format!("{}: {}", style.bold(&name), self.in_words)];
        lines.extend([style.dim(&old), style.dim(&seen)]);
        lines.extend(self.diff.iter().map(|line| match line.as_bytes().first() {
            Some(b'-') => style.red(line),
            Some(b'+') => style.green(line),
            _ => line.clone(),
        }));
        lines.push(String::new());
        lines.join("\n")
    }
}

/// What a person said yes to.
#[derive(Serialize)]
pub(super) struct Approved {
    pub(super) approved: Vec<String>,
}

impl Report for Approved {
    fn text(&self, _: Style) -> String {
        if self.approved.is_empty() {
            return "nothing waits for you; nothing was changed\n".to_owned();
        }
        let line = |name: &String| format!("approved `{}`\n", DisplaySafe(name));
        self.approved.iter().map(line).collect()
    }
}
