//! A draft in the making: inputs become texts, and texts become a server that is checked.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_model::server::{Delivery, Server, Template, Transport};

use super::super::build::build;
use super::fields::{choices, clean, field, flag, is_identifier, said, scalar};
use super::{
    Draft, Found, LONGEST, Member, Missing, Node, Options, Problem, Slot, Text, Value, member,
    names, values,
};

/// A draft in the making.
pub(super) struct Making<'a> {
    pub(super) text: &'a Text,
    pub(super) options: &'a Options<'a>,
    pub(super) name: Name,
    pub(super) at: usize,
    pub(super) about: Option<String>,
    pub(super) words: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: Option<String>,
    pub(super) url: Option<String>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) slots: Vec<Slot>,
    pub(super) missing: Vec<Missing>,
    pub(super) notices: Vec<String>,
    pub(super) used: BTreeSet<String>,
    from: String,
}

/// A part of a text.
pub(super) enum Piece {
    /// Itself.
    Text(String),
    /// A secret.
    Secret(SecretRef),
    /// Something that is still to be filled in.
    Open(String),
}

/// A text in the making.
#[derive(Default)]
pub(super) struct Line(pub(super) Vec<Piece>);

/// Where a text is to stand, and what for.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    /// `env`, `args`, `url` or `headers`.
    pub(super) kind: &'static str,
    /// The variable, the header, the argument.
    pub(super) name: &'p str,
}

