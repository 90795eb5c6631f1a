//! `strongroom provider set`: gives a provider its token, and tells it where things are.

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use strongroom_model::ports::Purpose;
use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_secrets::providers::About;
use strongroom_secrets::settings::{Kind, Settings, Tokens};
use strongroom_store::{SecretUse, Vault};
use toml_edit::{Array, TableLike, value};

use super::known;
use crate::config::Config;
use crate::config::edit::Editor;
use crate::config::providers::fits;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::near;
use crate::output::{Output, Report, Style};
use crate::{admin, confirm, hidden, home, providers};

/// Give a provider its token, or say where its things are
///
/// A token that is read from stdin is stored in the vault, for this provider and nothing else, and
/// the reference to it written into strongroom.toml. It works on a machine without a terminal, over
/// ssh. A token that is there already is not sent to another program or server unless a person at a
/// terminal says so.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom provider set op --token-stdin < token
  strongroom provider set op --token-from file:///home/me/.config/op/token
  strongroom provider set op --program /home/me/bin/op
  strongroom provider set keepass --set database=/home/me/Passwords.kdbx")]
pub(super) struct Args {
    /// The provider, by its scheme
    name: String,
    /// Read its token from stdin and store it
    #[arg(long, conflicts_with = "token_from")]
    token_stdin: bool,
    /// Do not store its token; read it there at each use
    #[arg(long, value_name = "REFERENCE")]
    token_from: Option<SecretRef>,
    /// Which of its secrets the token is, where it has several
    #[arg(long, value_name = "KEY")]
    token_key: Option<String>,
    /// The program that is asked
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Another setting (repeatable); `strongroom provider show NAME` lists them
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Remove a setting (repeatable)
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// The keys of every provider that are durations or policies; the reader of the file checks them.
const COMMON: [&str; 4] = ["ttl", "max_stale", "stale", "timeout"];

/// The largest token.
const LARGEST: usize = 1 << 20;

/// A token, or where it is.
enum Token {
    At(SecretRef),
    Value(Secret),
}

impl Token {
    /// Whether it is in our vault already.
    fn is_stored(&self) -> bool {
        matches!(self, Self::At(reference) if reference.scheme() == "local")
    }
}

/// Sets the provider up.
pub(super) fn run(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    let about = known(&args.name)?;
    if about.is_named {
        return Err(Failure::usage("commands are written into strongroom.toml by hand")
            .hint("write `[providers.cmd.NAME]` with `command = [\"/path/to/program\"]`"));
    }
    let home = host.home()?;
    let config = Config::load_without_services(&home)?;
    let before = config.providers.settings.get(about.scheme).cloned().unwrap_or_default();
    let settings = args.settings(&about, host)?;
    let key = args.token_key(&about)?;
    let token = args.token(host, key)?;
    if token.is_none() && settings.is_empty() && args.unset.is_empty() {
        return Err(Failure::usage("nothing to set").hint(format!(
            "add `--token-stdin`, or see `strongroom provider show {}`",
            about.scheme
        )));
    }
    let renewed = token.as_ref().filter(|token| !token.is_stored()).and(key);
    let mut wider = leads_elsewhere(&about, &before, &settings, &args.unset, renewed);
    wider.extend(takes(&about, &before, &settings, key, token.as_ref()));
    if !wider.is_empty() && !config.headless {
        confirm::by_a_person(&wider, host).inspect_err(|_| {
            admin::record_if_possible(host, &output, "provider.set.refused", about.scheme);
        })?;
    }

    let vault = match &token {
        Some(_) => Some(home::open(&home, Arc::clone(&host.clock))?),
        None => None,
    };
    let reference = match (&token, key, &vault) {
        (Some(token), Some(key), Some(vault)) => Some(place(vault, &about, key, token)?),
        _ => None,
    };
    let mut editor = Editor::open(&home)?;
    let table = editor.provider(about.scheme);
    write(table, &about, &settings, &args.unset)?;
    if let (Some(key), Some(reference)) = (key, &reference) {
        put(table, key, reference.as_str());
    }
    editor.check()?;
    admin::record(host, &home, "provider.set", about.scheme)?;
    if let (Some(Token::Value(secret)), Some(reference), Some(vault)) = (&token, &reference, &vault)
    {
        vault.put(reference.path(), &SecretUse::Provider(name(&about)), secret)?;
    }
    editor.save()?;
    // What was refused or not reached with the old settings may do well with the new ones.
    for cache in providers::failures(host, &home) {
        cache.clear_attempts(about.scheme);
    }
    let settings_now = Config::load_without_services(&home)?.providers.settings;
    let context = providers::context(host, Tokens::default());
    let now = settings_now.get(about.scheme).cloned().unwrap_or_default();
    if let Some((problem, fix)) = providers::problem_of(&about, &now, &context) {
        output.warn(&problem);
        if let Some(fix) = &fix {
            output.hint(fix);
        }
    }
    output.report(&Done {
        name: about.scheme,
        token: reference.map(|reference| reference.to_string()),
        set: settings.into_iter().map(|(key, value)| format!("{key} = {value}")).collect(),
        unset: args.unset.clone(),
    })
}

impl Args {
    /// What is to be written beside the token: each key with its value.
    fn settings(&self, about: &About, host: &Host) -> Result<Vec<(String, String)>, Failure> {
        let mut all = Vec::new();
        if let Some(program) = &self.program {
            let program = host.directory.join(program);
            if !program.is_file() {
                return Err(Failure::failed(format!(
                    "there is no program `{}`",
                    program.display()
                )));
            }
            all.push(("program".to_owned(), program.display().to_string()));
        }
        all.extend(self.set.iter().cloned());
        for (key, value) in &all {
            if COMMON.contains(&key.as_str()) {
                continue;
            }
            let field = about.fields.iter().find(|field| field.name == key);
            let field = field.ok_or_else(|| unknown(about, key))?;
            if field.kind == Kind::Secret && value.parse::<SecretRef>().is_err() {
                return Err(Failure::usage(format!(
                    "`{key}` is a secret, and no secret is an argument"
                ))
                .hint(format!(
                    "give it by `--token-stdin --token-key {key}`, or name a reference to it"
                )));
            }
            fits(field.kind, value).map_err(|(problem, hint)| {
                Failure::usage(format!("`{key}` is not {problem}")).hint(hint)
            })?;
        }
        for key in &self.unset {
            if !COMMON.contains(&key.as_str()) && about.fields.iter().all(|field| field.name != key)
            {
                return Err(unknown(about, key));
            }
        }
        Ok(all)
    }

