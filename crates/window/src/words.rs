//! What is shown beside the template, the same on every platform.

use strongroom_model::form::{Field, Form, Kind};

/// Who shows the window.
pub(crate) const BRAND: &str = "Strongroom";
/// Below it.
pub(crate) const FIELDS_SUBTITLE: &str = "A program on this computer asks you for information";
/// Below it, where a consent is asked for.
pub(crate) const CONSENT_SUBTITLE: &str = "A program on this computer asks for your permission";
/// Above the verification code.
pub(crate) const CODE: &str = "Verification code";
/// Below it.
pub(crate) const CODE_HINT: &str = "Continue only if your client shows the same code.";
/// At the end.
pub(crate) const FIELDS_NOTE: &str =
    "What you type goes to the program that opened this window, and nowhere else.";
/// At the end, where a consent is asked for.
pub(crate) const CONSENT_NOTE: &str = "Allow only what you have just asked for yourself. Your choice goes to the program that opened this window.";
/// Until the end of a long question has been in sight.
#[cfg(any(not(target_os = "macos"), test))]
pub(crate) const READ_ON: &str = "Scroll to the end of the question to be able to allow it.";
/// Where there are required fields.
pub(crate) const REQUIRED_NOTE: &str = "Fields marked with * are required.";

/// The buttons.
pub(crate) const ACCEPT: &str = "Submit";
/// As above.
pub(crate) const CANCEL: &str = "Cancel";
/// As above.
pub(crate) const DENY: &str = "Deny";
/// As above.
pub(crate) const ALLOW: &str = "Allow once";
/// As above.
pub(crate) const ALLOW_SESSION: &str = "Allow for session";

/// What stands below [`BRAND`].
pub(crate) fn subtitle(kind: Kind) -> &'static str {
    match kind {
        Kind::Fields => FIELDS_SUBTITLE,
        Kind::Consent => CONSENT_SUBTITLE,
    }
}

/// What stands at the end.
pub(crate) fn note(form: &Form) -> String {
    match form.kind {
        Kind::Consent => CONSENT_NOTE.to_owned(),
        Kind::Fields if form.fields.iter().any(|field| field.required) => {
            format!("{REQUIRED_NOTE} {FIELDS_NOTE}")
        }
        Kind::Fields => FIELDS_NOTE.to_owned(),
    }
}

/// The title of the window: the form's, short enough for a list of windows.
pub(crate) fn window_title(form: &Form) -> String {
    const LENGTH: usize = 80;
    let (line, cut) = strongroom_model::display::escape_line(&form.title, LENGTH);
    if cut { format!("{line}… - {BRAND}") } else { format!("{line} - {BRAND}") }
}

/// A label with the mark of a required field.
pub(crate) fn marked_label(field: &Field) -> String {
    let label = field.shown_label();
    if field.required { format!("{label} *") } else { label }
}

/// What shows a password, for who does not see the picture on it.
#[cfg_attr(all(windows, not(test)), expect(dead_code, reason = "there, a box says it in words"))]
pub(crate) fn reveal(field: &Field) -> String {
    format!("Show what is typed for {}", field.shown_label())
}

/// The code as it is read aloud: character by character.
#[cfg_attr(
    all(windows, not(test)),
    expect(dead_code, reason = "there, a reader spells texts itself")
)]
pub(crate) fn spelled(code: &str) -> String {
    let characters: Vec<String> = code.chars().map(String::from).collect();
    format!("{CODE}: {}", characters.join(" "))
}

/// The most parts that are shown one by one.
#[cfg(any(target_os = "linux", test))]
pub(crate) const MOST_PARTS: usize = 200;

/// A part of a description.
#[cfg(any(target_os = "linux", test))]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// A line of who asks.
    Line(&'a str),
    /// Lines that are somebody else's, each of which had `| ` before it.
    Quoted(String),
}

/// The parts of a description, without empty lines.
#[cfg(any(target_os = "linux", test))]
pub(crate) fn parts(description: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    for line in description.lines().filter(|line| !line.trim().is_empty()) {
        match (line.strip_prefix("| "), parts.last_mut()) {
            (Some(quoted), Some(Part::Quoted(before))) => {
                before.push('\n');
                before.push_str(quoted);
            }
            (Some(quoted), _) => parts.push(Part::Quoted(quoted.to_owned())),
            (None, _) => parts.push(Part::Line(line)),
        }
    }
    parts
}

/// Whether the columns of a description mean something: some of its lines are indented or quoted.
pub(crate) fn is_preformatted(description: &str) -> bool {
    description.lines().any(|line| line.starts_with("| ") || line.starts_with("  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_in_a_list_of_windows_is_short_and_hides_nothing() {
        let titled = |title: &str| window_title(&Form { title: title.into(), ..Form::default() });
        assert_eq!(titled("Secrets for A"), "Secrets for A - Strongroom");
        assert_eq!(titled("a\u{202e}b"), "a\\u{202e}b - Strongroom");
        assert!(titled(&"x".repeat(4_000)).chars().count() < 100);
    }

    #[test]
    fn a_required_field_is_marked_and_the_mark_is_explained() {
        let field = |required| Field { name: "n".into(), required, ..Field::default() };
        assert_eq!(marked_label(&field(true)), "n *");
        assert_eq!(marked_label(&field(false)), "n");
        let form = |required| Form { fields: vec![field(required)], ..Form::default() };
        assert!(note(&form(true)).contains('*'));
        assert!(!note(&form(false)).contains('*'));
    }

    #[test]
    fn a_code_is_spelled_for_who_listens() {
        assert_eq!(spelled("AB3F-9K2L"), "Verification code: A B 3 F - 9 K 2 L");
    }

    // DE-05
    #[test]
    fn what_is_quoted_is_told_apart_from_what_is_said() {
        assert_eq!(
            parts("POST /x\n\n| {\n|   \"a\": 1\nby the rule\n| \n|x"),
            [
                Part::Line("POST /x"),
                Part::Quoted("{\n  \"a\": 1".to_owned()),
                Part::Line("by the rule"),
                Part::Quoted(String::new()),
                Part::Line("|x"),
            ]
        );
    }

    #[test]
    fn quoted_and_indented_lines_keep_their_columns() {
        assert!(is_preformatted("POST /x\n| {\"a\":1}"));
        assert!(is_preformatted("a:\n  b"));
        assert!(!is_preformatted("a wants to use b\nReason: c"));
    }
}
