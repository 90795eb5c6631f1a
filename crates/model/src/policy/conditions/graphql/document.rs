//! The operation of a document, with its top-level fields.

use std::collections::{HashMap, HashSet};

use super::lexer::{Lexer, MALFORMED, Token};
use super::{Kind, Problem, UNCLEAR};

/// Levels of brackets that are gone into.
const DEPTH: usize = 128;
/// Levels of fragments and inline fragments at the top.
const FRAGMENTS: usize = 32;

/// What is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Operation {
    pub(super) kind: Kind,
    /// The names of the fields, not their aliases; each once.
    pub(super) fields: Vec<Box<str>>,
}

/// Where the selections of an operation begin.
#[derive(Clone, Copy, Debug)]
struct Definition {
    kind: Kind,
    at: usize,
}

/// The operation of `text` that `name` selects; without a name there may be only one.
pub(super) fn operation(text: &str, name: Option<&str>) -> Result<Operation, Problem> {
    let document = Document::read(text)?;
    let definition = match name {
        Some(name) => document.operations.get(&Some(name)),
        None if document.operations.len() == 1 => document.operations.values().next(),
        None => None,
    };
    let Definition { kind, at } = *definition.ok_or(UNCLEAR)?;
    let mut collector =
        Collector { document: &document, visited: HashSet::new(), fields: HashSet::new() };
    collector.selections(&mut Lexer::new(text, at), 0)?;
    let mut fields: Vec<Box<str>> = collector.fields.into_iter().map(Box::from).collect();
    fields.sort_unstable();
    Ok(Operation { kind, fields })
}

struct Document<'a> {
    text: &'a str,
    operations: HashMap<Option<&'a str>, Definition>,
    fragments: HashMap<&'a str, usize>,
}

impl<'a> Document<'a> {
    fn read(text: &'a str) -> Result<Self, Problem> {
        let mut document = Self { text, operations: HashMap::new(), fragments: HashMap::new() };
        let mut lexer = Lexer::new(text, 0);
        loop {
            let known = match lexer.peek()? {
                Token::End => break,
                Token::Sign(b'{') => {
                    let definition = Definition { kind: Kind::Query, at: lexer.at() };
                    document.operations.insert(None, definition).is_some()
                }
                Token::Name("fragment") => {
                    lexer.next()?;
                    let name = fragment_head(&mut lexer)?;
                    document.fragments.insert(name, lexer.at()).is_some()
                }
                Token::Name(word) => {
                    let kind = Kind::of(word).ok_or(MALFORMED)?;
                    lexer.next()?;
                    let name = operation_head(&mut lexer)?;
                    let definition = Definition { kind, at: lexer.at() };
                    document.operations.insert(name, definition).is_some()
                }
                _ => return Err(MALFORMED),
            };
            if known {
                return Err(UNCLEAR);
            }
            skip(&mut lexer)?;
        }
        // One without a name stands alone.
        if document.operations.len() > 1 && document.operations.contains_key(&None) {
            return Err(UNCLEAR);
        }
        Ok(document)
    }
}

/// A name, variables and directives, up to the selections.
fn operation_head<'a>(lexer: &mut Lexer<'a>) -> Result<Option<&'a str>, Problem> {
    let name = match lexer.peek()? {
        Token::Name(name) => {
            lexer.next()?;
            Some(name)
        }
        _ => None,
    };
    arguments(lexer)?;
    directives(lexer)?;
    opens(lexer)?;
    Ok(name)
}

fn fragment_head<'a>(lexer: &mut Lexer<'a>) -> Result<&'a str, Problem> {
    let name = match lexer.next()? {
        Token::Name(name) if name != "on" => name,
        _ => return Err(MALFORMED),
    };
    match (lexer.next()?, lexer.next()?) {
        (Token::Name("on"), Token::Name(_)) => {}
        _ => return Err(MALFORMED),
    }
    directives(lexer)?;
    opens(lexer)?;
    Ok(name)
}

fn opens(lexer: &Lexer<'_>) -> Result<(), Problem> {
    if lexer.peek()? == Token::Sign(b'{') { Ok(()) } else { Err(MALFORMED) }
}

/// `(...)`, where there is one.
fn arguments(lexer: &mut Lexer<'_>) -> Result<(), Problem> {
    if lexer.peek()? == Token::Sign(b'(') { skip(lexer) } else { Ok(()) }
}

fn directives(lexer: &mut Lexer<'_>) -> Result<(), Problem> {
    while lexer.peek()? == Token::Sign(b'@') {
        lexer.next()?;
        let Token::Name(_) = lexer.next()? else { return Err(MALFORMED) };
        arguments(lexer)?;
    }
    Ok(())
}

/// From a bracket to the one that closes it.
fn skip(lexer: &mut Lexer<'_>) -> Result<(), Problem> {
    let mut open = Vec::new();
    loop {
        let closing = match lexer.next()? {
            Token::End => return Err(MALFORMED),
            Token::Sign(b'(') => b')',
            Token::Sign(b'[') => b']',
            Token::Sign(b'{') => b'}',
            Token::Sign(sign @ (b')' | b']' | b'}')) => {
                if open.pop() != Some(sign) {
                    return Err(MALFORMED);
                }
                if open.is_empty() {
                    return Ok(());
                }
                continue;
            }
            _ => continue,
        };
        if open.len() == DEPTH {
            return Err("the GraphQL document nests too deep to be judged");
        }
        open.push(closing);
    }
}

/// Gathers fields; each fragment is gone through once.
struct Collector<'d, 'a> {
    document: &'d Document<'a>,
    visited: HashSet<&'a str>,
    fields: HashSet<&'a str>,
}

impl<'a> Collector<'_, 'a> {
    /// `{...}`, from bracket to bracket. A directive may leave a field out; it counts all the same.
    fn selections(&mut self, lexer: &mut Lexer<'a>, depth: usize) -> Result<(), Problem> {
        if depth > FRAGMENTS {
            return Err("the fragments of the GraphQL document nest too deep to be judged");
        }
        if lexer.next()? != Token::Sign(b'{') || lexer.peek()? == Token::Sign(b'}') {
            return Err(MALFORMED);
        }
        loop {
            match lexer.next()? {
                Token::Sign(b'}') => return Ok(()),
                Token::Spread => self.fragment(lexer, depth)?,
                Token::Name(mut name) => {
                    if lexer.peek()? == Token::Sign(b':') {
                        lexer.next()?;
                        let Token::Name(aliased) = lexer.next()? else { return Err(MALFORMED) };
                        name = aliased;
                    }
                    self.fields.insert(name);
                    arguments(lexer)?;
                    directives(lexer)?;
                    if lexer.peek()? == Token::Sign(b'{') {
                        skip(lexer)?;
                    }
                }
                _ => return Err(MALFORMED),
            }
        }
    }

    /// What follows `...`.
    fn fragment(&mut self, lexer: &mut Lexer<'a>, depth: usize) -> Result<(), Problem> {
        match lexer.peek()? {
            Token::Name("on") => {
                lexer.next()?;
                let Token::Name(_) = lexer.next()? else { return Err(MALFORMED) };
            }
            Token::Name(name) => {
                lexer.next()?;
                directives(lexer)?;
                let at = *self.document.fragments.get(name).ok_or(MALFORMED)?;
                if self.visited.insert(name) {
                    self.selections(&mut Lexer::new(self.document.text, at), depth + 1)?;
                }
                return Ok(());
            }
            _ => {}
        }
        directives(lexer)?;
        self.selections(lexer, depth + 1)
    }
}
