//! Patterns of command lines: literal words, `*` for one, `**` for the rest.

use crate::policy::RuleError;

/// A pattern of what stands behind the program's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    words: Vec<Word>,
    /// `**` at the end.
    rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// `*`.
    Any,
    /// One of several.
    Among(Vec<Literal>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Literal {
    text: String,
    /// `text*`: what begins so.
    open: bool,
}

/// How literally a pattern is held against a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// For rules that allow: word for word.
    Exact,
    /// For rules that ask or deny: whatever the program may take for the same.
    Broad,
}

/// Bytes of a pattern.
const LONGEST: usize = 2 << 10;

impl Pattern {
    /// Reads a pattern; gives the program's name too, which is its first word.
    pub(super) fn parse(text: &str) -> Result<(String, Self), RuleError> {
        if text.len() > LONGEST {
            return refuse("the pattern is longer than 2 KiB", None);
        }
        let mut tokens = tokens(text)?.into_iter();
        let program = match tokens.next() {
            Some(Token { text, quoted: false }) => text,
            Some(Token { text, .. }) if !text.is_empty() => text,
            _ => {
                let hint = "write the program and its arguments: `git push **`";
                return refuse("the pattern is empty", Some(hint));
            }
        };
        let mut pattern = Self { words: Vec::new(), rest: false };
        for token in tokens {
            if pattern.rest {
                let hint = "`**` stands at the end: `git push **`; `*` stands for one argument";
                return refuse("`**` is not the last word", Some(hint));
            }
            if !token.quoted && token.text == "**" {
                pattern.rest = true;
            } else {
                pattern.words.push(Word::parse(token)?);
            }
        }
        Ok((program, pattern))
    }

    pub(super) fn matches_everything(&self) -> bool {
        self.words.is_empty() && self.rest
    }

    pub(super) fn matches(&self, args: &[String], reading: Reading) -> bool {
        match reading {
            Reading::Exact => {
                let length = if self.rest {
                    self.words.len() <= args.len()
                } else {
                    self.words.len() == args.len()
                };
                length && self.words.iter().zip(args).all(|(word, arg)| word.is(arg))
            }
            Reading::Broad => {
                let (floating, fixed): (Vec<_>, Vec<_>) =
                    self.words.iter().partition(|word| word.floats());
                floating.iter().all(|word| args.iter().any(|arg| word.may_be(arg)))
                    && leads(&fixed, &floating, args)
            }
        }
    }
}

/// Whether `args` may begin with `words`: between them there may be options, each with a value or
/// without, and what is found wherever it stands. Time in proportion to the product of the two.
fn leads(words: &[&Word], floating: &[&Word], args: &[String]) -> bool {
    // `at[i]`: the words before `i` are found, and the next argument is the one that is looked at.
    let mut at = vec![false; words.len() + 1];
    at[0] = true;
    let mut skipped = vec![false; words.len() + 1];
    for arg in args {
        if at[words.len()] {
            return true;
        }
        let mut next = std::mem::replace(&mut skipped, vec![false; words.len() + 1]);
        for (i, _) in at.iter().enumerate().filter(|(_, reached)| **reached) {
            if words.get(i).is_some_and(|word| word.may_be(arg)) {
                next[i + 1] = true;
            }
            let is_option = arg.starts_with('-');
            next[i] |= is_option || floating.iter().any(|word| word.may_be(arg));
            skipped[i] |= is_option;
        }
        at = next;
    }
    at[words.len()]
}

impl Word {
    fn parse(token: Token) -> Result<Self, RuleError> {
        if token.quoted {
            return Ok(Self::Among(vec![Literal { text: token.text, open: false }]));
        }
        if token.text == "*" {
            return Ok(Self::Any);
        }
        let literals = token.text.split('|').map(Literal::parse).collect::<Result<Vec<_>, _>>()?;
        let floating = literals.iter().filter(|literal| literal.floats()).count();
        if floating != 0 && floating != literals.len() {
            let hint = "write one rule for the option and one for the word";
            return refuse("`|` stands between an option and another word", Some(hint));
        }
        Ok(Self::Among(literals))
    }

    /// Whether it is found wherever it stands, in a rule that asks or denies.
    fn floats(&self) -> bool {
        match self {
            Self::Any => false,
            Self::Among(literals) => literals.iter().any(Literal::floats),
        }
    }

