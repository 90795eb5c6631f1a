//! Services of ours for what a home has: one for each capability, under its name, since that is what
//! agents call it by.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use strongroom_model::base_url::BaseUrl;
use strongroom_model::display::DisplaySafe;
use strongroom_model::policy::{Rule, Verdict};
use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_proxy::exec::Fingerprint;
use toml_edit::{Array, InlineTable, Item, Table};

use super::files::{Capability, Home, Service};
use super::rules::{self, Difference, Line};
use super::{Left, auth, exec};
use crate::config::{ALLOW_ALL, ALLOW_ALL_RULE, Config};
use crate::flags;
use crate::stored;
use crate::templates::{self, Template};

/// What is imported, and what is not.
#[derive(Debug, Default)]
pub struct Plan {
    /// The services of ours.
    pub services: Vec<Planned>,
    /// What does not come over.
    pub left: Vec<Left>,
}

/// A service of ours.
#[derive(Debug, Serialize)]
pub struct Planned {
    /// Its name here.
    pub name: Name,
    /// The capability that it stands for, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    /// The service there.
    pub service: String,
    /// Its base URL, or its program.
    pub address: String,
    /// What became of each pattern.
    pub rules: Vec<Line>,
    /// What else is another thing here than there.
    pub notes: Vec<String>,
    /// Its table in the file.
    #[serde(skip)]
    pub table: Table,
    /// Its secrets: where each goes, and the field of the service there that it comes from.
    #[serde(skip)]
    pub secrets: Vec<(SecretRef, String)>,
}

/// The rules of a service.
#[derive(Default)]
struct Policy {
    allow: Vec<String>,
    ask: Vec<String>,
    deny: Vec<String>,
    lines: Vec<Line>,
    notes: Vec<String>,
}

/// What the person wants of an import.
pub struct Options<'a> {
    /// Where nothing was said there, everything is allowed here as it was there.
    pub allow_all: bool,
    /// The capabilities and services to take; all, if there is none.
    pub only: &'a [String],
    /// The services and commands that there are.
    pub taken: &'a BTreeSet<String>,
    /// Finds a program by its name.
    pub find: &'a dyn Fn(&str) -> Option<Fingerprint>,
}

/// What is to be done to import `home`.
pub fn of(home: &Home, options: &Options<'_>) -> Plan {
    let mut plan = Plan { left: home.left.clone(), ..Plan::default() };
    let used: BTreeSet<&str> = home.capabilities.iter().map(|one| one.service.as_str()).collect();
    let none = Capability::default();
    let lonely = home.services.iter().filter(|service| !used.contains(service.name.as_str()));
    let pairs = home.capabilities.iter().map(|capability| {
        let service = home.services.iter().find(|service| service.name == capability.service);
        (capability, service)
    });
    for (capability, service) in pairs.chain(lonely.map(|service| (&none, Some(service)))) {
        let is_capability = !capability.name.is_empty();
        let there = service.map_or("", |service| service.name.as_str());
        let name = if is_capability { &*capability.name } else { there };
        let kind = if is_capability { "capability" } else { "service" };
        if !options.only.is_empty() && !options.only.iter().any(|only| only == name) {
            continue;
        }
        let is_restricted = home.is_restricted;
        let found = match (service, &capability.exec) {
            (None, _) => vec![Err("there is no such service as it names".to_owned())],
            (Some(service), Some(exec)) => {
                exec::planned(capability, exec, service, is_restricted, options)
            }
            (Some(service), None) => {
                vec![planned(name, capability, service, is_restricted, options)]
            }
        };
        for planned in found {
            let why = match planned {
                Ok(planned) if plan.services.iter().any(|one| one.name == planned.name) => {
                    format!("another one is called `{}` here already", planned.name)
                }
                Ok(planned) => {
                    plan.services.push(planned);
                    continue;
                }
                Err(why) => why,
            };
            plan.left.push(Left::new(format!("the {kind} `{name}`"), why));
        }
    }
    plan
}

