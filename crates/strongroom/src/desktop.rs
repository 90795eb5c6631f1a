//! The person at the display of this machine, asked by the window program.
//!
//! What the window shows is what `strongroom approvals` shows: the words are the question's own. Whoever
//! can choose the display of this process chooses the screen: an agent's shell opens the window, and only
//! who sits at that display answers it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use strongroom_dialog::{Answers, Code, Ended, Failure as Unasked, Places, TRIES, Window, ask};
use strongroom_model::approval::{Answer, PATIENCE, Question};
use strongroom_model::display::DisplaySafe;
use strongroom_model::form::{CODE_LINE, Choice, DESCRIPTION, Field, FieldType, Form, Kind};
use strongroom_model::ports::{BoxFuture, Dialog, Shown, Verification};
use tracing::{debug, warn};

use crate::environment::Host;

/// What the two yeses of a window are called on its buttons.
const ONCE: &str = "Allow once";
const SESSION: &str = "Allow for session";

/// The name of the field that a code is typed in.
const CODE: &str = "code";

/// Asks by windows.
#[derive(Clone)]
pub struct Desktop {
    places: Places,
}

/// How a person at the display answered, or that there was none to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Allow.
    Yes,
    /// Deny, or the window was closed.
    No,
    /// Nobody answered in time.
    Nothing,
    /// No window could be shown.
    Nowhere,
}

impl Desktop {
    /// The one of this user.
    pub fn of(host: &Host) -> Self {
        Self { places: Places::beside(&host.program, &host.environment) }
    }

    /// Whether there is a display and a window program. That it is the right one is seen when it is
    /// started.
    pub fn is_there(&self) -> bool {
        self.places.program().is_file() && self.places.has_display()
    }

    /// Has `form` filled in, or says why not.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the window.
    pub async fn fill_in(&self, form: Form, patience: Duration) -> Result<Answers, Unfilled> {
        let places = self.places.clone();
        // It reads the whole program.
        let found = tokio::task::spawn_blocking(move || Window::find(&places)).await;
        let window = match found {
            Ok(Ok(window)) => window,
            Ok(Err(error)) => {
                warn!("no window can be shown: {error}");
                return Err(Unfilled::Nowhere);
            }
            Err(_) => return Err(Unfilled::Nowhere),
        };
        let answered = ask(&window, &form, patience).answers().await;
        answered.map_err(|ended| match ended {
            Ended::Cancelled => Unfilled::Closed,
            Ended::TooLong => Unfilled::TooLong,
            Ended::Failed(failure) => unasked(&failure),
        })
    }

    /// Asks for consent to what stands in `lines`, and waits. `heading` says what it is.
    pub fn consent_to(&self, title: &str, heading: &str, lines: &[String]) -> Said {
        if !self.is_there() {
            return Said::Nowhere;
        }
        let line = |line: &String| format!("- {}\n", DisplaySafe(line));
        let list: String = lines.iter().map(line).collect();
        let description = format!(
            "{heading}:\n\n{list}\nSay yes only if you have just asked for this yourself. `{SESSION}` \
             means no more than `{ONCE}` here."
        );
        let form = consent(title, description);
        // What cannot be shown is not agreed to.
        if form.check().is_err() {
            return Said::Nowhere;
        }
        // The commands that come here have no runtime, and some have one.
        let asked = thread::scope(|scope| {
            let run = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.map(|runtime| runtime.block_on(self.fill_in(form, PATIENCE)))
            };
            scope.spawn(run).join()
        });
        match asked {
            Ok(Ok(Ok(answers))) => match answers.choice() {
                Choice::Allow | Choice::AllowSession => Said::Yes,
                Choice::Deny => Said::No,
            },
            Ok(Ok(Err(Unfilled::Closed))) => Said::No,
            Ok(Ok(Err(Unfilled::TooLong))) => Said::Nothing,
            Ok(Ok(Err(Unfilled::Nowhere)) | Err(_)) | Err(_) => Said::Nowhere,
        }
    }

    /// Whether the person types `code`, which the agent's client shows; otherwise what came of it.
    async fn type_code(
        &self,
        question: &Question,
        session: bool,
        code: &dyn Verification,
    ) -> Result<(), Shown> {
        for left in (0..TRIES).rev() {
            let wrong = match left {
                left if left + 1 == TRIES => String::new(),
                0 => "That was not the code. This is the last try.\n\n".to_owned(),
                _ => "That was not the code.\n\n".to_owned(),
            };
            let text = body(question, session, None);
            let form = Form {
                title: title(question),
                description: format!("{wrong}{text}\n\nYou decide in the next window."),
                kind: Kind::Fields,
                fields: vec![Field {
                    name: CODE.to_owned(),
                    label: "The code that the agent's client shows".to_owned(),
                    field_type: FieldType::Text,
                    required: true,
                    placeholder: "XXXX-XXXX".to_owned(),
                    ..Field::default()
                }],
            };
            let answers = self.fill_in(form, PATIENCE).await.map_err(Shown::from)?;
            let typed = answers.get(CODE).and_then(|typed| str::from_utf8(typed.expose()).ok());
            if typed.is_some_and(|typed| code.is(typed)) {
                return Ok(());
            }
        }
        Err(Shown::WrongCode)
    }
}

impl Dialog for Desktop {
    fn is_there(&self) -> bool {
        self.is_there()
    }

    fn code(&self) -> Option<Arc<dyn Verification>> {
        let code = Code::draw().inspect_err(|error| warn!("no code can be drawn: {error}"));
        Some(Arc::new(Drawn(code.ok()?)))
    }