impl Line {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Open(_)))
    }

    pub(super) fn is_secret(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Secret(_)))
    }

    fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl<'a> Making<'a> {
    pub(super) fn new(
        text: &'a Text,
        options: &'a Options<'a>,
        name: Name,
        found: &Found<'_>,
    ) -> Self {
        Self {
            text,
            options,
            name,
            at: found.at,
            about: None,
            words: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
            url: None,
            headers: BTreeMap::new(),
            slots: Vec::new(),
            missing: Vec::new(),
            notices: found.notices.clone(),
            used: BTreeSet::new(),
            from: found.from.clone(),
        }
    }

    /// A problem with the server as a whole.
    pub(super) fn refuse(&self, problem: impl Into<String>) -> Problem {
        self.text.problem(self.at, problem)
    }

    /// The slot for `name`, which `place` needs.
    pub(super) fn slot(
        &mut self,
        place: Place<'_>,
        name: &str,
        about: Option<&Node>,
        required: bool,
    ) -> Result<Line, Problem> {
        if !values(self.options, name).is_empty() {
            return Err(self
                .refuse("a value is given for a secret")
                .hint("import without it; the answer says the command that stores the secret"));
        }
        let reference: SecretRef =
            format!("local://{}/{}", self.name, names::slot(name)).parse().map_err(|error| {
                self.refuse(format!("no place for a secret can be named: {error}"))
            })?;
        let needed_by = format!("{}.{}", place.kind, clean(place.name));
        let slot = Slot { reference: reference.clone(), needed_by, about: said(about), required };
        if !self
            .slots
            .iter()
            .any(|s| s.reference == slot.reference && s.needed_by == slot.needed_by)
        {
            self.slots.push(slot);
        }
        Ok(Line(vec![Piece::Secret(reference)]))
    }

    /// A setting that the caller has given a value for, or one that is still to be filled in.
    pub(super) fn open(
        &mut self,
        place: Place<'_>,
        name: &str,
        node: Option<&Node>,
    ) -> Result<Line, Problem> {
        if let Some(line) = self.given(name, node)? {
            return Ok(line);
        }
        let missing = Missing {
            place: place.kind,
            name: clean(name),
            about: said(node),
            choices: node.map(choices).unwrap_or_default(),
        };
        if !self.missing.contains(&missing) {
            self.missing.push(missing);
        }
        Ok(Line(vec![Piece::Open(name.to_owned())]))
    }

    /// The one value that the caller gives for `name`.
    pub(super) fn given(
        &mut self,
        name: &str,
        node: Option<&Node>,
    ) -> Result<Option<Line>, Problem> {
        match values(self.options, name).as_slice() {
            [] => Ok(None),
            [value] => {
                let choices = node.map(choices).unwrap_or_default();
                if !choices.is_empty() && !choices.iter().any(|choice| choice == value) {
                    let problem = format!("`{}` is not one of its choices", clean(name));
                    let hint = format!("write one of `{}`", choices.join("`, `"));
                    return Err(self.refuse(problem).hint(hint));
                }
                self.used.insert(name.to_owned());
                Ok(Some(Line::text(*value)))
            }
            _ => {
                let problem =
                    format!("several values are given for `{}`, which takes one", clean(name));
                Err(self.refuse(problem))
            }
        }
    }

    /// What an input of the official registry gives: its fixed value, the one that is given for it, its
    /// slot if it is secret, its default; otherwise it is open where it is required, and nothing.
    pub(super) fn input(
        &mut self,
        place: Place<'_>,
        name: &str,
        node: &Node,
    ) -> Result<Option<Line>, Problem> {
        self.input_of(place, name, node, None)
    }

    /// The same; `within` says that this is a variable of another input, and whether that is secret.
    fn input_of(
        &mut self,
        place: Place<'_>,
        name: &str,
        node: &Node,
        within: Option<bool>,
    ) -> Result<Option<Line>, Problem> {
        let secret = flag(node, "isSecret") || within == Some(true);
        let required = flag(node, "isRequired");
        if let Some(value) = field(node, "value").and_then(scalar) {
            let line = if within.is_some() {
                Line::text(&value)
            } else {
                let variables = field(node, "variables");
                self.fill(place, &value, variables, secret)?
            };
            if !secret || line.is_secret() || line.is_open() {
                return Ok(Some(line));
            }
            self.notice("the file has a value for a secret, which is not taken over");
            return self.slot(place, name, Some(node), required).map(Some);
        }
        if secret {
            return self.slot(place, name, Some(node), required).map(Some);
        }
        if let Some(line) = self.given(name, Some(node))? {
            return Ok(Some(line));
        }
        if let Some(default) = field(node, "default").and_then(scalar) {
            return Ok(Some(Line::text(default)));
        }
        if required || within.is_some() {
            self.open(place, name, Some(node)).map(Some)
        } else {
            Ok(None)
        }
    }

    /// `value`, with what stands in single braces filled in from `variables`. A brace that names none
    /// of them stays as it is, but in a secret, where it must be the secret, and in an address.
    pub(super) fn fill(
        &mut self,
        place: Place<'_>,
        value: &str,
        variables: Option<&Node>,
        secret: bool,
    ) -> Result<Line, Problem> {
        let mut line = Line::default();
        let mut rest = value;
        let mut plain = String::new();
        while let Some(open) = rest.find('{') {
            let inner = rest[open + 1..].split_once('}').map(|(inner, _)| inner);
            let name = inner.filter(|inner| is_identifier(inner));
            let known = name.and_then(|name| variables.and_then(|variables| variables.get(name)));
            let Some(name) = name.filter(|_| known.is_some() || secret || place.kind == "url")
            else {
                plain.push_str(&rest[..=open]);
                rest = &rest[open + 1..];
                continue;
            };
            plain.push_str(&rest[..open]);
            line.0.push(Piece::Text(std::mem::take(&mut plain)));
            let part = match known {
                Some(node) => self.input_of(place, name, node, Some(secret))?.unwrap_or_default(),
                None if secret => self.slot(place, name, None, true)?,
                None => self.open(place, name, None)?,
            };
            line.extend(part);
            self.check_length(&line)?;
            rest = &rest[open + name.len() + 2..];
        }
        plain.push_str(rest);
        line.0.push(Piece::Text(plain));
        Ok(line)
    }

    fn check_length(&self, line: &Line) -> Result<(), Problem> {
        let length = line.0.iter().map(|piece| match piece {
            Piece::Text(text) | Piece::Open(text) => text.len(),
            Piece::Secret(reference) => reference.as_str().len(),
        });
        if length.sum::<usize>() > LONGEST {
            return Err(self.refuse("a text becomes longer than 64 KiB"));
        }
        Ok(())
    }

    /// The text of `line` as our files write it.
    ///
    /// Invariant: the references in it are those of `line`, and no text of the source became one.
    pub(super) fn seal(&self, line: &Line) -> Result<String, Problem> {
        self.check_length(line)?;
        let pieces: Vec<&Piece> = line
            .0
            .iter()
            .filter(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()))
            .collect();
        let text: String = match pieces.as_slice() {
            [Piece::Secret(reference)] => Template::secret(reference.clone()).to_string(),
            pieces => pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text.clone(),
                    Piece::Secret(reference) => format!("{{{{{reference}}}}}"),
                    Piece::Open(name) => format!("{{{name}}}"),
                })
                .collect(),
        };
        let meant = pieces.iter().filter_map(|piece| match piece {
            Piece::Secret(reference) => Some(reference),
            _ => None,
        });
        match text.parse::<Template>() {
            Ok(template) if template.references().eq(meant) => Ok(text),
            _ => Err(self
                .refuse("the file names a secret by itself, or something that reads as one")
                .hint("a catalogue says which secrets it needs, and never where they are")),
        }
    }

    /// Adds a variable, unless something in it is still open.
    pub(super) fn set_env(&mut self, name: &str, line: &Line) -> Result<(), Problem> {
        if !line.is_open() {
            let text = self.seal(line)?;
            self.env.insert(name.to_owned(), text);
        }
        Ok(())
    }

    /// Adds a header, unless something in it is still open.
    pub(super) fn set_header(&mut self, name: &str, line: &Line) -> Result<(), Problem> {
        if !line.is_open() {
            let text = self.seal(line)?;
            self.headers.insert(name.to_owned(), text);
        }
        Ok(())
    }

    /// Adds an argument.
    pub(super) fn push(&mut self, line: &Line) -> Result<(), Problem> {
        let text = self.seal(line)?;
        self.words.push(text);
        Ok(())
    }

    /// Adds words that we wrote ourselves.
    pub(super) fn push_ours(&mut self, words: &[&str]) {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// Tells the person something, once.
    pub(super) fn notice(&mut self, notice: impl Into<String>) {
        let notice = notice.into();
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }

    /// The draft, checked by the rules of every source.
    pub(super) fn finish(mut self) -> Result<Draft, Problem> {
        if let Some(url) = &self.url
            && url.split_once("://").is_some_and(|(_, rest)| {
                rest.split(['/', '?', '#']).next().unwrap_or_default().contains('{')
            })
            && let Some(missing) = self.missing.iter().find(|missing| missing.place == "url")
        {
            let (name, given) = (&missing.name, format!("--set {}=VALUE", missing.name));
            let problem = format!("the host of the address is open: `{name}` is not given");
            return Err(self.refuse(problem).hint(format!("give it with `{given}`")));
        }
        if *self.from != *self.name.as_str() && self.options.name.is_none() {
            let notice = format!("it is called `{}` here", self.name);
            self.notices.insert(0, notice);
        }
        let node = self.node();
        let built = build(self.text, &self.name, &node).map_err(|problem| {
            // The tree is ours, so its places are none of the file's.
            self.refuse(problem.problem).maybe_hint(problem.hint)
        })?;
        let visible = built.shows.is_some();
        if let Some(shows) = built.shows.filter(|_| !self.options.allow_visible_secrets) {
            return Err(self.refuse(shows.problem).hint(
                "others on this machine would see it; say that this is meant: `--allow-visible-secrets`",
            ));
        }
        Ok(Draft {
            name: self.name,
            from: self.from,
            server: built.server,
            visible,
            slots: self.slots,
            missing: self.missing,
            notices: self.notices,
            used: self.used,
        })
    }

    fn node(&self) -> Node {
        let text = |text: &String| Value::Text(text.clone());
        let list = |texts: &[String]| Value::List(texts.iter().map(|t| ours(text(t))).collect());
        let table = |texts: &BTreeMap<String, String>| {
            Value::Table(texts.iter().map(|(key, value)| member(key, text(value))).collect())
        };
        let mut members: Vec<Member> = Vec::new();
        if let Some(about) = &self.about {
            members.push(member("description", text(about)));
        }
        if !self.words.is_empty() {
            members.push(member("command", list(&self.words)));
        }
        if let Some(url) = &self.url {
            members.push(member("url", text(url)));
        }
        if !self.env.is_empty() {
            members.push(member("env", table(&self.env)));
        }
        if let Some(cwd) = &self.cwd {
            members.push(member("cwd", text(cwd)));
        }
        if !self.headers.is_empty() {
            members.push(member("headers", table(&self.headers)));
        }
        ours(Value::Table(members))
    }
}