fn planned(
    there: &str,
    capability: &Capability,
    service: &Service,
    is_restricted: bool,
    options: &Options<'_>,
) -> Result<Planned, String> {
    let name = slug(there).ok_or("its name has no letter or digit that one here can have")?;
    if options.taken.contains(name.as_str()) {
        return Err(format!("there is a service `{name}` here already, which stays as it is"));
    }
    BaseUrl::parse(&service.base_url, false).map_err(|error| {
        format!("its base URL cannot be used: {error}; add it by `strongroom add {name}`")
    })?;
    let auth = auth::translate(service)?;
    let template = At::of(&service.base_url);
    let is_reached = !capability.name.is_empty();
    let mut policy = policy(capability, service, template.as_ref(), is_reached, options.allow_all);
    if name.as_str() != there {
        policy.notes.push(format!("`{there}` is called `{name}` here"));
    }
    let secrets: Vec<(String, SecretRef)> = auth
        .secrets
        .iter()
        .map(|(field, _)| (field.clone(), stored::place(&name, field)))
        .collect();
    let mut table = Table::new();
    flags::set(&mut table, "base_url", service.base_url.as_str());
    flags::put_auth(&mut table, auth.kind, None, &secrets);
    put_settings(&mut table, &auth.settings);
    if let Some(template) = &template {
        template.add(&mut table, &secrets);
    }
    if policy.allow.iter().any(|rule| rule == ALLOW_ALL_RULE) {
        flags::set(&mut table, "i_understand", ALLOW_ALL);
    }
    put_rules(&mut table, "allow", &policy.allow, capability.requires_reason);
    put_rules(&mut table, "ask", &policy.ask, capability.requires_reason);
    put_rules(&mut table, "deny", &policy.deny, false);
    if let Some(agents) = agents(capability, service, is_restricted) {
        let names = principals(&agents, &mut policy.notes);
        table.insert("principals", Item::Value(names.into_iter().collect()));
    }
    match service.test_path.as_deref() {
        Some(path) if path.starts_with('/') => flags::set(&mut table, "test_path", path),
        Some(_) => policy.notes.push("its `testPath` does not begin with `/`".to_owned()),
        None => {}
    }
    table.decor_mut().set_prefix(format!("\n# from Janee: {}\n", plain(there)));
    let text = format!("[services.{name}]\n{table}");
    Config::parse("strongroom.toml", &text).map_err(|error| error.problem)?;
    let fields = auth.secrets.into_iter().map(|(_, theirs)| theirs);
    Ok(Planned {
        name,
        capability: is_reached.then(|| capability.name.clone()),
        service: service.name.clone(),
        address: service.base_url.clone(),
        rules: policy.lines,
        notes: policy.notes,
        secrets: secrets.into_iter().map(|(_, place)| place).zip(fields).collect(),
        table,
    })
}

