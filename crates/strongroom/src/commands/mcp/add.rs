//! `strongroom mcp add`.

use std::path::PathBuf;

use strongroom_clients::scan;
use strongroom_gateway::registry::{Entry, Origin, Source, is_hijack};
use strongroom_model::principal::Name;
use strongroom_model::server::{Server, Stdio, Transport};
use toml_edit::{InlineTable, Item, Table, Value, value};

use crate::config::Config;
use crate::config::edit::Editor;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::Output;
use crate::servers::view::{self, ServerView};
use crate::servers::{edit, is_the_same_anywhere, of_problem};
use crate::{admin, confirm};

/// Add an MCP server to your configuration, and switch it on
///
/// Secrets are given by where they live, never by value. Adding a server lets it hold them, so it needs
/// a person: it shows a code at the terminal, to be typed back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom mcp add stitch --secret STITCH_API_KEY=op://Developer/Stitch/api-key \\
      -- npx @anthropic/stitch-mcp@1.4.2
  strongroom mcp add files -- npx -y @modelcontextprotocol/server-filesystem@2026.7.10 /srv/docs
  strongroom mcp add tickets --url https://mcp.example.com/mcp \\
      --header 'Authorization=Bearer {{local://tickets/token}}'
  strongroom mcp add amazon --remote work --secret API_KEY=local://amazon/api_key \\
      -- node dist/server.js")]
pub(super) struct Args {
    /// Its name
    pub(super) name: Name,
    /// The program and its arguments, as words: no shell reads them
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["command", "url"])]
    pub(super) words: Vec<String>,
    /// The program and its arguments, in one text that is split as a shell would
    #[arg(long, value_name = "TEXT", conflicts_with = "url")]
    pub(super) command: Option<String>,
    /// The address of a remote server
    #[arg(long)]
    pub(super) url: Option<String>,
    /// A variable, and where its secret lives (repeatable)
    #[arg(long, value_name = "NAME=REF", conflicts_with = "url")]
    pub(super) secret: Vec<String>,
    /// A variable that is not secret (repeatable)
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "url")]
    pub(super) env: Vec<String>,
    /// A header, with `{{REF}}` where a secret goes (repeatable)
    #[arg(long, value_name = "NAME=VALUE", requires = "url")]
    pub(super) header: Vec<String>,
    /// A variable of yours that it gets too (repeatable)
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    pub(super) pass_env: Vec<String>,
    /// What it is
    #[arg(long)]
    pub(super) description: Option<String>,
    /// How its secrets reach it: `cached`, `runtime` or `env-file`
    #[arg(long)]
    pub(super) delivery: Option<String>,
    /// How long its secrets are good: `30m`, `4h`
    #[arg(long)]
    pub(super) ttl: Option<String>,
    /// Where it starts
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub(super) cwd: Option<PathBuf>,
    /// Let references stand where other programs see their secrets: in arguments and addresses
    #[arg(long)]
    pub(super) allow_visible_secrets: bool,
    /// Put it in the place of one that is there
    #[arg(long)]
    pub(super) replace: bool,
    /// Leave it switched off
    #[arg(long)]
    pub(super) off: bool,
    /// On a team server: what the names of its tools begin with; `NAME.` by default
    #[arg(long, value_name = "PREFIX")]
    pub(super) tool_prefix: Option<String>,
}

/// Adds the server.
pub(super) fn run(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    if args.tool_prefix.is_some() {
        return Err(Failure::usage("`--tool-prefix` is for the servers of a team")
            .hint("add `--remote NAME`, or leave it out: clients see its tools as `NAME.`"));
    }
    let home = host.home()?;
    let table = args.table()?;
    // Checked before the person is asked, and while nobody waits for the lock.
    let mut preview = Editor::open(&home)?;
    let (entry, headless) = apply(args, &mut preview, table.clone())?;
    drop(preview);
    let server = entry.server().map_err(of_problem)?;
    if !headless {
        confirm::by_a_person(&widens(server), host).inspect_err(|_| {
            admin::record_if_possible(host, &output, "server.add.refused", args.name.as_str());
        })?;
    }
    let mut editor = Editor::open(&home)?;
    apply(args, &mut editor, table)?;
    admin::record(host, &home, "server.add", args.name.as_str())?;
    editor.save()?;
    let view = ServerView::new(host, &entry);
    if let Some(warning) = &view.warning {
        output.warn(warning);
        output.hint(&format!("run `strongroom mcp pin {}`", args.name));
    }
    output.report(&view)
}