fn ours(value: Value) -> Node {
    Node { at: 0, value }
}

/// The table of `server`, by the keys of a registry.
pub(super) fn table(server: &Server, visible: bool) -> Node {
    let text = |text: &dyn std::fmt::Display| Value::Text(text.to_string());
    let mut members = Vec::new();
    if let Some(about) = &server.description {
        members.push(member("description", text(about)));
    }
    match &server.transport {
        Transport::Stdio(stdio) => {
            let words =
                std::iter::once(text(&stdio.program)).chain(stdio.args.iter().map(|a| text(a)));
            members.push(member("command", Value::List(words.map(ours).collect())));
            let (secrets, plain): (Vec<_>, Vec<_>) = stdio
                .env
                .iter()
                .partition(|(_, template)| template.to_string().parse::<SecretRef>().is_ok());
            for (key, pairs) in [("env", plain), ("secrets", secrets)] {
                if !pairs.is_empty() {
                    let pairs =
                        pairs.into_iter().map(|(name, template)| member(name, text(template)));
                    members.push(member(key, Value::Table(pairs.collect())));
                }
            }
            if let Some(cwd) = &stdio.cwd {
                members.push(member("cwd", text(&cwd.display())));
            }
        }
        // No format but ours has what lies beyond the public network.
        Transport::Http { url, headers, beyond: _ } => {
            members.push(member("url", text(url)));
            if !headers.is_empty() {
                let pairs = headers.iter().map(|(name, template)| member(name, text(template)));
                members.push(member("headers", Value::Table(pairs.collect())));
            }
        }
    }
    if server.delivery != Delivery::default() {
        members.push(member("delivery", text(&server.delivery.as_str())));
    }
    if visible {
        members.push(member("allow_visible_secrets", Value::Flag(true)));
    }
    ours(Value::Table(members))
}
