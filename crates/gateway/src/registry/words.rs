//! A command line into words, as a POSIX shell splits it, and without everything else that a shell
//! does.
//!
//! Quotes and backslashes are read (POSIX.1-2024, XCU 2.2). What a shell would expand, redirect or
//! run is refused, so that a line never means one thing here and another one in a terminal: such a
//! word is written in quotes, or the command as a list.

/// A line that is not a plain command. The line is never repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// There is no word in it.
    #[error("the command is empty")]
    Empty,
    /// A quote is not closed, or a backslash stands at the end.
    #[error("a quote in the command is not closed")]
    Open,
    /// A character that a shell acts on.
    #[error("the command has {0:?} in it, which a shell would act on")]
    Shell(char),
    /// A backslash before a character that needs none: a Windows path, perhaps.
    #[error("the command has a backslash in it, which a shell would remove")]
    Backslash,
    /// `NAME=VALUE command`.
    #[error("the command begins with an assignment, which is for a shell")]
    Assignment,
    /// A byte that no argument can hold.
    #[error("the command has a NUL in it")]
    Nul,
}

impl WordsError {
    /// What to write instead.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Empty => "write the program and its arguments: `npx some-server`",
            Self::Assignment => "write the variable in `env`",
            Self::Shell('|' | '&' | ';' | '<' | '>' | '(' | ')' | '\n') => {
                "no shell runs it: put the line into a script of yours, or write a list: [\"npx\", \"some-server\"]"
            }
            Self::Open | Self::Shell(_) | Self::Backslash | Self::Nul => {
                "write the command as a list, which is taken as it is: [\"npx\", \"some-server\"]"
            }
        }
    }
}