    /// The setting that the token is.
    fn token_key(&self, about: &About) -> Result<Option<&'static str>, Failure> {
        let Some(key) = &self.token_key else { return Ok(about.token) };
        let secrets = about.fields.iter().filter(|field| field.kind == Kind::Secret);
        let found = secrets.map(|field| field.name).find(|name| name == key);
        found.map(Some).ok_or_else(|| unknown(about, key))
    }

    fn token(&self, host: &Host, key: Option<&str>) -> Result<Option<Token>, Failure> {
        let asks = self.program.is_none() && self.set.is_empty() && self.unset.is_empty();
        let given = self.token_stdin || self.token_from.is_some();
        let Some(key) = key else {
            return if given {
                Err(Failure::usage(format!("`{}` has no token", self.name))
                    .hint(format!("see `strongroom provider show {}`", self.name)))
            } else {
                Ok(None)
            };
        };
        if let Some(reference) = &self.token_from {
            return Ok(Some(Token::At(reference.clone())));
        }
        if self.token_stdin {
            let mut bytes = Vec::with_capacity(64 << 10);
            io::stdin()
                .lock()
                .take(LARGEST as u64 + 3)
                .read_to_end(&mut bytes)
                .map_err(Failure::failed)?;
            return checked(bytes).map(Some);
        }
        if !asks {
            return Ok(None);
        }
        if !host.terminals.stdin {
            return Err(Failure::usage("there is no terminal to ask for the token at")
                .hint("give it by `--token-stdin` or `--token-from REFERENCE`"));
        }
        let typed = hidden::ask(&format!("{key} of {} (not shown): ", self.name));
        checked(typed.map_err(Failure::failed)?.into_bytes()).map(Some)
    }
}

fn checked(mut bytes: Vec<u8>) -> Result<Token, Failure> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    let secret = Secret::new(bytes);
    if secret.is_empty() {
        return Err(Failure::failed("the token is empty, so nothing was changed")
            .hint("paste it at the prompt, or give it by `--token-stdin`"));
    }
    if secret.len() > LARGEST {
        return Err(Failure::failed("the token is larger than 1 MiB"));
    }
    Ok(Token::Value(secret))
}

fn unknown(about: &About, key: &str) -> Failure {
    let keys = || about.fields.iter().map(|field| field.name).chain(COMMON);
    let failure = match key.parse::<Name>() {
        Ok(_) if key.len() <= 32 => {
            Failure::usage(format!("`{}` has no setting `{key}`", about.scheme))
        }
        _ => Failure::usage(format!("`{}` has no such setting", about.scheme)),
    };
    failure.hint(match near::nearest(key, keys()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("see `strongroom provider show {}`", about.scheme),
    })
}