    fn consent<'a>(
        &'a self,
        question: &'a Question,
        session: bool,
        code: Option<&'a dyn Verification>,
    ) -> BoxFuture<'a, Shown> {
        Box::pin(async move {
            let compared = match code {
                Some(code) if question.typed => {
                    if let Err(shown) = self.type_code(question, session, code).await {
                        return shown;
                    }
                    None
                }
                None if question.typed => return Shown::Not,
                compared => compared,
            };
            let form = consent(&title(question), body(question, session, compared));
            match self.fill_in(form, PATIENCE).await {
                Ok(answers) => Shown::Answered(match answers.choice() {
                    Choice::Allow => Answer::Once,
                    Choice::AllowSession => Answer::Session,
                    Choice::Deny => Answer::Deny,
                }),
                Err(unfilled) => unfilled.into(),
            }
        })
    }
}

/// Why a window was not filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfilled {
    /// The person closed it.
    Closed,
    /// Nobody answered in time.
    TooLong,
    /// It could not be shown.
    Nowhere,
}

impl From<Unfilled> for Shown {
    fn from(unfilled: Unfilled) -> Self {
        match unfilled {
            Unfilled::Closed => Self::Answered(Answer::Deny),
            Unfilled::TooLong | Unfilled::Nowhere => Self::Not,
        }
    }
}

fn unasked(failure: &Unasked) -> Unfilled {
    debug!("a window was not answered: {failure}");
    // It says who holds it, so that a person can end that.
    if let Unasked::Held { .. } = failure {
        warn!("{failure}");
        return Unfilled::Nowhere;
    }
    warn!("a window could not be shown, or ended before it was answered");
    Unfilled::Nowhere
}

struct Drawn(Code);

impl Verification for Drawn {
    fn shown(&self) -> String {
        self.0.shown()
    }

    fn is(&self, typed: &str) -> bool {
        self.0.is(typed)
    }
}

fn title(question: &Question) -> String {
    format!("Allow `{}` to use `{}`?", question.principal, question.service)
}

fn consent(title: &str, description: String) -> Form {
    Form { title: title.to_owned(), description, kind: Kind::Consent, fields: Vec::new() }
}

/// What the window says: the words of the question, and what each yes is good for.
fn body(question: &Question, session: bool, code: Option<&dyn Verification>) -> String {
    let code = code.map(|code| {
        format!("{CODE_LINE}{}\n\nThe agent's client shows the same code.\n\n", code.shown())
    });
    let code = code.unwrap_or_default();
    let mut good_for = question.good_for(ONCE, session.then_some(SESSION));
    if !session {
        good_for.push_str(" There is no session here, so the other yes means no more.");
    }
    let text = |whole| format!("{code}{}\n\n{good_for}", question.lines(whole).join("\n"));
    let whole = text(true);
    if whole.len() <= DESCRIPTION { whole } else { text(false) }
}

#[cfg(test)]
mod tests {
    use strongroom_model::approval::{Channel, Class, Digest, Matter};
    use strongroom_model::policy::Terms;
    use strongroom_model::principal::{Caller, Principal, Source};

    use super::*;

    fn question(what: &str, text: &str, reason: &str) -> Question {
        let caller = Caller {
            principal: Principal { name: "claude".parse().unwrap(), source: Source::Stdio },
            channel: Channel::default(),
            claimed_client: None,
        };
        let matter = Matter {
            service: "acme".parse().unwrap(),
            revision: 1,
            digest: Digest::of([text.as_bytes()]),
            class: Class::Write,
            what: what.into(),
            place: "https://a.example".into(),
            bytes: text.len() as u64,
            content_type: None,
            text: Some(text.into()),
            unseen: false,
        };
        Question::new(matter, &caller, "POST /**", &Terms::default(), Some(reason))
    }

    #[test]
    fn a_window_says_who_asks_what_where_under_which_rule_and_why_in_the_agents_words() {
        let code = Drawn(Code::draw().unwrap());
        let asked = question("POST /x", "{\"a\":1}", "because");
        let form = consent(&title(&asked), body(&asked, true, Some(&code)));
        form.check().unwrap();
        assert_eq!(form.title, "Allow `claude` to use `acme`?");
        assert_eq!(form.verification_code(), Some(&*code.shown()));
        for words in [
            "`claude` wants to use `acme`\nPOST /x\nat https://a.example, with a body of 7 bytes\n",
            "| {\"a\":1}\n",
            "asked for by the rule `POST /**`\n",
            "the agent says why: \"because\"\n",
            "`Allow once` is for exactly this, once. `Allow for session` is for everything",
        ] {
            assert!(form.description.contains(words), "{words}: {}", form.description);
        }
    }

    // DE-05
    #[test]
    fn nothing_that_an_agent_wrote_passes_for_a_code_or_breaks_the_form() {
        let forged = "Verification Code: AAAA-AAAA";
        for asked in [
            question(&format!("POST /x\n{forged}"), &format!("x\n{forged}\n"), forged),
            question(&"x".repeat(64 << 10), &"<b>\u{202e}\n".repeat(4_000), &"\u{1b}".repeat(500)),
        ] {
            let form = consent(&title(&asked), body(&asked, true, None));
            form.check().unwrap();
            assert_eq!(form.verification_code(), None);
            assert!(!form.description.contains(['\u{202e}', '\u{1b}']));
        }
    }
}
