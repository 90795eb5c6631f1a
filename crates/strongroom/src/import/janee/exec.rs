//! Capabilities that ran programs.
//!
//! There a program was known by the last part of its path, and could be given any arguments. Here it is
//! one file, held to its content, and what may be asked of it are rules: a person is asked, unless all is
//! to stay as it was.

use std::collections::BTreeSet;

use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use toml_edit::{InlineTable, Table};

use super::files::{Capability, Exec, Service};
use super::plan::{self, Options, Planned};
use crate::config::{ALLOW_ALL, Config};
use crate::flags;
use crate::stored;

/// The services of ours for a capability: one for each program.
pub(super) fn planned(
    capability: &Capability,
    exec: &Exec,
    service: &Service,
    is_restricted: bool,
    options: &Options<'_>,
) -> Vec<Result<Planned, String>> {
    if exec.commands.is_empty() {
        return vec![Err("it names no program in `allowCommands`, so that none ran".to_owned())];
    }
    let is_one = exec.commands.len() == 1;
    let one = |program: &String| {
        let name = if is_one { None } else { Some(program.as_str()) };
        of_program(capability, exec, program, name, service, is_restricted, options)
            .map_err(|why| if is_one { why } else { format!("`{}`: {why}", plan::plain(program)) })
    };
    exec.commands.iter().map(one).collect()
}

fn of_program(
    capability: &Capability,
    exec: &Exec,
    program: &str,
    suffix: Option<&str>,
    service: &Service,
    is_restricted: bool,
    options: &Options<'_>,
) -> Result<Planned, String> {
    let there = capability.name.as_str();
    let wanted = suffix.map_or(there.to_owned(), |suffix| format!("{there}-{suffix}"));
    let name =
        plan::slug(&wanted).ok_or("its name has no letter or digit that one here can have")?;
    if options.taken.contains(name.as_str()) {
        return Err(format!("there is a service `{name}` here already, which stays as it is"));
    }
    let found = (options.find)(program).ok_or("there is no such program in `PATH` now")?;
    let Environment { env, fields } = env(exec, service)?;
    let mut notes = Vec::new();
    let mut table = Table::new();
    flags::set(&mut table, "command", found.path.display().to_string());
    flags::set(&mut table, "program", program);
    flags::set(&mut table, "sha256", found.sha256.as_str());
    let places: Vec<(SecretRef, String)> =
        fields.iter().map(|field| (stored::place(&name, field), field.clone())).collect();
    let secrets = places.iter().map(|(place, field)| (field.as_str(), place.as_str()));
    flags::set(&mut table, "secrets", secrets.collect::<InlineTable>());
    flags::set(
        &mut table,
        "env",
        env.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<InlineTable>(),
    );
    if let Some((_, token)) =
        env.iter().find(|(name, _)| is_git_token(name)).filter(|_| program == "git")
    {
        let askpass = [("host", "github.com"), ("username", "x-access-token"), ("password", token)];
        flags::set(&mut table, "askpass", askpass.into_iter().collect::<InlineTable>());
        notes.push("git is answered at github.com, and at no other host".to_owned());
    }
    rules(capability, program, options.allow_all, &mut table, &mut notes);
    if let Some(agents) = plan::agents(capability, service, is_restricted) {
        let names = plan::principals(&agents, &mut notes);
        table.insert("principals", toml_edit::Item::Value(names.into_iter().collect()));
    }
    place(exec, &mut table, &mut notes);
    if name.as_str() != there {
        notes.push(format!(
            "`{}` of `{}` is called `{name}` here",
            plan::plain(program),
            plan::plain(there)
        ));
    }
    table.decor_mut().set_prefix(format!("\n# from Janee: {}\n", plan::plain(there)));
    check(&name, &table)?;
    Ok(Planned {
        name,
        capability: Some(there.to_owned()),
        service: service.name.clone(),
        address: found.path.display().to_string(),
        rules: Vec::new(),
        notes,
        table,
        secrets: places,
    })
}

fn check(name: &Name, table: &Table) -> Result<(), String> {
    let text = format!("[services.{name}]\n{table}");
    Config::parse("strongroom.toml", &text).map(drop).map_err(|error| error.problem)
}

/// Variables, and the secret fields in them.
struct Environment {
    env: Vec<(String, String)>,
    fields: Vec<String>,
}

/// What a program is given.
fn env(exec: &Exec, service: &Service) -> Result<Environment, String> {
    let has = |field: &str| service.secrets.contains_key(field);
    let only = ["key", "apiKey", "password"].into_iter().find(|field| has(field));
    let (mut env, mut fields) = (Vec::new(), BTreeSet::new());
    for (name, value) in &exec.env {
        let mut value = value.clone();
        if value.contains("{{credential}}") {
            let Some(only) = only else {
                return Err(format!(
                    "`{{{{credential}}}}` of `{}` is no stored secret",
                    service.auth
                ));
            };
            value = value.replace("{{credential}}", &format!("{{{{{only}}}}}"));
        }
        let used = service.secrets.keys().filter(|key| value.contains(&format!("{{{{{key}}}}}")));
        fields.extend(used.cloned());
        env.push((name.clone(), value));
    }
    Ok(Environment { env, fields: fields.into_iter().collect() })
}

fn rules(
    capability: &Capability,
    program: &str,
    allow_all: bool,
    table: &mut Table,
    notes: &mut Vec<String>,
) {
    let rule = format!("{program} **");
    let is_allowed = allow_all && capability.auto_approve != Some(false);
    let key = if is_allowed { "allow" } else { "ask" };
    plan::put_rules(table, key, std::slice::from_ref(&rule), capability.requires_reason);
    let now = if is_allowed {
        flags::set(table, "i_understand", ALLOW_ALL);
        "so it can here".to_owned()
    } else {
        format!(
            "here a person is asked (`strongroom edit` allows some, as in `{program} --version`)"
        )
    };
    let program = plan::plain(program);
    notes.push(format!("any `{program}` could run, from any place, with any arguments; {now}"));
    notes.push("here it is this one file, and another content of it is refused".to_owned());
    if capability.allow.is_some() || capability.deny.is_some() {
        notes.push("`rules` are about requests, and were not looked at for programs".to_owned());
    }
    if capability.requires_reason {
        notes.push("the agent has to say why, as there".to_owned());
    }
}

/// Where it runs, and for how long.
fn place(exec: &Exec, table: &mut Table, notes: &mut Vec<String>) {
    match &exec.directory {
        Some(directory) if std::path::Path::new(directory).is_absolute() => {
            flags::set(table, "workdir", directory.as_str());
        }
        Some(_) => {
            notes.push("its `workDir` is not an absolute path; it runs in an empty folder".into());
        }
        None => {
            notes.push("the agent could say where it runs; here it runs in an empty folder".into());
        }
    }
    match exec.timeout.as_ref().map(|text| text.parse::<u64>()) {
        Some(Ok(milliseconds)) if milliseconds > 0 => {
            flags::set(table, "timeout", format!("{}s", milliseconds.div_ceil(1000)));
        }
        Some(_) => notes.push("its `timeout` is no number; it ends after 30 s".to_owned()),
        None => {}
    }
}

fn is_git_token(name: &str) -> bool {
    matches!(name, "GH_TOKEN" | "GITHUB_TOKEN")
}