/// What would send a secret that is there already to another program or server.
fn leads_elsewhere(
    about: &About,
    before: &Settings,
    settings: &[(String, String)],
    unset: &[String],
    renewed: Option<&str>,
) -> Vec<String> {
    let kept =
        before.secrets.keys().any(|key| Some(key.as_str()) != renewed && !unset.contains(key));
    if !kept {
        return Vec::new();
    }
    let leads = |key: &str| {
        let field = about.fields.iter().find(|field| field.name == key);
        field.is_some_and(|field| {
            matches!(field.kind, Kind::Path | Kind::Url | Kind::Words | Kind::Text)
        })
    };
    let set = settings.iter().filter(|(key, value)| leads(key) && before.text(key) != Some(value));
    let set = set.map(|(key, value)| {
        format!("gives the secrets of `{}` to another place: `{key}` is {value}", about.scheme)
    });
    let removed = unset.iter().filter(|key| leads(key) && before.texts.contains_key(*key));
    let removed = removed
        .map(|key| format!("gives the secrets of `{}` to another place: no `{key}`", about.scheme));
    set.chain(removed).collect()
}

/// What would give the provider a secret of another one. Whoever types the command has what is in a
/// variable or a file anyhow. The vault knows itself who may use what is in it, but not where the
/// provider takes it: a stored token that the settings no longer name may meet another place there.
fn takes(
    about: &About,
    before: &Settings,
    settings: &[(String, String)],
    key: Option<&str>,
    token: Option<&Token>,
) -> Vec<String> {
    let is_secret = |key: &str| {
        about.fields.iter().any(|field| field.name == key && field.kind == Kind::Secret)
    };
    let set = settings.iter().filter(|(key, _)| is_secret(key));
    let set = set.filter_map(|(key, value)| Some((key.as_str(), value.parse().ok()?)));
    let token = match (key, token) {
        (Some(key), Some(Token::At(reference))) => Some((key, reference.clone())),
        _ => None,
    };
    let is_led = !(before.texts.is_empty() && before.words.is_empty() && settings.is_empty());
    let needs = |reference: &SecretRef| match reference.scheme() {
        "env" | "file" => false,
        "local" => is_led,
        _ => true,
    };
    set.chain(token)
        .filter(|(key, reference): &(&str, SecretRef)| {
            needs(reference) && before.secret(key) != Some(reference)
        })
        .map(|(_, reference)| format!("gives the secret at `{reference}` to `{}`", about.scheme))
        .collect()
}

/// The reference to the token: where it is, or where it will be.
fn place(vault: &Vault, about: &About, key: &str, token: &Token) -> Result<SecretRef, Failure> {
    let reference = match token {
        Token::At(reference) => reference.clone(),
        Token::Value(_) => format!("local://provider/{}/{key}", about.scheme)
            .parse()
            .expect("a scheme and a key make a reference"),
    };
    if reference.scheme() != "local" {
        return Ok(reference);
    }
    match vault.used_by(reference.path())? {
        Some(used_by) if !used_by.permits(Purpose::Provider(about.scheme)) => Err(Failure::new(
            Exit::Denied,
            format!("`{reference}` is for `{used_by}` and for nothing else"),
        )
        .hint("give the provider a token of its own by `--token-stdin`")),
        None if matches!(token, Token::At(_)) => {
            Err(Failure::failed(format!("nothing is stored at `{reference}`"))
                .hint("give the token by `--token-stdin`"))
        }
        _ => Ok(reference),
    }
}

fn name(about: &About) -> Name {
    about.scheme.parse().expect("schemes are names")
}

fn write(
    table: &mut dyn TableLike,
    about: &About,
    settings: &[(String, String)],
    unset: &[String],
) -> Result<(), Failure> {
    let is_words =
        |key: &str| about.fields.iter().any(|field| field.name == key && field.kind == Kind::Words);
    for key in unset {
        if table.remove(key).is_none() {
            return Err(Failure::failed(format!("`{key}` is not set")));
        }
    }
    for (key, _) in settings.iter().filter(|(key, _)| is_words(key)) {
        table.remove(key);
    }
    for (key, text) in settings {
        if is_words(key) {
            let words = table.entry(key).or_insert(value(Array::new()));
            if let Some(words) = words.as_array_mut() {
                words.push(text);
            }
        } else {
            put(table, key, text);
        }
    }
    Ok(())
}

/// Puts a text, with the comment that stands beside the old one.
fn put(table: &mut dyn TableLike, key: &str, text: &str) {
    match table.get_mut(key).and_then(|item| item.as_value_mut()) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = text.into();
            *old.decor_mut() = decor;
        }
        None => {
            table.insert(key, value(text));
        }
    }
}

#[derive(Serialize)]
struct Done {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    set: Vec<String>,
    unset: Vec<String>,
}

impl Report for Done {
    fn text(&self, style: Style) -> String {
        let token = self.token.iter().map(|token| format!("token = {token}"));
        let unset = self.unset.iter().map(|key| format!("{key} removed"));
        let lines = token.chain(self.set.iter().cloned()).chain(unset);
        let lines: Vec<_> =
            lines.map(|line| format!("{}  {line}\n", style.bold(self.name))).collect();
        lines.concat()
    }
}