/// What a capability allows.
fn policy(
    capability: &Capability,
    service: &Service,
    template: Option<&At>,
    is_reached: bool,
    allow_all: bool,
) -> Policy {
    let mut policy = Policy::default();
    for pattern in capability.deny.iter().flatten() {
        let (line, rules) = rules::translate(Verdict::Deny, pattern);
        policy.lines.push(line);
        policy.deny.extend(rules);
    }
    let blocks: Vec<_> = service.blocks.iter().chain(&capability.blocks).collect();
    match &capability.allow {
        Some(patterns) if patterns.iter().any(|pattern| rules::is_everything(pattern)) => {
            everything(&mut policy, template, allow_all, "`* *` allowed every request");
            refuse_blocks(&blocks, &mut policy.lines);
        }
        Some(patterns) => {
            for pattern in patterns {
                let (line, rules) = rules::translate(Verdict::Allow, pattern);
                policy.lines.push(line);
                policy.allow.extend(rules);
            }
            refuse_blocks(&blocks, &mut policy.lines);
        }
        None if !blocks.is_empty() => {
            for block in &blocks {
                allow_block(block, &mut policy);
            }
            policy.notes.push(
                "Janee ignored `policies` and allowed everything; here they allow what they say, and \
                 nothing else is"
                    .to_owned(),
            );
        }
        None if !is_reached => policy.notes.push(
            "no capability led to it, so that no agent could use it; here no rule allows anything"
                .to_owned(),
        ),
        None => {
            let meant = match &capability.deny {
                Some(_) => "whatever was not denied was allowed",
                None => "it had no rules, which allowed every request",
            };
            everything(&mut policy, template, allow_all, meant);
        }
    }
    if capability.auto_approve == Some(false) {
        policy.ask.append(&mut policy.allow);
        let note = "`autoApprove: false` asked nobody there; here a person is asked";
        policy.notes.push(note.to_owned());
    }
    if capability.requires_reason {
        policy.notes.push("the agent has to say why, as there".to_owned());
    }
    if let Some(ttl) = &capability.ttl {
        policy.notes.push(format!(
            "`ttl: {}` ended a session that the next call opened again; here each call is judged by \
             itself",
            plain(ttl)
        ));
    }
    policy
}

/// Everything was allowed there; here that has to be asked for.
fn everything(policy: &mut Policy, template: Option<&At>, allow_all: bool, meant: &str) {
    let now = if allow_all {
        policy.allow.push(ALLOW_ALL_RULE.to_owned());
        "here it is, too".to_owned()
    } else if let Some(template) = template.filter(|template| template.is_same) {
        policy.allow.extend(template.template.plain("allow"));
        policy.ask.extend(template.template.plain("ask"));
        policy.deny.extend(template.template.plain("deny"));
        format!("here the rules of the template `{}` hold", template.template.name)
    } else {
        policy.allow.extend(["GET /**".to_owned(), "HEAD /**".to_owned()]);
        "here reading is: GET and HEAD".to_owned()
    };
    let more = if allow_all { "" } else { " (`--allow-all` keeps it as it was)" };
    policy.notes.push(format!("{meant}; {now}{more}"));
}

/// A block with a method and a path, as an allow rule.
fn allow_block((path, methods): &(String, Vec<String>), policy: &mut Policy) {
    let methods = methods.join("|").to_ascii_uppercase();
    let there = format!("policies: {methods} {path}");
    let pattern = format!("{methods} {path}");
    // A block has the form of ours; one that is none is read as a pattern.
    let paths: Vec<String> = if Rule::parse(Verdict::Allow, &pattern).is_ok() {
        vec![pattern]
    } else {
        let each = methods.split('|').map(|method| format!("{method} {path}"));
        each.flat_map(|one| rules::translate(Verdict::Allow, &one).1).collect()
    };
    let is_left = paths.is_empty();
    let difference = if is_left { Difference::Left } else { Difference::Stricter };
    let why = if is_left { "it is no rule here" } else { "it was ignored there" };
    let here = paths.iter().map(|rule| format!("allow {rule}")).collect();
    policy.lines.push(Line { there, here, difference, why: why.to_owned() });
    policy.allow.extend(paths);
}

/// Rules were in force there and blocks were not: to add them would allow more than was.
fn refuse_blocks(blocks: &[&(String, Vec<String>)], lines: &mut Vec<Line>) {
    for (path, methods) in blocks {
        lines.push(Line {
            there: format!("policies: {} {path}", methods.join("|")),
            here: Vec::new(),
            difference: Difference::Left,
            why: "it was ignored there, beside rules; to add it would allow more than was"
                .to_owned(),
        });
    }
}

/// The agents that may use it; `None`: all.
pub(super) fn agents(
    capability: &Capability,
    service: &Service,
    restricted: bool,
) -> Option<Vec<String>> {
    if !capability.agents.is_empty() {
        return Some(capability.agents.clone());
    }
    if restricted && !capability.name.is_empty() {
        Some(Vec::new())
    } else {
        service.owners.clone()
    }
}