    /// The same argument. `*` is no option: which options a program takes, and what they do, is no
    /// matter of one argument more.
    fn is(&self, arg: &str) -> bool {
        match self {
            Self::Any => !arg.is_empty() && !arg.starts_with('-'),
            Self::Among(literals) => literals.iter().any(|literal| {
                if literal.open { arg.starts_with(&literal.text) } else { arg == literal.text }
            }),
        }
    }

    /// An argument that the program may take for it.
    fn may_be(&self, arg: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Among(literals) => literals.iter().any(|literal| literal.may_be(arg)),
        }
    }
}

impl Literal {
    fn parse(text: &str) -> Result<Self, RuleError> {
        let (text, open) = match text.strip_suffix('*') {
            Some(text) => (text, true),
            None => (text, false),
        };
        if text.contains('*') {
            let hint = "`*` stands for a whole argument, or at the end of one: `--limit=*`";
            return refuse("a `*` stands within a word", Some(hint));
        }
        if text.is_empty() {
            let hint = "write `''` for an empty argument";
            return refuse("a word beside `|` is empty", Some(hint));
        }
        if open
            && let Some((_, host)) = text.split_once("://")
            && !host.contains('/')
        {
            let hint = "write the host and a slash: `https://git.example.com/*`";
            return refuse("a `*` stands within the host of a URL", Some(hint));
        }
        Ok(Self { text: text.to_owned(), open })
    }

    fn floats(&self) -> bool {
        self.open || (self.text.starts_with('-') && self.text.len() > 1)
    }

    fn may_be(&self, arg: &str) -> bool {
        let begins = |with: &str| {
            arg.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
        };
        if self.open {
            return begins(&self.text) || value(arg).is_some_and(|v| starts(v, &self.text));
        }
        match self.text.strip_prefix('-') {
            None | Some("") => arg.eq_ignore_ascii_case(&self.text),
            Some(name) => match name.strip_prefix('-') {
                Some(long) => spells_long(long, arg),
                None if name.chars().count() == 1 => spells_short(name, arg),
                // `-chdir`, as programs in Go and Java have it.
                None => spells_long(name, arg),
            },
        }
    }
}

fn starts(text: &str, with: &str) -> bool {
    text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}

/// `--name`, `--name=value`, `-name`, and everything that `--name` may be shortened to.
fn spells_long(name: &str, arg: &str) -> bool {
    let Some(one) = arg.strip_prefix('-') else { return false };
    let (two, is_double) = match one.strip_prefix('-') {
        Some(two) => (two, true),
        None => (one, false),
    };
    let said = two.split('=').next().unwrap_or_default();
    if is_double { !said.is_empty() && starts(name, said) } else { said.eq_ignore_ascii_case(name) }
}

/// `-c`, `-cvalue`, and `-c` among others: `-vc`.
fn spells_short(name: &str, arg: &str) -> bool {
    arg.strip_prefix('-').is_some_and(|rest| !rest.starts_with('-') && rest.contains(name))
}

/// What stands behind the `=` of an option, or joined to a short one: `-d@file`.
fn value(arg: &str) -> Option<&str> {
    let rest = arg.strip_prefix('-')?;
    match rest.strip_prefix('-') {
        Some(long) => long.split_once('=').map(|(_, value)| value),
        None => rest.get(rest.chars().next()?.len_utf8()..),
    }
}

struct Token {
    text: String,
    /// It was written in quotes: nothing in it is a wildcard.
    quoted: bool,
}

/// The words of a pattern. `'...'` and `"..."` around a whole word keep it as it is.
fn tokens(text: &str) -> Result<Vec<Token>, RuleError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = if first == '\'' || first == '"' {
            let Some((inner, after)) = rest[1..].split_once(first) else {
                return refuse("a quote is not closed", None);
            };
            if after.chars().next().is_some_and(|c| !c.is_ascii_whitespace()) {
                let hint = "quotes stand around a whole word: `'two words'`";
                return refuse("a quote ends within a word", Some(hint));
            }
            (Token { text: inner.to_owned(), quoted: true }, after)
        } else {
            let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
            let word = &rest[..end];
            if word.contains(['\'', '"', '\\', '\0']) {
                let hint = "quotes stand around a whole word: `'two words'`";
                return refuse("a word has a quote, a backslash or a NUL in it", Some(hint));
            }
            (Token { text: word.to_owned(), quoted: false }, &rest[end..])
        };
        if token.text.contains('\0') {
            return refuse("a word has a NUL in it", None);
        }
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

fn refuse<T>(problem: &str, hint: Option<&'static str>) -> Result<T, RuleError> {
    Err(RuleError { problem: problem.to_owned(), hint })
}