/// Writes the server into the document, and reads it back as everybody will.
fn apply(args: &Args, editor: &mut Editor, table: Table) -> Result<(Entry, bool), Failure> {
    if editor.config().servers.has(&args.name) && !args.replace {
        return Err(Failure::failed(format!("there is a server `{}` already", args.name))
            .hint("choose another name, or put it in its place with `--replace`"));
    }
    edit::put(editor.document(), &args.name, table);
    if !args.off {
        edit::switch(editor.document(), &args.name, true);
    }
    let config: Config = editor.check()?;
    let source =
        Source { origin: Origin::User, path: PathBuf::from("strongroom.toml"), trusted: true };
    let mut entries = config.servers.entries(&source, None).into_iter();
    let entry = entries.find(|entry| entry.name == args.name);
    let mut entry = entry.ok_or_else(|| Failure::failed("the server was not written"))?;
    entry.on = !args.off;
    let server = entry.server().map_err(|problem| {
        // The place would be one in a file that is not written.
        Failure::failed(problem.problem.clone()).maybe_hint(problem.hint.clone())
    })?;
    is_the_same_anywhere(server)?;
    Ok((entry, config.headless))
}

/// What adding it lets happen, for the person who is asked.
pub fn widens(server: &Server) -> Vec<String> {
    let mut changes = match &server.transport {
        Transport::Stdio(stdio) => {
            let words = std::iter::once(stdio.program.clone())
                .chain(stdio.args.iter().map(ToString::to_string));
            let line: Vec<String> = words.collect();
            let mut changes = vec![format!("starts `{}` as you", line.join(" "))];
            changes.extend(stdio.cwd.iter().map(|cwd| format!("starts it in `{}`", cwd.display())));
            changes.extend(settings(stdio));
            changes.extend(stdio.pass_env.iter().map(|name| format!("gives it your `{name}`")));
            changes
        }
        Transport::Http { url, beyond, .. } => {
            let mut changes = vec![format!("sends to {url}")];
            changes.extend(view::strange(beyond));
            changes
        }
    };
    for reference in server.references() {
        changes.push(format!("gives it the secret at {reference}"));
    }
    changes
}

/// How many plain variables are shown one by one that only choose something.
const MOST: usize = 12;

/// Its plain variables: each can decide what code is loaded, or where a secret is sent. Where there
/// are very many, those are counted that can do neither, so that nothing gets lost among them.
fn settings(stdio: &Stdio) -> Vec<String> {
    let plain = stdio.env.iter().filter(|(_, value)| !value.is_secret());
    let plain = plain.map(|(name, value)| (name, value.to_string()));
    let (choices, rest): (Vec<_>, Vec<_>) =
        plain.partition(|(name, value)| is_mere_choice(name, value));
    let change = |(name, value): &(&String, String)| match scan::variable(name, value) {
        // Not shown: it looks like a secret that somebody has pasted.
        Some(_) => format!("sets its `{name}`"),
        None => format!("sets its `{name}` to `{value}`"),
    };
    let shown = if choices.len() > MOST { MOST } else { choices.len() };
    let mut changes: Vec<String> = rest.iter().chain(&choices[..shown]).map(change).collect();
    if choices.len() > shown {
        changes.push(format!(
            "sets {} more of its variables, each to one plain word",
            choices.len() - shown
        ));
    }
    changes
}

/// Whether a variable says no more than `debug`, `8080` or `en`: it names no file, no host and no
/// code, and switches no check off.
fn is_mere_choice(name: &str, value: &str) -> bool {
    const HEAVY: [&str; 10] =
        ["TLS", "SSL", "CERT", "VERIFY", "INSECURE", "PROXY", "HOST", "URL", "AUTH", "OPTIONS"];
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let upper = name.to_ascii_uppercase();
    value.len() <= 32
        && value.chars().all(is_word)
        && !is_hijack(name)
        && !HEAVY.iter().any(|heavy| upper.contains(heavy))
}

impl Args {
    /// What a team server knows nothing of.
    pub(super) fn refuse_local_flags(&self) -> Result<(), Failure> {
        let given = [
            ("--env", !self.env.is_empty()),
            ("--pass-env", !self.pass_env.is_empty()),
            ("--delivery", self.delivery.is_some()),
            ("--ttl", self.ttl.is_some()),
            ("--cwd", self.cwd.is_some()),
            ("--allow-visible-secrets", self.allow_visible_secrets),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((flag, _)) => {
                Err(Failure::usage(format!("`{flag}` is for servers of this machine"))
                    .hint("leave it out, or add `--local`"))
            }
        }
    }

