//! What an import answers: what was added, and what is left to do.

use std::fmt::Write as _;

use serde::Serialize;
use strongroom_gateway::launcher::unpinned;
use strongroom_gateway::registry::import::{Draft, Missing, Refused, Slot};
use strongroom_model::display::DisplaySafe;
use strongroom_model::server::Transport;

use crate::output::{Report, Style};

#[derive(Serialize)]
pub(super) struct Answer {
    pub(super) file: String,
    pub(super) kind: &'static str,
    pub(super) dry_run: bool,
    pub(super) servers: Vec<ServerAnswer>,
    pub(super) refused: Vec<RefusedAnswer>,
}

#[derive(Serialize)]
pub(super) struct ServerAnswer {
    name: String,
    /// Its name in the file.
    from: String,
    on: bool,
    replaced: bool,
    /// Its lines in `strongroom.toml`.
    toml: String,
    secrets: Vec<SecretAnswer>,
    missing: Vec<MissingAnswer>,
    notices: Vec<String>,
    #[serde(skip)]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct SecretAnswer {
    reference: String,
    needed_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    required: bool,
    /// What stores it.
    command: String,
}

#[derive(Serialize)]
struct MissingAnswer {
    place: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    choices: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct RefusedAnswer {
    from: String,
    problem: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Answer {
    /// What is to be known before anything is added.
    pub(super) fn warnings(&self) -> Vec<String> {
        let refused = self.refused.iter().map(|refused| {
            let from = DisplaySafe(&refused.from);
            format!("`{from}` is left out: {}", DisplaySafe(&refused.problem))
        });
        let servers = self.servers.iter().flat_map(|server| server.warnings.iter().cloned());
        servers.chain(refused).collect()
    }
}

impl ServerAnswer {
    pub(super) fn new(
        draft: &Draft,
        warnings: Vec<String>,
        toml: String,
        on: bool,
        replaced: bool,
    ) -> Self {
        let secret = |slot: &Slot| SecretAnswer {
            reference: slot.reference.to_string(),
            needed_by: slot.needed_by.clone(),
            about: slot.about.clone(),
            required: slot.required,
            command: format!(
                "strongroom secrets set {} --for launch:{}",
                slot.reference.path(),
                draft.name
            ),
        };
        let missing = |missing: &Missing| MissingAnswer {
            place: missing.place,
            name: missing.name.clone(),
            about: missing.about.clone(),
            choices: missing.choices.clone(),
        };
        Self {
            name: draft.name.to_string(),
            from: draft.from.clone(),
            on,
            replaced,
            toml,
            secrets: draft.slots.iter().map(secret).collect(),
            missing: draft.missing.iter().map(missing).collect(),
            notices: draft.notices.clone(),
            warnings,
        }
    }

    /// Commands that may be another program tomorrow, and addresses that nobody has vouched for.
    pub(super) fn warnings(draft: &Draft) -> Vec<String> {
        let name = &draft.name;
        match &draft.server.transport {
            Transport::Stdio(stdio) => unpinned(stdio)
                .map(|unpinned| {
                    format!("`{name}`: `{}` may start another version at any time", unpinned.runner)
                })
                .into_iter()
                .collect(),
            Transport::Http { url, .. } => {
                let url = url.to_string();
                let url = DisplaySafe(&url);
                vec![format!("`{name}`: nobody has checked whose address {url} is")]
            }
        }
    }

    fn text(&self, style: Style, dry_run: bool, out: &mut String) {
        let name = style.bold(&self.name);
        let (done, state) = match (dry_run, self.replaced) {
            (true, false) => ("would be added", ""),
            (true, true) => ("would be put in the place of what is there", ""),
            (false, false) => ("is added", if self.on { ", and on" } else { ", and off" }),
            (false, true) => ("is put in the place of what was there", ""),
        };
        line(out, &format!("{name} {done}{state}"));
        if dry_run {
            for text in self.toml.lines() {
                line(out, &format!("    {}", DisplaySafe(text)));
            }
        }
        for notice in &self.notices {
            line(out, &format!("  note: {}", DisplaySafe(notice)));
        }
        for missing in &self.missing {
            let mut text = format!("  fill in: `{}` ({})", missing.name, missing.place);
            if !missing.choices.is_empty() {
                let _ = write!(text, ", one of {}", missing.choices.join(", "));
            }
            line(out, &DisplaySafe(&about(text, missing.about.as_ref())).to_string());
        }
        for secret in &self.secrets {
            let text = format!("  secret: {}", secret.needed_by);
            line(out, &DisplaySafe(&about(text, secret.about.as_ref())).to_string());
            line(out, &format!("    {}", secret.command));
        }
    }
}

impl From<&Refused> for RefusedAnswer {
    fn from(refused: &Refused) -> Self {
        Self {
            from: refused.from.clone(),
            problem: refused.problem.to_string(),
            hint: refused.problem.hint.clone(),
        }
    }
}

impl Report for Answer {
    fn text(&self, style: Style) -> String {
        let mut out = String::new();
        for server in &self.servers {
            server.text(style, self.dry_run, &mut out);
        }
        let left = self.servers.iter().find(|server| !server.missing.is_empty());
        if let Some(server) = left {
            let name = DisplaySafe(&server.missing[0].name).to_string();
            line(&mut out, "");
            line(
                &mut out,
                &format!(
                    "Fill in by importing again with `--replace --set {name}=VALUE`, or in the file."
                ),
            );
        }
        out
    }
}

fn about(text: String, about: Option<&String>) -> String {
    match about {
        Some(about) => format!("{text}: {about}"),
        None => text,
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}
