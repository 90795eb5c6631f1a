//! `strongroom templates`: the services that `add` knows.

use std::fmt::Write as _;

use serde::Serialize;

use crate::environment::Host;
use crate::failure::Failure;
use crate::near;
use crate::output::{Output, Report, Style, table};
use crate::templates::{self, Setting, Template};

/// List the services that `add` knows, with what it lets agents do with each
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

/// A template, for programs and in full.
#[derive(Serialize)]
struct Shown {
    name: String,
    about: String,
    tags: Vec<String>,
    docs: String,
    base_url: String,
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
    let all = templates::all();
    let Some(search) = args.search.as_deref().map(str::to_lowercase) else {
        let templates = all.iter().map(Shown::of).collect();
        output.report(&Found { templates, is_one: false })?;
        output.hint("run `strongroom add NAME`");
        return Ok(());
    };
    let exact = all.iter().find(|template| template.name == search);
    let found: Vec<&Template> = match exact {
        Some(template) => vec![template],
        None => all.iter().filter(|template| template.is_about(&search)).collect(),
    };
    if found.is_empty() {
        let names = all.iter().map(|template| template.name.as_str());
        let failure = Failure::failed("no template is about that");
        return Err(match near::nearest(&search, names) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint(
                "run `strongroom templates` to see all; any other API is added with `--base-url` \
                 and `--auth`: see `strongroom add --help`",
            ),
        });
    }
    let is_one = exact.is_some();
    output.report(&Found { templates: found.into_iter().map(Shown::of).collect(), is_one })
}

impl Shown {
    fn of(template: &Template) -> Self {
        let list = |key| template.list(key).into_iter().map(str::to_owned).collect();
        Self {
            name: template.name.clone(),
            about: template.about.clone(),
            tags: template.tags.clone(),
            docs: template.docs.clone(),
            base_url: template.text("base_url").unwrap_or_default().to_owned(),
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

    /// What to type to add it.
    fn add(&self) -> String {
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
        line("base url", &self.base_url);
        line("auth", &format!("{}: {}", self.auth, self.secrets.join(", ")));
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
