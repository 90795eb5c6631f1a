//! `strongroom edit` of a program.

use std::sync::Arc;

use strongroom_model::command::Command;
use strongroom_model::reference::SecretRef;

use super::view::ProgramView;
use super::{ProgramFlags, locate, put_program, widening};
use crate::config::Config;
use crate::config::edit::Editor;
use crate::environment::Host;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::keys::{Key, KeyFlags};
use crate::output::Output;
use crate::{admin, confirm, home, stored};

/// What `edit` was told.
pub struct Edit<'a> {
    /// The policy.
    pub flags: &'a Flags,
    /// The program.
    pub program: &'a ProgramFlags,
    /// Rules to take away.
    pub remove_rule: &'a [String],
    /// Principals to take away.
    pub remove_principal: &'a [String],
    /// Its new key, where there is one.
    pub key: Option<&'a KeyFlags>,
}

impl Edit<'_> {
    /// Changes `old`.
    pub fn run(&self, old: &Arc<Command>, host: &Host, output: &Output) -> Result<(), Failure> {
        let name = old.name.as_str();
        if self.flags.is_about_apis() {
            return Err(Failure::usage(format!("`{name}` is a program, and a flag is about APIs"))
                .hint("see `strongroom edit --help`, `A program`"));
        }
        let home = host.home()?;
        let vault = home::open(&home, Arc::clone(&host.clock))?;
        let headless = Config::load(&home)?.headless;
        let fields: Vec<String> = old.auth.secrets.keys().cloned().collect();
        let key = match self.key {
            Some(_) if fields.is_empty() => {
                return Err(Failure::failed(format!("`{name}` has no key")));
            }
            Some(key) => Some(key.obtain(host, output, name, &fields)?),
            None => None,
        };
        if let Some(Key::At(references)) = &key {
            for reference in references {
                stored::check_use(&vault, reference, &old.name)?;
            }
        }

        // The person is asked while nobody waits for the lock.
        let preview = self.apply(&mut Editor::open(&home)?, name, key.as_ref(), host)?;
        let wider = widening::of(old, preview.command(name).ok_or_else(vanished)?);
        if !wider.is_empty() && !headless {
            confirm::by_a_person(&wider, host).inspect_err(|_| {
                admin::record_if_possible(host, output, "service.edit.refused", name);
            })?;
        }
        let mut editor = Editor::open(&home)?;
        if editor.config().command(name).is_none_or(|now| now.revision != old.revision) {
            return Err(Failure::failed("the service was changed by somebody else in between")
                .hint("run the command again"));
        }
        let config = self.apply(&mut editor, name, key.as_ref(), host)?;
        admin::record(host, &home, "service.edit", name)?;
        if let Some(key) = &key {
            admin::record(host, &home, "secret.rotate", name)?;
            if let Key::Values(values) = key {
                for (field, value) in fields.iter().zip(values) {
                    stored::put(&vault, &place(old, field), &old.name, value)?;
                }
            }
        }
        editor.save()?;
        if let Some(key) = &key {
            key.warn_if_absent(host, output);
        }
        let command = config.command(name).ok_or_else(vanished)?;
        output.report(&ProgramView::new(command).brief())
    }

    fn apply(
        &self,
        editor: &mut Editor,
        name: &str,
        key: Option<&Key>,
        host: &Host,
    ) -> Result<Config, Failure> {
        let command = editor.config().command(name).map(Arc::clone).ok_or_else(vanished)?;
        let table = editor.service(name).and_then(|item| item.as_table_like_mut());
        let table = table.ok_or_else(vanished)?;
        if let Some(program) = &self.program.command {
            let (found, word) = locate(program, host)?;
            // By its path it keeps the name that rules know it by.
            let is_path = program.components().count() > 1;
            put_program(table, &found, if is_path { &command.program.word } else { &word });
        }
        self.program.apply(table, self.flags.user.as_deref(), &host.directory);
        self.flags.apply_policy(table);
        for rule in self.remove_rule {
            let rule = rule.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            let mut found = false;
            for key in ["allow", "ask", "deny"] {
                found |= flags::take(table, key, &rule);
            }
            if !found {
                return Err(Failure::failed(format!("`{name}` has no such rule"))
                    .hint(format!("run `strongroom show {name}` to see its rules")));
            }
        }
        for principal in self.remove_principal {
            if !flags::take(table, "principals", principal) {
                return Err(Failure::failed(format!("`principals` of `{name}` has no such word")));
            }
        }
        if let Some(key) = key
            && let Some(secrets) =
                table.get_mut("secrets").and_then(toml_edit::Item::as_table_like_mut)
        {
            for (at, field) in command.auth.secrets.keys().enumerate() {
                let place = match key {
                    Key::At(references) => references[at].clone(),
                    Key::Values(_) => place(&command, field),
                };
                secrets.insert(field, toml_edit::value(place.as_str()));
            }
        }
        Ok(editor.check()?)
    }
}

/// Where a new value goes: to the vault, at the place that it has there or gets.
fn place(command: &Command, field: &str) -> SecretRef {
    match command.auth.secrets.get(field) {
        Some(there) if there.scheme() == "local" => there.clone(),
        _ => stored::place(&command.name, field),
    }
}

/// It was there a moment ago.
pub(super) fn vanished() -> Failure {
    Failure::failed("the service was changed by somebody else in between")
        .hint("run the command again")
}
