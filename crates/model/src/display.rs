//! Text from elsewhere, made safe for a terminal and for one line (AL-01, AL-09).
//!
//! What can move the cursor, reorder what is read or hide is written as `\u{..}`. Everything else
//! stays as it is.

use std::fmt;

/// Displays text with everything visible that a terminal would act on or leave out.
///
/// Line ends and tabs are shown as well: split a text into lines first if it may have several.
#[derive(Clone, Copy, Debug)]
pub struct DisplaySafe<'a>(pub &'a str);

impl fmt::Display for DisplaySafe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_hazard(*c)) {
            f.write_str(&rest[..at])?;
            write!(f, "{}", c.escape_unicode())?;
            rest = &rest[at + c.len_utf8()..];
        }
        f.write_str(rest)
    }
}

/// `text` as one safe line of at most `cap` characters, and whether something was cut off.
///
/// An escape counts with all its characters and is never cut. Work and memory follow `cap`, not the
/// text.
pub fn escape_line(text: &str, cap: usize) -> (String, bool) {
    let mut line = String::new();
    let mut left = cap;
    for c in text.chars() {
        let hazard = is_hazard(c);
        let length = if hazard { c.escape_unicode().len() } else { 1 };
        let Some(rest) = left.checked_sub(length) else { return (line, true) };
        left = rest;
        if hazard {
            line.extend(c.escape_unicode());
        } else {
            line.push(c);
        }
    }
    (line, false)
}

/// The lines of `text` as safe lines, at most `cap` characters in all, and how many bytes of `text` are
/// in them. A line end counts as a character.
///
/// Work and memory follow `cap`, not the text.
pub fn escape_lines(text: &str, cap: usize) -> (Vec<String>, usize) {
    let mut lines = vec![String::new()];
    let mut left = cap;
    let mut taken = 0;
    for c in text.chars() {
        let hazard = is_hazard(c) && c != '\n';
        let length = if hazard { c.escape_unicode().len() } else { 1 };
        let Some(rest) = left.checked_sub(length) else { break };
        left = rest;
        taken += c.len_utf8();
        let line = lines.last_mut().expect("there is always one");
        match c {
            '\n' => lines.push(String::new()),
            _ if hazard => line.extend(c.escape_unicode()),
            _ => line.push(c),
        }
    }
    (lines, taken)
}

/// Whether a character does something else than being seen.
fn is_hazard(c: char) -> bool {
    match c {
        ' '..='~' => false,
        // soft hyphen, grapheme joiner, Arabic letter mark, Hangul and Khmer fillers, Mongolian
        // separators
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        // zero-width characters, directional marks
        | '\u{200b}'..='\u{200f}'
        // line and paragraph separator, directional embeddings and overrides
        | '\u{2028}'..='\u{202e}'
        // invisible operators, directional isolates, deprecated format characters
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        // what steers shorthand and musical notation
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        // tags and the selectors that text is smuggled in
        | '\u{e0000}'..='\u{e0fff}' => true,
        _ => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_made_visible() {
        for (text, shown) in [
            ("plain text, ünïcode, 日本, \\n", "plain text, ünïcode, 日本, \\n"),
            ("\x1b[2Jgone", "\\u{1b}[2Jgone"),
            ("a\nb\r\tc\0", "a\\u{a}b\\u{d}\\u{9}c\\u{0}"),
            ("\x7f\u{9b}31m", "\\u{7f}\\u{9b}31m"),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
            ("user\u{202e}nimda", "user\\u{202e}nimda"),
            ("\u{2066}x\u{2069}\u{61c}", "\\u{2066}x\\u{2069}\\u{61c}"),
            ("pay\u{200b}pal\u{feff}", "pay\\u{200b}pal\\u{feff}"),
            ("\u{e0041}\u{e007f}", "\\u{e0041}\\u{e007f}"),
        ] {
            assert_eq!(DisplaySafe(text).to_string(), shown);
            assert_eq!(escape_line(text, 1_000), (shown.to_owned(), false));
        }
    }

    #[test]
    fn a_forged_record_stays_within_its_line() {
        let (line, truncated) = escape_line("/x\n{\"decision\":\"allow\"}\r\u{2028}\x1b[0m\0", 200);
        assert!(!truncated);
        assert_eq!(line.lines().count(), 1);
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{2028}'), "{line}");
    }

    #[test]
    fn a_long_text_is_cut_at_the_cap_and_says_so() {
        assert_eq!(escape_line("abcdef", 6), ("abcdef".to_owned(), false));
        assert_eq!(escape_line("abcdefg", 6), ("abcdef".to_owned(), true));
        assert_eq!(escape_line("äöüäöü", 3), ("äöü".to_owned(), true));
        let (line, truncated) = escape_line(&"\x1b".repeat(10 << 20), 1_000);
        assert!(truncated && line.chars().count() <= 1_000);
    }

    #[test]
    fn an_escape_is_never_cut() {
        assert_eq!(escape_line("ab\x1bc", 7), ("ab".to_owned(), true));
        assert_eq!(escape_line("ab\x1bc", 8), ("ab\\u{1b}".to_owned(), true));
        assert_eq!(escape_line("ab\x1bc", 9), ("ab\\u{1b}c".to_owned(), false));
    }
}
