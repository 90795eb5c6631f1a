//! `strongroom edit`: changes a service, or gives it a new key.

mod at;

use std::sync::Arc;

use strongroom_model::reference::SecretRef;
use strongroom_model::service::Service;
use toml_edit::TableLike;

use crate::config::ALLOW_ALL_RULE;
use crate::config::Config;
use crate::config::edit::Editor;
use crate::environment::Host;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::keys::{Key, KeyFlags};
use crate::near;
use crate::output::Output;
use crate::programs::ProgramFlags;
use crate::programs::edit::Edit;
use crate::view::{Brief, ServiceView};
use crate::{admin, confirm, home, stored, widening};

pub use at::at;

/// Change a service, or give it a new key
///
/// Rules, headers, address ranges and principals are added to what is there. A new key is used from
/// the next call on, in every running process. A change that lets agents do more needs a person: it
/// shows a code at the terminal, to be typed back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom edit github --key-stdin < new-token
  strongroom edit github --allow 'POST /repos/acme/site/issues'
  strongroom edit github --remove-rule 'POST /repos/acme/site/issues'
  strongroom edit tickets --base-url https://t2.example/v2
  strongroom edit git --command git")]
pub struct Args {
    /// The service
    name: String,
    #[command(flatten)]
    flags: Flags,
    /// Take a rule away, whatever it says (repeatable)
    #[arg(long, value_name = "METHOD PATH", help_heading = "The policy")]
    remove_rule: Vec<String>,
    /// Take a principal away (repeatable)
    #[arg(long, value_name = "NAME", help_heading = "The policy")]
    remove_principal: Vec<String>,
    /// Send this header no longer (repeatable)
    #[arg(long, value_name = "NAME", help_heading = "The service")]
    remove_header: Vec<String>,
    /// Take an address range away (repeatable)
    #[arg(long, value_name = "CIDR", help_heading = "The service")]
    remove_allow_ip: Vec<String>,
    /// Trust the built-in certificate authorities again
    #[arg(long, conflicts_with = "ca_file", help_heading = "The service")]
    remove_ca_file: bool,
    /// Ask for the new key, without showing it
    #[arg(long, conflicts_with = "KeyFlags", help_heading = "The key")]
    key_prompt: bool,
    #[command(flatten)]
    program: ProgramFlags,
    #[command(flatten)]
    key: KeyFlags,
}

/// Changes the service.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    args.refuse_empty()?;
    let home = host.home()?;
    let vault = home::open(&home, Arc::clone(&host.clock))?;
    let config = Config::load(&home)?;
    if let Some(command) = config.command(&args.name) {
        let edit = Edit {
            flags: &args.flags,
            program: &args.program,
            remove_rule: &args.remove_rule,
            remove_principal: &args.remove_principal,
            key: args.changes_key().then_some(&args.key),
        };
        return edit.run(command, host, output);
    }
    if !args.program.is_empty() {
        config.service(&args.name)?;
        return Err(Failure::usage(format!(
            "`{}` is an API, and a flag is about programs",
            args.name
        ))
        .hint("see `strongroom edit --help`"));
    }
    let old = Arc::clone(config.service(&args.name)?);
    let (auth, fields) = args.fields(&old)?;
    let key = if args.changes_key() {
        Some(args.key.obtain(host, output, old.name.as_str(), &fields)?)
    } else {
        None
    };
    let secrets = references(&old, &fields, key.as_ref())?;
    if let Some(Key::At(references)) = &key {
        for reference in references {
            stored::check_use(&vault, reference, &old.name)?;
        }
    }
    let change = Change { args, host, auth: &auth, secrets: &secrets };

    // The person is asked while nobody waits for the lock.
    let preview = change.apply(&mut Editor::open(&home)?, &old)?;
    let wider = widening::of(&old, preview.service(&args.name)?);
    if !wider.is_empty() && !config.headless {
        confirm::by_a_person(&wider, host).inspect_err(|_| {
            admin::record_if_possible(host, output, "service.edit.refused", &args.name);
        })?;
    }

    let mut editor = Editor::open(&home)?;
    if editor.config().service(&args.name)?.revision != old.revision {
        return Err(Failure::failed("the service was changed by somebody else in between")
            .hint("run the command again"));
    }
    let config = change.apply(&mut editor, &old)?;
    if !args.is_about_key_only() {
        admin::record(host, &home, "service.edit", &args.name)?;
    }
    if let Some(key) = &key {
        admin::record(host, &home, "secret.rotate", &args.name)?;
        if let Key::Values(values) = key {
            for ((_, reference), value) in secrets.iter().zip(values) {
                stored::put(&vault, reference, &old.name, value)?;
            }
        }
    }
    editor.save()?;
    if let Some(key) = &key {
        key.warn_if_absent(host, output);
    }
    output.report(&Brief(ServiceView::new(config.service(&args.name)?)))?;
    if key.is_some() {
        output.say("The new key is used from the next call on.");
    }
    Ok(())
}

