//! The conversation: what is shown, what is typed, what that comes to. It knows no terminal.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use strongroom_model::form::{Choice, Field, FieldType, Form, Kind, visible, visible_line};
use strongroom_model::secret::Secret;

use super::NoTerminal;
use crate::asking::{Ended, Failure, Wait};
use crate::{Answers, Code, Typed, Verdict};

/// Whether what is typed is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// Yes.
    On,
    /// No: it is secret.
    Off,
}

/// A person at a terminal.
pub trait Person {
    /// Shows `text`, in which everything is visible already.
    fn show(&mut self, text: &str) -> io::Result<()>;

    /// Shows `prompt`, and gives the line that is typed then: what was typed before does not count.
    /// `None`: the person left, or `over` said that nobody waits any longer. It is asked now and then.
    fn answer(
        &mut self,
        prompt: &str,
        echo: Echo,
        over: &mut dyn FnMut() -> bool,
    ) -> io::Result<Option<Secret>>;
}

/// What is typed behind the code for a yes that holds for the session.
const SESSION: &str = "session";

/// Puts `form` to `person`. `code` is what a consent is typed as; `alone` is asked before each line that is read.
pub(crate) fn put(
    person: &mut dyn Person,
    form: &Form,
    code: Code,
    wait: &Wait,
    alone: &dyn Fn() -> Result<(), NoTerminal>,
) -> Result<Answers, Ended> {
    let mut asked = Asked { person, wait, alone };
    let mut heading = format!("\n{}\n", visible_line(&form.title));
    for line in visible(&form.description).lines() {
        let _ = writeln!(heading, "  {line}");
    }
    asked.show(&heading)?;
    match form.kind {
        Kind::Consent => asked.consent(Typed::new(code)).map(Answers::consent),
        Kind::Fields => asked.fields(form),
    }
}

/// A person who is asked something.
struct Asked<'a> {
    person: &'a mut dyn Person,
    wait: &'a Wait,
    alone: &'a dyn Fn() -> Result<(), NoTerminal>,
}

impl Asked<'_> {
    fn consent(&mut self, mut typed: Typed) -> Result<Choice, Ended> {
        let how = format!(
            "\nType {} to allow this once, the same and `{SESSION}` to allow it for the session.\n\
             Enter alone denies: ",
            typed.shown()
        );
        let mut prompt = how.as_str();
        loop {
            let line = self.line(prompt, Echo::On)?;
            let line = text(&line);
            let line = line.trim();
            if line.is_empty() {
                return Ok(Choice::Deny);
            }
            let (code, choice) = match line.rsplit_once(char::is_whitespace) {
                Some((code, word)) if word.eq_ignore_ascii_case(SESSION) => {
                    (code, Choice::AllowSession)
                }
                _ => (line, Choice::Allow),
            };
            match typed.attempt(code) {
                Verdict::Right => return Ok(choice),
                Verdict::Again { .. } => prompt = "That is not it. Again: ",
                Verdict::Denied => return Ok(Choice::Deny),
            }
        }
    }

    fn fields(&mut self, form: &Form) -> Result<Answers, Ended> {
        let mut answers = Vec::with_capacity(form.fields.len());
        for field in &form.fields {
            answers.push((field.name.clone(), self.ask_for(field)?));
        }
        Ok(Answers::of(answers))
    }

    fn ask_for(&mut self, field: &Field) -> Result<Secret, Ended> {
        let echo = if field.field_type == FieldType::Password { Echo::Off } else { Echo::On };
        let prompt = prompt(field, echo);
        loop {
            let mut answer = self.line(&prompt, echo)?;
            if answer.is_empty() {
                answer = Secret::new(field.default.clone().into_bytes());
            }
            match field.check(&text(&answer)) {
                Ok(()) => return Ok(answer),
                Err(wrong) => self.show(&format!("{wrong}\n"))?,
            }
        }
    }

    fn show(&mut self, text: &str) -> Result<(), Ended> {
        Ok(self.person.show(text).map_err(Failure::from)?)
    }

    fn line(&mut self, prompt: &str, echo: Echo) -> Result<Secret, Ended> {
        // Somebody may have come since the last one.
        (self.alone)().map_err(Failure::from)?;
        let mut reason = None;
        let mut over = || {
            reason = self.wait.pause(Duration::ZERO).err();
            reason.is_some()
        };
        match self.person.answer(prompt, echo, &mut over).map_err(Failure::from)? {
            Some(line) => Ok(line),
            None => Err(reason.unwrap_or(Ended::Cancelled)),
        }
    }
}

fn prompt(field: &Field, echo: Echo) -> String {
    let mut prompt = String::from("\n");
    for help in visible(&field.help_text).lines() {
        let _ = writeln!(prompt, "  {help}");
    }
    prompt.push_str(&field.shown_label());
    let notes = [
        (field.required, "required".to_owned()),
        (echo == Echo::Off, "not shown".to_owned()),
        (!field.default.is_empty(), format!("Enter for {}", visible_line(&field.default))),
    ];
    let notes: Vec<_> = notes.into_iter().filter_map(|(so, note)| so.then_some(note)).collect();
    if !notes.is_empty() {
        let _ = write!(prompt, " ({})", notes.join(", "));
    }
    prompt.push_str(": ");
    prompt
}

/// The text of a line. It is put together of whole characters, so that this copies nothing.
fn text(line: &Secret) -> Cow<'_, str> {
    String::from_utf8_lossy(line.expose())
}

#[cfg(test)]
mod tests;
