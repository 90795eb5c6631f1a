//! What an agent asked a program to do, in the one reading that there is of it.

use std::fmt;

use super::Command;
use crate::code::{Code, Refusal};

/// Words of a command line at the most, the program included.
pub const MOST_WORDS: usize = 1_024;

/// Bytes of all words together at the most.
pub const MOST_BYTES: usize = 256 << 10;

/// Bytes of one word at the most: Linux takes no argument of more than 128 KiB.
const LONGEST: usize = 64 << 10;

/// A command line that goes to the program word for word: no shell reads it.
///
/// Invariant: only [`read`](Self::read) makes one, so that what is judged is what is run.
#[derive(Clone, PartialEq, Eq)]
pub struct Invocation {
    program: String,
    args: Vec<String>,
    stdin: Vec<u8>,
}

impl Invocation {
    /// Reads a command line for `command`. Its first word is the program's name, and nothing else: no
    /// path to it, no other program.
    ///
    /// # Errors
    ///
    /// Words that no program can be given, too many of them, another program, standard input for a
    /// program that takes none.
    pub fn read(command: &Command, words: Vec<String>, stdin: Vec<u8>) -> Result<Self, Refusal> {
        let refuse = |text: String| Err(Refusal::new(Code::InvalidRequest, text));
        let mut words = words.into_iter();
        let word = &command.program.word;
        let program = words.next().unwrap_or_default();
        if program != *word {
            return refuse(format!(
                "the first word of `command` is the program's name, `{word}`, and no path"
            ));
        }
        let args: Vec<String> = words.collect();
        if args.len() >= MOST_WORDS {
            return refuse(format!("the command has more than {MOST_WORDS} words"));
        }
        if args.iter().any(|arg| arg.len() > LONGEST) {
            return refuse(format!("a word of the command is longer than {LONGEST} bytes"));
        }
        if args.iter().map(String::len).sum::<usize>() > MOST_BYTES {
            return refuse(format!("the command is longer than {MOST_BYTES} bytes"));
        }
        if args.iter().any(|arg| arg.contains('\0')) {
            return refuse("the command has a NUL in it, which no word can hold".to_owned());
        }
        if !stdin.is_empty() && !command.stdin {
            return refuse("this service takes no `stdin`".to_owned());
        }
        let most = command.limits.request_bytes;
        if stdin.len() > most {
            return refuse(format!("`stdin` is longer than {most} bytes"));
        }
        Ok(Self { program, args, stdin })
    }

    /// The words behind the program's name.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// Standard input.
    pub fn stdin(&self) -> &[u8] {
        &self.stdin
    }

    /// Takes standard input out.
    pub fn take_stdin(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.stdin)
    }

    /// The words as they would be typed: for people, the audit and explanations, never for a shell.
    pub fn line(&self) -> String {
        quoted(std::iter::once(&self.program).chain(&self.args))
    }

    /// Everything of it, so that two that differ anywhere differ here: what an approval is bound to.
    pub fn canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let parts = std::iter::once(&self.program).chain(&self.args).map(String::as_bytes);
        for part in parts.chain([&*self.stdin]) {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

/// Standard input may be anything.
impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation").field("line", &self.line()).finish_non_exhaustive()
    }
}

/// Any words as they would be typed: what was asked for, also where it is refused.
pub fn line(words: &[String]) -> String {
    quoted(words.iter())
}

/// The words of a line that [`line`] or [`Invocation::line`] wrote; `None` where neither did.
pub fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.chars().peekable();
    while rest.peek().is_some() {
        let mut word = String::new();
        loop {
            match rest.next() {
                None | Some(' ') => break,
                Some('\'') => loop {
                    match rest.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                },
                Some('\\') => word.push(rest.next()?),
                Some(c) => word.push(c),
            }
        }
        words.push(word);
    }
    (quoted(words.iter()) == line).then_some(words)
}

/// Words with quotes around those that need them (POSIX.1-2024, XCU 2.2.2).
fn quoted<'a>(words: impl Iterator<Item = &'a String>) -> String {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            line.push_str(word);
        } else {
            line.push('\'');
            line.push_str(&word.replace('\'', r"'\''"));
            line.push('\'');
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::policy::tests::git;

    fn read(words: &[&str]) -> Result<Invocation, Refusal> {
        Invocation::read(&git(&[]), words.iter().map(|word| (*word).to_owned()).collect(), vec![])
    }

    #[test]
    fn the_first_word_is_the_name_of_the_program_and_no_path_to_it() {
        let invocation = read(&["git", "push", "--", ""]).unwrap();
        assert_eq!(invocation.args(), ["push", "--", ""]);
        for first in ["/usr/bin/git", "./git", "GIT", "git ", "", "gh", "git\0", "/opt/x/git"] {
            let refusal = read(&[first, "push"]).unwrap_err();
            assert_eq!(refusal.code, Code::InvalidRequest, "{first}");
            assert!(refusal.message.contains("`git`"), "{refusal:?}");
        }
        assert!(read(&[]).is_err());
    }

    #[test]
    fn what_no_program_can_be_given_is_refused() {
        assert!(read(&["git", "a\nb", "ü"]).is_ok());
        assert!(read(&["git", "a\0b"]).is_err());
        let long = "x".repeat(LONGEST);
        assert!(read(&["git", &long]).is_ok());
        assert!(read(&["git", &format!("{long}x")]).is_err());
        assert!(read(&["git", &long, &long, &long, &long, "x"]).is_err());
        let mut many = vec!["git"; MOST_WORDS];
        assert!(read(&many).is_ok());
        many.push("x");
        assert!(read(&many).is_err());
    }

    #[test]
    fn standard_input_goes_only_to_a_program_that_takes_it() {
        let words = || vec!["git".to_owned(), "push".to_owned()];
        let mut command = git(&[]);
        assert!(Invocation::read(&command, words(), b"x".to_vec()).is_ok());
        command.limits.request_bytes = 3;
        assert!(Invocation::read(&command, words(), b"xxx".to_vec()).is_ok());
        assert!(Invocation::read(&command, words(), b"xxxx".to_vec()).is_err());
        command.stdin = false;
        assert!(Invocation::read(&command, words(), b"x".to_vec()).is_err());
        assert!(Invocation::read(&command, words(), Vec::new()).is_ok());
    }

    #[test]
    fn a_line_reads_as_it_would_be_typed_and_two_commands_never_read_the_same() {
        let line = |words: &[&str]| read(words).unwrap().line();
        assert_eq!(
            line(&["git", "commit", "-m", "it's one word"]),
            r"git commit -m 'it'\''s one word'"
        );
        assert_eq!(line(&["git", "", "$(id)"]), "git '' '$(id)'");
        assert_ne!(line(&["git", "a b"]), line(&["git", "a", "b"]));
        let canonical = |words: &[&str]| read(words).unwrap().canonical();
        assert_ne!(canonical(&["git", "ab", "c"]), canonical(&["git", "a", "bc"]));
        assert_ne!(canonical(&["git", "a"]), canonical(&["git", "a", ""]));
    }

    #[test]
    fn what_was_written_as_a_line_is_read_back_and_nothing_else_is() {
        for words in [
            &["git", "push", "origin", "main"][..],
            &["echo", "", "it's", "a b", "'", "\\", "$(x)", "\n", "é", " "],
            &["say"],
        ] {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            assert_eq!(super::words(&line(&words)), Some(words));
        }
        for bad in ["a  b", " a", "a ", "'a", "a\\", "'a'", "\"a b\"", "a$b"] {
            assert_eq!(words(bad), None, "{bad}");
        }
    }
}
