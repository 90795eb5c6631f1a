//! A server, as a person or a program sees it. There is no secret in it: only where each one lives.

use std::collections::BTreeMap;

use serde::Serialize;
use strongroom_gateway::launcher::unpinned;
use strongroom_gateway::registry::{Entry, Origin};
use strongroom_model::display::DisplaySafe;
use strongroom_model::server::{Beyond, Server, Transport};
use strongroom_model::tool::Rule;

use crate::commands::shown;
use crate::environment::Host;
use crate::output::{Report, Style, table};

/// What a server has beyond the public network, in words.
pub fn strange(beyond: &Beyond) -> Vec<String> {
    let ranges = beyond.allow_ips.iter().map(|range| format!("may be at an address in {range}"));
    let own = beyond.ca_file.iter().map(|path| {
        format!("its certificate is by an authority in `{}`, and no other", path.display())
    });
    ranges.chain(own).collect()
}

/// One server.
#[derive(Debug, Serialize)]
pub struct ServerView {
    /// Its name.
    pub name: String,
    /// Whether it is enabled here.
    pub on: bool,
    /// What kind of file it stands in: `user`, `project`, `named`, `catalog`.
    pub origin: &'static str,
    /// The file.
    pub file: String,
    /// The line in it, counted from 1.
    pub line: usize,
    /// Whether that file's text may be used.
    pub trusted: bool,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The program and its arguments, with references as they stand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What it has beyond the public network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub beyond: Vec<String>,
    /// Where each secret is from, by the variable or header that it is for.
    pub secrets: BTreeMap<String, String>,
    /// The names of what it gets beside its secrets.
    pub settings: Vec<String>,
    /// How its secrets reach it.
    pub delivery: &'static str,
    /// The rules about its tools behind `strongroom serve`.
    pub tools: Vec<String>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What is to be known before it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

impl ServerView {
    /// How `entry` is seen.
    pub fn new(host: &Host, entry: &Entry) -> Self {
        let mut view = Self {
            name: entry.name.to_string(),
            on: entry.on,
            origin: match entry.source.origin {
                Origin::User => "user",
                Origin::Project => "project",
                Origin::Named => "named",
                Origin::Catalog => "catalog",
            },
            file: shown(&entry.source.path, &host.environment),
            line: entry.place().0,
            trusted: entry.source.trusted,
            description: None,
            command: Vec::new(),
            url: None,
            beyond: Vec::new(),
            secrets: BTreeMap::new(),
            settings: Vec::new(),
            delivery: "cached",
            tools: Vec::new(),
            problem: entry.server().err().map(ToString::to_string),
            warning: None,
        };
        if let Ok(server) = entry.server_with_visible_secrets() {
            view.fill(server);
        }
        view
    }

    fn fill(&mut self, server: &Server) {
        self.description.clone_from(&server.description);
        self.delivery = server.delivery.as_str();
        let rule = |rule: &Rule| format!("{} {}", rule.verdict().as_str(), rule.in_words());
        self.tools = server.offer.tools.rules().iter().map(rule).collect();
        let named = match &server.transport {
            Transport::Stdio(stdio) => {
                self.command.push(stdio.program.clone());
                self.command.extend(stdio.args.iter().map(ToString::to_string));
                self.warning = unpinned(stdio).map(|unpinned| {
                    format!("`{}` may start another version at any time", unpinned.runner)
                });
                &stdio.env
            }
            Transport::Http { url, headers, beyond } => {
                self.beyond = strange(beyond);
                self.url = Some(url.to_string());
                headers
            }
        };
        for (name, template) in named {
            if template.is_secret() {
                self.secrets.insert(name.clone(), template.to_string());
            } else {
                self.settings.push(name.clone());
            }
        }
    }

    /// Its rules, as far as they fit a row.
    fn tools_in_short(&self) -> String {
        match self.tools.as_slice() {
            [] => "none".to_owned(),
            [one] if one.len() <= 20 => one.clone(),
            rules => format!("{} rules", rules.len()),
        }
    }

    /// Its row in a list.
    pub fn row(&self, style: Style) -> Vec<String> {
        let safe = |text: &str| DisplaySafe(text).to_string();
        let how = match (&self.url, self.command.first()) {
            (Some(url), _) => url.split("://").nth(1).unwrap_or(url).split('/').next(),
            (None, program) => program.map(String::as_str),
        };
        let note = if self.problem.is_some() {
            style.red("cannot be used: see `strongroom mcp show`")
        } else if !self.trusted {
            style.yellow("not trusted")
        } else if self.warning.is_some() {
            style.yellow("not pinned")
        } else {
            String::new()
        };
        vec![
            self.name.clone(),
            if self.on { style.green("on") } else { style.dim("off") },
            safe(how.unwrap_or("-")),
            self.secrets.len().to_string(),
            safe(&self.tools_in_short()),
            safe(&self.file),
            note,
        ]
    }
}

impl Report for ServerView {
    fn text(&self, style: Style) -> String {
        let safe = |text: &str| DisplaySafe(text).to_string();
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut row = |name: &str, value: String| rows.push(vec![format!("  {name}"), value]);
        if let Some(description) = &self.description {
            row("what", safe(description));
        }
        row("state", if self.on { "on".to_owned() } else { "off".to_owned() });
        if !self.command.is_empty() {
            let words: Vec<String> = self.command.iter().map(|word| super::quoted(word)).collect();
            row("command", safe(&words.join(" ")));
        }
        if let Some(url) = &self.url {
            row("url", safe(url));
        }
        for strange in &self.beyond {
            row("beyond", safe(strange));
        }
        for (name, reference) in &self.secrets {
            row("secret", format!("{} from {}", safe(name), safe(reference)));
        }
        if !self.settings.is_empty() {
            row("settings", safe(&self.settings.join(", ")));
        }
        row("delivery", self.delivery.to_owned());
        for rule in &self.tools {
            row("tools", safe(rule));
        }
        if self.tools.is_empty() && self.problem.is_none() {
            row("tools", "none may be called".to_owned());
        }
        row("from", format!("{}:{}", safe(&self.file), self.line));
        let mut text = format!("{}\n{}", style.bold(&self.name), table(&rows));
        if !self.trusted {
            text.push_str("\nIts file is not trusted: it is not started.\n");
        }
        for line in self.problem.iter().chain(&self.warning) {
            text.extend(["\n", &safe(line), "\n"]);
        }
        text
    }
}
