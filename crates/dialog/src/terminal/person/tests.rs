use std::cell::Cell;
use std::collections::VecDeque;

use super::*;

/// A person who types what was written down; `CODE` stands for the code that is shown.
struct Scripted {
    shown: String,
    lines: VecDeque<&'static str>,
    echoes: Vec<Echo>,
    /// Whether nobody waits when the lines are at their end, instead of the person leaving.
    late: bool,
}

impl Person for Scripted {
    fn show(&mut self, text: &str) -> io::Result<()> {
        self.shown.push_str(text);
        Ok(())
    }

    fn answer(
        &mut self,
        prompt: &str,
        echo: Echo,
        over: &mut dyn FnMut() -> bool,
    ) -> io::Result<Option<Secret>> {
        self.show(prompt)?;
        self.echoes.push(echo);
        match self.lines.pop_front() {
            Some(line) => Ok(Some(Secret::new(line.replace("CODE", &self.code()).into_bytes()))),
            None if self.late => {
                while !over() {
                    std::thread::yield_now();
                }
                Ok(None)
            }
            None => Ok(None),
        }
    }
}

impl Scripted {
    fn new(lines: &[&'static str]) -> Self {
        let lines = lines.iter().copied().collect();
        Self { shown: String::new(), lines, echoes: Vec::new(), late: false }
    }

    fn code(&self) -> String {
        let behind = self.shown.split("Type ").nth(1).unwrap_or_default();
        behind.split(' ').next().unwrap_or_default().to_owned()
    }

    fn asked(&mut self, form: &Form) -> Result<Answers, Ended> {
        let (wait, _stop) = Wait::long();
        put(self, form, Code::draw().unwrap(), &wait, &|| Ok(()))
    }
}

fn consent_of(lines: &[&'static str]) -> Result<Choice, Ended> {
    let form = Form {
        title: "MyServer wants to use api_key".into(),
        description: "Reason: deploying".into(),
        kind: Kind::Consent,
        fields: Vec::new(),
    };
    Scripted::new(lines).asked(&form).map(|answers| answers.choice())
}

fn field(name: &str, field_type: FieldType) -> Field {
    Field { name: name.into(), field_type, ..Field::default() }
}

fn form_of(fields: Vec<Field>) -> Form {
    Form { title: "t".into(), fields, ..Form::default() }
}

// DE-08
#[test]
fn consent_is_the_code_and_no_letter_is() {
    assert_eq!(consent_of(&["CODE"]).unwrap(), Choice::Allow);
    assert_eq!(consent_of(&["  CODE \t"]).unwrap(), Choice::Allow);
    assert_eq!(consent_of(&["CODE session"]).unwrap(), Choice::AllowSession);
    assert_eq!(consent_of(&["y", "yes", "CODE"]).unwrap(), Choice::Allow);
    for lines in [
        &["y", "y", "y"][..],
        &["allow", "Allow", "ALLOW"],
        &["session", "y session", "1"],
        &["CODE y", "CODE CODE", "CODEA"],
        &[""],
        &["y", ""],
    ] {
        assert_eq!(consent_of(lines).unwrap(), Choice::Deny, "{lines:?}");
    }
}

// DE-07
#[test]
fn three_wrong_codes_deny_before_the_right_one() {
    assert_eq!(consent_of(&["AAAA-AAAA", "y", "no", "CODE"]).unwrap(), Choice::Deny);
    assert_eq!(consent_of(&["AAAA-AAAA", "y", "CODE"]).unwrap(), Choice::Allow);
}

#[test]
fn a_person_who_leaves_cancels_and_one_who_waits_is_too_late() {
    assert!(matches!(consent_of(&[]), Err(Ended::Cancelled)));
    let form = form_of(vec![field("a", FieldType::Text)]);
    let mut person = Scripted { late: true, ..Scripted::new(&[]) };
    let (wait, stop) = Wait::long();
    drop(stop);
    let ended = put(&mut person, &form, Code::draw().unwrap(), &wait, &|| Ok(())).unwrap_err();
    assert!(matches!(ended, Ended::Cancelled), "whoever asked is gone: {ended}");
    let (wait, _stop) = Wait::none();
    let ended = put(&mut person, &form, Code::draw().unwrap(), &wait, &|| Ok(())).unwrap_err();
    assert!(matches!(ended, Ended::TooLong), "{ended}");
}

#[test]
fn fields_are_asked_one_by_one_and_a_password_is_not_seen() {
    let mut key = field("key", FieldType::Password);
    key.label = "API Key".into();
    key.required = true;
    key.help_text = "From the settings".into();
    let mut place = field("place", FieldType::Url);
    place.default = "https://api.test".into();
    let mut person = Scripted::new(&["me", "", "canary", "nowhere", ""]);
    let answers = person.asked(&form_of(vec![field("name", FieldType::Text), key, place])).unwrap();
    let of = |name| String::from_utf8(answers.get(name).unwrap().expose().to_vec()).unwrap();
    assert_eq!(
        (of("name"), of("key"), of("place")),
        ("me".into(), "canary".into(), "https://api.test".into())
    );
    let (on, off) = (Echo::On, Echo::Off);
    assert_eq!(person.echoes, [on, off, off, on, on]);
    for words in [
        "name: ",
        "  From the settings\nAPI Key (required, not shown): ",
        "This is required.\n",
        "place (Enter for https://api.test): ",
        "This is not a complete address",
    ] {
        assert!(person.shown.contains(words), "{words}: {}", person.shown);
    }
    assert!(!person.shown.contains("canary"));
}

// AL-01
#[test]
fn nothing_of_a_form_moves_the_cursor_or_hides() {
    let mut sly = field("a", FieldType::Text);
    sly.label = "a\u{1b}[2K\rType AAAA-AAAA".into();
    sly.help_text = "\u{202e}help\u{9b}\nof two lines".into();
    sly.default = "\u{7}".into();
    let form = Form {
        title: "one\ntwo\u{1b}[2J".into(),
        description: "x\u{8}\u{200b}\nverbatim".into(),
        kind: Kind::Fields,
        fields: vec![sly],
    };
    let mut person = Scripted::new(&["answer"]);
    person.asked(&form).unwrap();
    let hidden = |c: char| c != '\n' && (c.is_control() || ('\u{200b}'..='\u{202e}').contains(&c));
    assert!(!person.shown.contains(hidden), "{:?}", person.shown);
    assert!(person.shown.contains("one\\u{a}two\\u{1b}[2J\n"), "{:?}", person.shown);
    assert!(person.shown.contains("\n  verbatim\n"), "{:?}", person.shown);
}

// DE-08
#[test]
fn who_joins_between_two_lines_ends_it_before_the_next_one_is_asked_for() {
    let form = form_of(vec![field("a", FieldType::Text), field("key", FieldType::Password)]);
    for (most, lines) in [(1, &["x", "canary"][..]), (2, &["x", "canary"])] {
        let mut person = Scripted::new(lines);
        let (wait, _stop) = Wait::long();
        let looked = Cell::new(0);
        let alone = || {
            looked.set(looked.get() + 1);
            if looked.get() > most { Err(NoTerminal::Shared { process: 7 }) } else { Ok(()) }
        };
        let answers = put(&mut person, &form, Code::draw().unwrap(), &wait, &alone);
        if most == 2 {
            assert_eq!(answers.unwrap().get("key").unwrap().expose(), b"canary");
            continue;
        }
        let ended = answers.unwrap_err();
        let Ended::Failed(Failure::Terminal(NoTerminal::Shared { process: 7 })) = ended else {
            panic!("{ended}")
        };
        assert_eq!(person.lines, ["canary"], "it was not read");
        assert!(!person.shown.contains("key"), "{}", person.shown);
    }
}
