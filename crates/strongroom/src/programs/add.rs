//! `strongroom add` of a program.

use std::sync::Arc;

use strongroom_model::policy::Verdict;
use strongroom_model::principal::Name;
use toml_edit::{InlineTable, Table};

use super::view::ProgramView;
use super::{ProgramFlags, Template, fields, find, locate, put_program};
use crate::config::edit::Editor;
use crate::environment::Host;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::keys::{Key, KeyFlags};
use crate::output::Output;
use crate::{admin, confirm, home, stored};

/// What `add` was told.
pub struct Add<'a> {
    /// What agents call it.
    pub name: &'a Name,
    /// The template to use under another name.
    pub template: Option<&'a str>,
    /// The policy.
    pub flags: &'a Flags,
    /// The program.
    pub program: &'a ProgramFlags,
    /// Its key.
    pub key: &'a KeyFlags,
}

impl Add<'_> {
    /// Whether it is a program that is added.
    pub fn is_meant(&self) -> bool {
        let known = self.template.unwrap_or(self.name.as_str());
        self.flags.base_url.is_none() && (!self.program.is_empty() || find(known).is_some())
    }

    /// Adds it.
    pub fn run(&self, host: &Host, output: &Output) -> Result<(), Failure> {
        let home = host.home()?;
        let vault = home::open(&home, Arc::clone(&host.clock))?;
        let template = find(self.template.unwrap_or(self.name.as_str()));
        let mut table = self.table(template.as_ref(), host)?;
        refuse_second(&Editor::open(&home)?, self.name)?;
        let fields = fields(&table);
        let key = if fields.is_empty() {
            Key::Values(Vec::new())
        } else {
            let asked = template.as_ref().and_then(|template| template.key.as_deref());
            self.key.obtain(host, output, asked.unwrap_or(self.name.as_str()), &fields)?
        };
        if let Key::At(references) = &key {
            let mut wider = Vec::new();
            for reference in references {
                stored::check_use(&vault, reference, self.name)?;
                if reference.scheme() == "local" {
                    wider.push(format!("uses the stored secret `{reference}`"));
                }
            }
            if !wider.is_empty() && !Editor::open(&home)?.config().headless {
                confirm::by_a_person(&wider, host).inspect_err(|_| {
                    let (act, name) = ("service.add.refused", self.name.as_str());
                    admin::record_if_possible(host, output, act, name);
                })?;
            }
        }
        let mut secrets = InlineTable::new();
        for (at, field) in fields.iter().enumerate() {
            let place = match &key {
                Key::At(references) => references[at].clone(),
                Key::Values(_) => stored::place(self.name, field),
            };
            secrets.insert(field, place.as_str().into());
        }
        if !secrets.is_empty() {
            flags::set(&mut table, "secrets", secrets);
        }

        let mut editor = Editor::open(&home)?;
        refuse_second(&editor, self.name)?;
        editor.put(self.name.as_str(), table);
        let config = editor.check()?;
        admin::record(host, &home, "service.add", self.name.as_str())?;
        if let Key::Values(values) = &key {
            for (field, value) in fields.iter().zip(values) {
                stored::put(&vault, &stored::place(self.name, field), self.name, value)?;
            }
        }
        editor.save()?;

        key.warn_if_absent(host, output);
        let command = config.command(self.name.as_str()).ok_or_else(super::edit::vanished)?;
        output.report(&ProgramView::new(command).brief())?;
        if command.policy.rules().iter().all(|rule| rule.verdict() == Verdict::Deny) {
            let word = &command.program.word;
            output.hint(&format!(
                "nothing is allowed yet: run `strongroom edit {} --allow '{word} ...'`",
                self.name
            ));
        }
        output.hint("run `strongroom connect` to let a client use it");
        Ok(())
    }

    fn table(&self, template: Option<&Template>, host: &Host) -> Result<Table, Failure> {
        let program = self.program.command.as_ref();
        let Some(program) = program.or(template.map(|template| &template.command)) else {
            return Err(
                Failure::usage("`--command` is missing").hint("say which program: `--command git`")
            );
        };
        if template.is_some_and(|template| template.askpass) && self.program.askpass.is_none() {
            return Err(Failure::usage("`--askpass` is missing")
                .hint("say which host the token is for: `--askpass github.com`"));
        }
        let (found, word) = locate(program, host)?;
        let mut table = Table::new();
        put_program(&mut table, &found, &word);
        if let Some(template) = template {
            for (key, item) in &template.table {
                table.insert(key, item.clone());
            }
            let comment = format!("\n# {}: {}\n", template.about, template.docs);
            table.decor_mut().set_prefix(comment);
        } else {
            table.decor_mut().set_prefix("\n");
        }
        self.program.apply(&mut table, self.flags.user.as_deref(), &host.directory);
        self.flags.apply_policy(&mut table);
        Ok(table)
    }
}

fn refuse_second(editor: &Editor, name: &Name) -> Result<(), Failure> {
    if editor.config().names().any(|there| there == name) {
        return Err(Failure::failed(format!("there is a service `{name}` already"))
            .hint(format!("run `strongroom edit {name}` to change it")));
    }
    Ok(())
}
