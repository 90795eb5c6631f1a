//! `strongroom templates`: the services and programs that `add` knows.

use std::fmt::Write as _;

use serde::Serialize;
use toml_edit::Item;

use crate::environment::Host;
use crate::failure::Failure;
use crate::near;
use crate::output::{Output, Report, Style, table};
use crate::programs;
use crate::templates::{self, Setting, Template};

/// List the services and programs that `add` knows, with what it lets agents do with each
///
/// SEARCH is a part of a name, a description or a tag (money, email, ai, ...). With the whole name of
/// one its rules are shown, too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom templates
  strongroom templates email
  strongroom templates stripe --json")]
pub struct Args {
    /// What to look for
    search: Option<String>,
}

/// What stands for the auth, and is the tag, of what is run and not called.
const PROGRAM: &str = "program";

/// A template, for other programs and in full.
#[derive(Serialize)]
struct Shown {
    name: String,
    about: String,
    tags: Vec<String>,
    docs: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    base_url: String,
    /// The program, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// For which host git is to ask: said when it is added.
    #[serde(skip)]
    askpass: bool,
    auth: String,
    secrets: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    settings: Vec<Setting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_path: Option<String>,
    allow: Vec<String>,
    ask: Vec<String>,
    deny: Vec<String>,
    redact_fields: Vec<String>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Found {
    templates: Vec<Shown>,
    #[serde(skip)]
    is_one: bool,
}

/// Lists the templates.
pub fn run(args: &Args, _: &Host, output: &Output) -> Result<(), Failure> {
    let all = all();
    let Some(search) = args.search.as_deref().map(str::to_lowercase) else {
        output.report(&Found { templates: all, is_one: false })?;
        output.hint("run `strongroom add NAME`");
        return Ok(());
    };
    let names: Vec<String> = all.iter().map(|shown| shown.name.clone()).collect();
    let is_one = names.contains(&search);
    let is_meant = |shown: &Shown| {
        if is_one { shown.name == search } else { shown.is_about(&search) }
    };
    let templates: Vec<Shown> = all.into_iter().filter(is_meant).collect();
    if templates.is_empty() {
        let failure = Failure::failed("no template is about that");
        return Err(match near::nearest(&search, names.iter().map(String::as_str)) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint(
                "run `strongroom templates` to see all; any other API is added with `--base-url` \
                 and `--auth`: see `strongroom add --help`",
            ),
        });
    }
    output.report(&Found { templates, is_one })
}

/// Every service and program, by name.
fn all() -> Vec<Shown> {
    let programs = programs::names();
    let programs = programs.iter().filter_map(|name| programs::find(name));
    let services = templates::all();
    let mut all: Vec<Shown> = services.iter().map(Shown::of).collect();
    all.extend(programs.map(|program| Shown::of_program(&program)));
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

impl Shown {
    fn of(template: &Template) -> Self {
        let list = |key| template.list(key);
        Self {
            name: template.name.clone(),
            about: template.about.clone(),
            tags: template.tags.clone(),
            docs: template.docs.clone(),
            base_url: template.text("base_url").unwrap_or_default().to_owned(),
            command: None,
            askpass: false,
            auth: template.auth.clone(),
            secrets: template.secrets.clone(),
            settings: template.settings.clone(),
            test_path: template.text("test_path").map(str::to_owned),
            allow: list("allow"),
            ask: list("ask"),
            deny: list("deny"),
            redact_fields: list("redact_fields"),
        }
    }

    fn of_program(program: &programs::Template) -> Self {
        let list = |key| {
            let texts = program.table.get(key).and_then(Item::as_array).into_iter().flatten();
            texts.filter_map(|text| Some(text.as_str()?.to_owned())).collect()
        };
        Self {
            name: program.name.clone(),
            about: program.about.clone(),
            tags: vec![PROGRAM.to_owned()],
            docs: program.docs.clone(),
            base_url: String::new(),
            command: Some(program.command.display().to_string()),
            askpass: program.askpass,
            auth: PROGRAM.to_owned(),
            secrets: program.secrets.clone(),
            settings: Vec::new(),
            test_path: None,
            allow: list("allow"),
            ask: list("ask"),
            deny: list("deny"),
            redact_fields: Vec::new(),
        }
    }

    /// Whether `words`, in lower case, stand in its name, its description or its tags.
    fn is_about(&self, words: &str) -> bool {
        self.name.contains(words)
            || self.about.to_lowercase().contains(words)
            || self.tags.iter().any(|tag| tag.contains(words))
    }

    /// What to type to add it.
    fn add(&self) -> String {
        if self.askpass {
            return format!("strongroom add {} --askpass HOST", self.name);
        }
        let needed = self.settings.iter().filter(|setting| setting.default.is_none());
        let flags = needed.map(|setting| format!(" --set {}={}", setting.name, setting.example));
        format!("strongroom add {}{}", self.name, flags.collect::<String>())
    }

    fn in_full(&self, style: Style) -> String {
        let mut text = format!("{}\n", style.bold(&self.name));
        let mut line = |key: &str, value: &str| {
            writeln!(text, "  {key:<9}  {value}").expect("writing to a String cannot fail");
        };
        line("about", &self.about);
        line("docs", &self.docs);
        if let Some(command) = &self.command {
            line("program", command);
            if !self.secrets.is_empty() {
                line("secret", &self.secrets.join(", "));
            }
        } else {
            line("base url", &self.base_url);
            line("auth", &format!("{}: {}", self.auth, self.secrets.join(", ")));
        }
        for setting in &self.settings {
            let default = setting.default.as_ref();
            let default = default.map(|text| format!(" (else {text})")).unwrap_or_default();
            line("setting", &format!("{}: {}{default}", setting.name, setting.about));
        }
        if let Some(path) = &self.test_path {
            line("test path", path);
        }
        for (key, rules) in [("allow", &self.allow), ("ask", &self.ask), ("deny", &self.deny)] {
            for rule in rules {
                line(key, rule);
            }
        }
        if !self.redact_fields.is_empty() {
            line("redacts", &format!("fields {}", self.redact_fields.join(", ")));
        }
        line("add it by", &self.add());
        text
    }
}

impl Report for Found {
    fn text(&self, style: Style) -> String {
        if self.is_one {
            return self.templates.iter().map(|shown| shown.in_full(style)).collect();
        }
        let head = ["NAME", "AUTH", "WHAT IT IS"].map(|word| style.dim(word)).to_vec();
        let row = |shown: &Shown| vec![shown.name.clone(), shown.auth.clone(), shown.about.clone()];
        let rows: Vec<_> = std::iter::once(head).chain(self.templates.iter().map(row)).collect();
        table(&rows)
    }
}
