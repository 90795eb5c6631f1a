//! How it ended, and what is written about it.

use std::io::{self, Write};
use std::process::ExitCode;

use strongroom_model::form::{Choice, FormError};
use zeroize::Zeroizing;

use crate::typed::Typed;

/// How the person ended it.
pub(crate) enum Ended {
    /// By filling in the form: the names of the fields and what was typed, the empty ones too.
    Filled(Vec<(String, Typed)>),
    /// By one of the buttons of a question of consent.
    Chosen(Choice),
    /// By cancelling or closing the window.
    Cancelled,
}

/// Why nobody could be asked. No text repeats anything of the template.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// An argument that there is not.
    #[error("it takes no arguments but `--help` and `--version`: the template goes to its stdin")]
    Arguments,
    /// The template cannot be had.
    #[error("the template cannot be read from stdin")]
    Stdin(#[source] io::Error),
    /// The template is none.
    #[error(transparent)]
    Form(#[from] FormError),
    /// Nothing to show a window on.
    #[cfg(target_os = "linux")]
    #[error("there is no display to show a window on")]
    NoDisplay,
    /// The desktop does not let us.
    #[cfg(any(windows, target_os = "macos"))]
    #[error("the window cannot be made")]
    Window,
    /// Nobody takes the answers.
    #[error("the answers cannot be written to stdout")]
    Stdout(#[source] io::Error),
}

impl Failed {
    /// One line for a log: with the system's error code, and without its words, which are not ours.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Stdin(source) | Self::Stdout(source) => format!("{self} ({})", source.kind()),
            Self::Form(error) => format!("{self} ({})", error.as_str()),
            _ => self.to_string(),
        }
    }
}

impl Ended {
    /// Writes the answers, and returns what the process ends with.
    pub(crate) fn write(self, stdout: &mut impl Write) -> io::Result<ExitCode> {
        match self {
            Self::Filled(answers) => stdout.write_all(&json(&answers)?)?,
            Self::Chosen(choice) => writeln!(stdout, "{}", choice.to_json())?,
            Self::Cancelled => return Ok(ExitCode::FAILURE),
        }
        stdout.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The answers as one object on one line.
fn json(answers: &[(String, Typed)]) -> io::Result<Zeroizing<Vec<u8>>> {
    // An escape is at most six bytes for one. The buffer never grows, so it leaves no copy behind.
    let room: usize =
        answers.iter().map(|(name, typed)| 6 * (name.len() + typed.as_str().len()) + 6).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 3));
    for (index, (name, typed)) in answers.iter().enumerate() {
        bytes.push(if index == 0 { b'{' } else { b',' });
        serde_json::to_writer(&mut *bytes, name)?;
        bytes.push(b':');
        serde_json::to_writer(&mut *bytes, typed.as_str())?;
    }
    if answers.is_empty() {
        bytes.push(b'{');
    }
    bytes.extend_from_slice(b"}\n");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_comes_out_as_it_was_typed() {
        let typed = ["", "päss\"wörd\\ \n\u{1}", "\u{1f511}"];
        let names = ["a", "b \"c\"", "d"];
        let answers: Vec<_> = names
            .iter()
            .zip(typed)
            .map(|(name, text)| ((*name).to_owned(), Typed::from(text.to_owned())))
            .collect();
        let bytes = json(&answers).unwrap();
        assert!(bytes.capacity() >= bytes.len() && bytes.ends_with(b"}\n"));
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        for (name, text) in names.iter().zip(typed) {
            assert_eq!(value[name], text);
        }
        assert_eq!(&**json(&[]).unwrap(), b"{}\n");
    }

    #[test]
    fn a_choice_is_written_and_a_cancelled_question_says_nothing() {
        let mut written = Vec::new();
        let code = Ended::Chosen(Choice::AllowSession).write(&mut written).unwrap();
        assert_eq!(code, ExitCode::SUCCESS);
        assert_eq!(Choice::read(&written), Choice::AllowSession);
        let mut written = Vec::new();
        assert_eq!(Ended::Cancelled.write(&mut written).unwrap(), ExitCode::FAILURE);
        assert!(written.is_empty());
    }

    #[test]
    fn an_error_is_one_line() {
        let stdin = Failed::Stdin(io::Error::new(io::ErrorKind::InvalidData, "canary\nline"));
        assert_eq!(stdin.line(), "the template cannot be read from stdin (invalid data)");
        assert_eq!(
            Failed::Form(FormError::NoFields).line(),
            "the template has no fields (no_fields)"
        );
    }
}