/// The words of `line`, the first of which is the program.
///
/// # Errors
///
/// A shell would do more with it than split it.
pub fn split(line: &str) -> Result<Vec<String>, WordsError> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut plain = true;
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' => {
                words.extend(word.take());
                plain = true;
            }
            '\'' => {
                plain = false;
                quoted(&mut rest, word.get_or_insert_default())?;
            }
            '"' => {
                plain = false;
                double_quoted(&mut rest, word.get_or_insert_default())?;
            }
            '\\' => {
                plain = false;
                let next = rest.next().ok_or(WordsError::Open)?;
                if next.is_alphanumeric() || is_refused(next) || is_path(next) {
                    return Err(WordsError::Backslash);
                }
                word.get_or_insert_default().push(next);
            }
            '\0' => return Err(WordsError::Nul),
            '~' | '#' if word.is_none() => return Err(WordsError::Shell(c)),
            '$' | '`' | ';' | '|' | '&' | '<' | '>' | '(' | ')' | '*' | '?' | '[' => {
                return Err(WordsError::Shell(c));
            }
            c if is_refused(c) => return Err(WordsError::Shell(c)),
            '=' if plain && words.is_empty() && word.as_deref().is_some_and(is_variable) => {
                return Err(WordsError::Assignment);
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if words.first().is_none_or(String::is_empty) { Err(WordsError::Empty) } else { Ok(words) }
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Up to the next `'`, everything is itself.
fn quoted(rest: &mut Rest<'_>, word: &mut String) -> Result<(), WordsError> {
    loop {
        match rest.next() {
            None => return Err(WordsError::Open),
            Some('\'') => return Ok(()),
            Some('\0') => return Err(WordsError::Nul),
            Some(c) => word.push(c),
        }
    }
}

/// Up to the next `"`: a backslash stands before `$`, a backquote, `"` and `\`, and is itself
/// before anything else.
fn double_quoted(rest: &mut Rest<'_>, word: &mut String) -> Result<(), WordsError> {
    loop {
        match rest.next() {
            None => return Err(WordsError::Open),
            Some('"') => return Ok(()),
            Some(c @ ('$' | '`')) => return Err(WordsError::Shell(c)),
            Some('\0') => return Err(WordsError::Nul),
            Some('\\') => match rest.next() {
                None => return Err(WordsError::Open),
                Some(c @ ('$' | '`' | '"' | '\\')) => word.push(c),
                // A line that goes on: nobody means it here.
                Some('\n') => return Err(WordsError::Shell('\n')),
                Some('\0') => return Err(WordsError::Nul),
                Some(c) => word.extend(['\\', c]),
            },
            Some(c) => word.push(c),
        }
    }
}

fn is_refused(c: char) -> bool {
    c.is_control()
}

/// What stands behind a backslash in a path of Windows and needs none in a shell.
fn is_path(c: char) -> bool {
    matches!(c, '.' | '_' | '-' | '@' | '%' | '+' | ',' | '/' | ':' | '=')
}

fn is_variable(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_split_as_a_shell_splits_it() {
        for (line, words) in [
            ("npx @anthropic/stitch-mcp", &["npx", "@anthropic/stitch-mcp"][..]),
            ("  npx\t-y  x  ", &["npx", "-y", "x"]),
            ("'/Applications/My App/x' a", &["/Applications/My App/x", "a"]),
            ("/Applications/My\\ App/x", &["/Applications/My App/x"]),
            ("a 'b c'\"d e\"f", &["a", "b cd ef"]),
            ("a ''", &["a", ""]),
            ("a '$HOME;*'", &["a", "$HOME;*"]),
            ("a \"x\\\"y\\\\z\\q\\$\"", &["a", "x\"y\\z\\q$"]),
            ("a \\'b\\' \\$x \\;", &["a", "'b'", "$x", ";"]),
            ("a --x=y A=b a~b c#d", &["a", "--x=y", "A=b", "a~b", "c#d"]),
            ("'C:\\x\\npx.cmd' a", &["C:\\x\\npx.cmd", "a"]),
            ("é 日本", &["é", "日本"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
    }

    // LM-13
    #[test]
    fn what_a_shell_would_act_on_is_refused() {
        use WordsError::{Assignment, Backslash, Empty, Nul, Open, Shell};
        for (line, error) in [
            ("", Empty),
            (" \t ", Empty),
            ("''", Empty),
            ("x; id", Shell(';')),
            ("x && id", Shell('&')),
            ("x | id", Shell('|')),
            ("x > /etc/passwd", Shell('>')),
            ("x < y", Shell('<')),
            ("x $(id)", Shell('$')),
            ("x ${HOME}", Shell('$')),
            ("x \"$HOME\"", Shell('$')),
            ("x `id`", Shell('`')),
            ("x \"`id`\"", Shell('`')),
            ("(x)", Shell('(')),
            ("x *.js", Shell('*')),
            ("x https://h/?a", Shell('?')),
            ("x [a]", Shell('[')),
            ("~/bin/x", Shell('~')),
            ("x # y", Shell('#')),
            ("x\nid", Shell('\n')),
            ("x\r", Shell('\r')),
            ("x \"a\\\nb\"", Shell('\n')),
            ("x 'a", Open),
            ("x \"a", Open),
            ("x \\", Open),
            ("x \"a\\", Open),
            ("C:\\x\\npx.cmd", Backslash),
            ("x \\\nid", Backslash),
            ("A=b x", Assignment),
            ("x\0y", Nul),
            ("x 'a\0'", Nul),
            ("x \"a\0\"", Nul),
        ] {
            assert_eq!(split(line), Err(error), "{line:?}");
            assert!(!error.hint().is_empty());
        }
    }

    proptest! {
        #[test]
        fn quoting_any_word_gives_it_back(words in proptest::collection::vec("[^\0]{0,12}", 1..5)) {
            let quote = |word: &String| format!("'{}'", word.replace('\'', "'\\''"));
            let line = words.iter().map(quote).collect::<Vec<_>>().join(" ");
            match split(&line) {
                Ok(read) => prop_assert_eq!(read, words),
                Err(error) => {
                    prop_assert_eq!(error, WordsError::Empty);
                    prop_assert!(words[0].is_empty());
                }
            }
        }

        #[test]
        fn splitting_never_panics(line: String) {
            let _ = split(&line);
        }
    }
}