    /// The table as it stands in the file.
    fn table(&self) -> Result<Table, Failure> {
        let mut table = Table::new();
        if let Some(url) = &self.url {
            table["url"] = value(url);
        } else if let Some(command) = &self.command {
            table["command"] = value(command);
        } else if self.words.is_empty() {
            return Err(Failure::usage("a command or an address is missing").hint(format!(
                "write how it is started behind `--`: `strongroom mcp add {} -- npx some-server`",
                self.name
            )));
        } else {
            table["command"] = Item::Value(edit::list(self.words.iter().map(String::as_str)));
        }
        for (key, pairs) in
            [("secrets", &self.secret), ("env", &self.env), ("headers", &self.header)]
        {
            if !pairs.is_empty() {
                table[key] = Item::Value(Value::InlineTable(inline(key, pairs)?));
            }
        }
        if !self.pass_env.is_empty() {
            table["pass_env"] = Item::Value(edit::list(self.pass_env.iter().map(String::as_str)));
        }
        for (key, text) in
            [("description", &self.description), ("delivery", &self.delivery), ("ttl", &self.ttl)]
        {
            if let Some(text) = text {
                table[key] = value(text);
            }
        }
        if let Some(cwd) = &self.cwd {
            table["cwd"] = value(cwd.display().to_string());
        }
        if self.allow_visible_secrets {
            table["allow_visible_secrets"] = value(true);
        }
        Ok(table)
    }
}

/// `NAME=VALUE` pairs as a table. A value that is a secret itself is refused: it would stand in the
/// file, and stands in the shell's history already.
fn inline(key: &str, pairs: &[String]) -> Result<InlineTable, Failure> {
    let mut table = InlineTable::new();
    for pair in pairs {
        let (name, text) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("`{key}` is given as `NAME=VALUE`")))?;
        if key != "secrets" && scan::variable(name, text).is_some() {
            return Err(Failure::failed(format!(
                "a value under `{key}` looks like a secret itself"
            ))
            .hint("store it with `strongroom secrets set`, and give it by `--secret NAME=REF`"));
        }
        if table.insert(name, text.into()).is_some() {
            return Err(Failure::usage(format!("a name stands twice under `{key}`")));
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    // SC-04
    #[test]
    fn a_person_is_shown_all_that_decides_what_runs_and_where_secrets_go() {
        let key = ["ghp_", "aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789"].concat();
        let text = format!(
            "[servers.x]\ncommand = \"npx good\"\ncwd = \"/srv\"\npass_env = [\"MINE\"]\n\
             env = {{ NODE_OPTIONS = \"--require ./evil.js\", API_URL = \"https://evil.example\", \
             PASTED_TOKEN = \"{key}\", K = \"local://x/k\" }}\n"
        );
        let config = Config::parse("t", &text).unwrap();
        let source = Source { origin: Origin::User, path: PathBuf::from("t"), trusted: true };
        let entries = config.servers.entries(&source, None);
        let shown = widens(entries[0].server().unwrap());
        assert_eq!(
            shown,
            [
                "starts `npx good` as you",
                "starts it in `/srv`",
                "sets its `API_URL` to `https://evil.example`",
                "sets its `NODE_OPTIONS` to `--require ./evil.js`",
                "sets its `PASTED_TOKEN`",
                "gives it your `MINE`",
                "gives it the secret at local://x/k",
            ]
        );
    }

    // AL-01
    #[test]
    fn among_very_many_variables_only_those_are_counted_that_lead_nowhere() {
        use std::fmt::Write as _;

        let heavy = [
            ("A_HOST", "evil"),
            ("BASE", "https://evil.example"),
            ("NODE_TLS_REJECT_UNAUTHORIZED", "0"),
            ("PLACE", "/tmp/evil"),
            ("PYTHONPATH", "evil"),
            ("WHERE", "evil.example"),
        ];
        let mut text = "[servers.x]\ncommand = \"good\"\npass_env = [\"MINE\"]\n\
             secrets = { K = \"local://x/k\" }\n[servers.x.env]\n"
            .to_owned();
        for (name, value) in heavy {
            writeln!(text, "{name} = \"{value}\"").unwrap();
        }
        for number in 0..1000 {
            writeln!(text, "LEVEL_{number} = \"debug\"").unwrap();
        }
        let config = Config::parse("t", &text).unwrap();
        let source = Source { origin: Origin::User, path: PathBuf::from("t"), trusted: true };
        let entries = config.servers.entries(&source, None);
        let shown = widens(entries[0].server().unwrap());
        for (name, value) in heavy {
            assert!(shown.contains(&format!("sets its `{name}` to `{value}`")), "{shown:?}");
        }
        for line in [
            "starts `good` as you",
            "gives it your `MINE`",
            "gives it the secret at local://x/k",
            "sets 988 more of its variables, each to one plain word",
        ] {
            assert!(shown.contains(&line.to_owned()), "{line}: {shown:?}");
        }
        assert_eq!(shown.len(), heavy.len() + MOST + 4);
    }
}