impl Args {
    fn refuse_empty(&self) -> Result<(), Failure> {
        if !self.is_empty() {
            return Ok(());
        }
        Err(Failure::usage("nothing to change").hint(format!(
            "add what changes, as in `strongroom edit {} --key-stdin`; see `strongroom edit --help`",
            self.name
        )))
    }

    fn is_empty(&self) -> bool {
        self.is_about_key_only() && !self.changes_key() && self.program.is_empty()
    }

    fn is_about_key_only(&self) -> bool {
        self.flags.is_empty()
            && self.remove_rule.is_empty()
            && self.remove_principal.is_empty()
            && self.remove_header.is_empty()
            && self.remove_allow_ip.is_empty()
            && !self.remove_ca_file
    }

    fn changes_key(&self) -> bool {
        self.key_prompt || !self.key.is_empty()
    }

    /// The auth type and its secret fields after the change.
    fn fields(&self, old: &Service) -> Result<(String, Vec<String>), Failure> {
        let now: Vec<String> = old.auth.secrets.keys().cloned().collect();
        self.flags.auth_fields(Some((&old.auth.scheme, &now)))
    }
}

/// Where each secret is after the change: a value that is given goes to the vault, one that is not
/// stays where it is.
fn references(
    old: &Service,
    fields: &[String],
    key: Option<&Key>,
) -> Result<Vec<(String, SecretRef)>, Failure> {
    let mut references = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let before = old.auth.secrets.get(field);
        let reference = match (key, before) {
            (Some(Key::At(references)), _) => references[at].clone(),
            (Some(Key::Values(_)), Some(before)) if before.scheme() == "local" => before.clone(),
            (Some(Key::Values(_)), _) => stored::place(&old.name, field),
            (None, Some(before)) => before.clone(),
            // Another way to send the one key that there is.
            (None, None) => match old.auth.secrets.values().next() {
                Some(only) if old.auth.secrets.len() == 1 && fields.len() == 1 => only.clone(),
                _ => {
                    return Err(Failure::usage("the new way to authenticate needs its keys")
                        .hint("add `--key-stdin`, with one line for each"));
                }
            },
        };
        references.push((field.clone(), reference));
    }
    Ok(references)
}

/// What is written: the same for the preview and for good.
struct Change<'a> {
    args: &'a Args,
    host: &'a Host,
    auth: &'a str,
    secrets: &'a [(String, SecretRef)],
}

impl Change<'_> {
    fn apply(&self, editor: &mut Editor, old: &Service) -> Result<Config, Failure> {
        let known = editor.config().services.keys().map(ToString::to_string).collect::<Vec<_>>();
        let table = editor.service(&self.args.name).and_then(|item| item.as_table_like_mut());
        let Some(table) = table else {
            return Err(near::no_service(&self.args.name, known.iter().map(String::as_str)));
        };
        self.write(table, old)?;
        Ok(editor.check()?)
    }

    fn write(&self, table: &mut dyn TableLike, old: &Service) -> Result<(), Failure> {
        self.args.flags.apply(table, &self.host.directory);
        self.remove(table)?;
        let now: Vec<_> = old.auth.secrets.clone().into_iter().collect();
        let is_same = self.auth == old.auth.scheme && self.secrets == now;
        if !is_same || self.args.flags.is_about_auth() {
            let user = self.args.flags.user.as_deref().filter(|_| self.auth == "basic");
            flags::put_auth(table, self.auth, user, self.secrets);
            if self.auth == old.auth.scheme {
                let kept =
                    old.auth.settings.iter().filter(|(key, _)| *key != "user" || user.is_none());
                flags::put_auth_settings(table, kept.map(|(k, v)| (k.as_str(), v.as_str())));
            }
            flags::put_auth_settings(table, self.args.flags.auth_settings());
        }
        Ok(())
    }

    fn remove(&self, table: &mut dyn TableLike) -> Result<(), Failure> {
        let args = self.args;
        for rule in &args.remove_rule {
            let rule = rule.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            let mut found = false;
            for key in ["allow", "ask", "deny"] {
                found |= flags::take(table, key, &rule);
            }
            if !found {
                return Err(Failure::failed(format!("`{}` has no such rule", args.name))
                    .hint(format!("run `strongroom show {}` to see its rules", args.name)));
            }
            if rule == ALLOW_ALL_RULE {
                table.remove("i_understand");
            }
        }
        for (key, words) in
            [("principals", &args.remove_principal), ("allow_ips", &args.remove_allow_ip)]
        {
            for word in words {
                if !flags::take(table, key, word) {
                    return Err(Failure::failed(format!(
                        "`{key}` of `{}` has no such word",
                        args.name
                    )));
                }
            }
        }
        for name in &args.remove_header {
            let headers = table.get_mut("headers").and_then(|item| item.as_table_like_mut());
            if headers.and_then(|headers| headers.remove(name)).is_none() {
                return Err(Failure::failed(format!("`{}` has no such header", args.name)));
            }
        }
        if args.remove_ca_file {
            table.remove("ca_file");
        }
        Ok(())
    }
}