pub(super) fn principals(agents: &[String], notes: &mut Vec<String>) -> Vec<String> {
    let names: BTreeSet<String> =
        agents.iter().filter_map(|agent| slug(agent)).map(|name| name.to_string()).collect();
    for agent in agents.iter().filter(|agent| !agent.is_empty()) {
        match slug(agent) {
            Some(name) if name.as_str() == agent => {}
            Some(name) => notes.push(format!("the agent `{}` is `{name}` here", plain(agent))),
            None => notes.push(format!("`{}` cannot be the name of a principal", plain(agent))),
        }
    }
    notes.push(if names.is_empty() {
        "no agent could use it there, and none can here: see `strongroom edit --principal`".to_owned()
    } else {
        let create: Vec<_> =
            names.iter().map(|name| format!("`strongroom principal create {name}`")).collect();
        format!(
            "there an agent said itself who it is; here it is a principal: {}, and connect each as it",
            create.join(", ")
        )
    });
    names.into_iter().collect()
}

/// Writes rules, each once.
pub(super) fn put_rules(table: &mut Table, key: &str, rules: &[String], with_reason: bool) {
    if !with_reason {
        return flags::append(table, key, rules);
    }
    let rules: BTreeSet<&String> = rules.iter().collect();
    let rule = |rule: &String| {
        let mut inline = InlineTable::new();
        inline.insert("rule", rule.as_str().into());
        inline.insert("reason", "required".into());
        inline
    };
    let list: Array = rules.into_iter().map(rule).collect();
    if !list.is_empty() {
        table.insert(key, toml_edit::value(list));
    }
}

fn put_settings(table: &mut Table, settings: &BTreeMap<String, String>) {
    if let Some(auth) = table.get_mut("auth").and_then(Item::as_table_like_mut) {
        for (key, value) in settings {
            auth.insert(key, toml_edit::value(value.as_str()));
        }
    }
}

/// A template of the same place.
struct At {
    template: Template,
    /// Whether its paths begin at the same place, too.
    is_same: bool,
}

impl At {
    fn of(base_url: &str) -> Option<Self> {
        let bare = |url: &str| BaseUrl::parse(url, false).ok();
        let there = bare(base_url)?;
        let mut found = None;
        for template in templates::all() {
            let Some(ours) = template.text("base_url").and_then(bare) else { continue };
            if ours == there {
                return Some(Self { template, is_same: true });
            }
            if ours.origin == there.origin {
                found = Some(Self { template, is_same: false });
            }
        }
        found
    }

    /// What the API needs and what its answers may hold, but for rules.
    fn add(&self, table: &mut Table, secrets: &[(String, SecretRef)]) {
        let is_key = |name: &str| secrets.iter().any(|(field, _)| field.eq_ignore_ascii_case(name));
        let mut headers = self.template.table.get("headers").cloned();
        if let Some(headers) = headers.as_mut().and_then(Item::as_table_like_mut) {
            let keys: Vec<String> = headers.iter().map(|(name, _)| name.to_owned()).collect();
            keys.iter().filter(|name| is_key(name)).for_each(|name| drop(headers.remove(name)));
        }
        if let Some(headers) = headers
            && headers.as_table_like().is_some_and(|headers| !headers.is_empty())
        {
            table.insert("headers", headers);
        }
        for key in ["request_headers", "redact_fields", "encoded_slash"] {
            if let Some(item) = self.template.table.get(key) {
                table.insert(key, item.clone());
            }
        }
    }
}

/// The name that comes nearest to `text`.
pub(super) fn slug(text: &str) -> Option<Name> {
    if let Ok(name) = text.parse() {
        return Some(name);
    }
    let lower = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = text.chars().map(lower).collect();
    text.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-").parse().ok()
}

/// Text of the home, in one line.
pub(super) fn plain(text: &str) -> String {
    DisplaySafe(text).to_string()
}
