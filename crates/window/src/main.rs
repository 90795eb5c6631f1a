//! `strongroom-dialog`: asks a person one question in a window of the desktop.
//!
//! A template as JSON on stdin, the answers as JSON on stdout, and nothing else: it opens no file and no
//! connection but the one to the display, and takes no arguments. It ends with 0 when there are answers, 1
//! when the person cancelled, closed the window, or nobody reads the answers any more, and 2 on an error,
//! with one line on stderr that quotes nothing of the template.
//!
//! What is decided is decided apart from the desktop: [`typed`] checks what was filled in, [`dead_time`]
//! says from when on a yes counts, [`words`] has what is shown beside the template. Each platform only
//! shows it.

mod dead_time;
mod ended;
mod environment;
mod gone;
mod platform;
mod typed;
mod words;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use strongroom_model::form::{Form, TEMPLATE};

use crate::{ended::Failed, environment::Environment};

const HELP: &str = "\
Asks a person one question in a window of the desktop.

Usage: strongroom-dialog < TEMPLATE > ANSWERS

The template is JSON on stdin:

  { \"title\": \"MCP Secrets for MyServer\",
    \"description\": \"Verification Code: AB3F-9K2L\\n\\nConfirm this code.\",
    \"fields\": [ { \"name\": \"api_key\", \"label\": \"API key\", \"field_type\": \"password\",
                  \"required\": true, \"help_text\": \"Your secret API key\" } ] }

A field type is text, password, url or email. With \"kind\": \"consent\" and without fields, the
person is asked to allow or to deny.

The answers are JSON on stdout: { \"api_key\": \"...\" }, or { \"answer\": \"allow\" } where the
answer is allow, allow_session or deny.

Exit codes: 0 answered, 1 cancelled or closed, 2 error.

Options:
      --help     Print this help
      --version  Print the version
";

fn main() -> ExitCode {
    let environment = Environment::capture();
    match run(&environment, &mut io::stdin().lock(), &mut io::stdout()) {
        Ok(code) => code,
        Err(failed) => {
            // Where nobody can be told, the exit code has to do.
            drop(writeln!(io::stderr(), "strongroom-dialog: {}", failed.line()));
            ExitCode::from(2)
        }
    }
}

fn run(
    environment: &Environment,
    stdin: &mut impl Read,
    stdout: &mut impl Write,
) -> Result<ExitCode, Failed> {
    if let Some(text) = said(&environment.arguments)? {
        stdout.write_all(text.as_bytes()).map_err(Failed::Stdout)?;
        return Ok(ExitCode::SUCCESS);
    }
    // What cannot be had here is no reason not to ask.
    drop(strongroom_process::shield());
    let form = read(stdin)?;
    gone::end_with_the_reader();
    let ended = platform::show(environment, form)?;
    ended.write(stdout).map_err(Failed::Stdout)
}

/// What is printed instead of asking.
fn said(arguments: &[OsString]) -> Result<Option<String>, Failed> {
    match arguments {
        [] => Ok(None),
        [word] if word == "--help" => Ok(Some(HELP.to_owned())),
        [word] if word == "--version" => {
            Ok(Some(concat!("strongroom-dialog ", env!("CARGO_PKG_VERSION"), "\n").to_owned()))
        }
        _ => Err(Failed::Arguments),
    }
}

/// The template, of which no more is read than a good one can have.
fn read(stdin: &mut impl Read) -> Result<Form, Failed> {
    let limit = u64::try_from(TEMPLATE).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    stdin.take(limit).read_to_end(&mut bytes).map_err(Failed::Stdin)?;
    Ok(Form::read(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_arguments_are_help_and_version() {
        let said = |words: &[&str]| said(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(said(&[]).unwrap().is_none());
        assert!(said(&["--help"]).unwrap().unwrap().contains("Exit codes"));
        assert!(said(&["--version"]).unwrap().unwrap().starts_with("strongroom-dialog "));
        for words in [["--help", "x"].as_slice(), &["--display=:1"], &["x"], &[""]] {
            assert!(matches!(said(words), Err(Failed::Arguments)), "{words:?}");
        }
    }

    #[test]
    fn a_template_without_end_is_given_up() {
        assert!(matches!(read(&mut io::repeat(b' ')), Err(Failed::Form(_))));
    }
}
