//! A line that is being typed.

use strongroom_model::display::DisplaySafe;
use strongroom_model::form::ANSWER;
use strongroom_model::secret::Secret;
use zeroize::{Zeroize as _, Zeroizing};

/// A line that is being typed, key by key. It is at most as long as an answer may be.
pub(super) struct Line {
    /// Whole characters.
    text: Zeroizing<Vec<u8>>,
    /// The beginning of a character.
    part: Zeroizing<Vec<u8>>,
    escape: Escape,
}

/// How a line came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It was sent.
    Line,
    /// Control-C, or Control-D on an empty line.
    Left,
}

/// Where we are in what begins with the escape character: keys that move, and answers of the terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    No,
    Begun,
    /// Until a byte from `@` to `~` (ECMA-48 §5.4).
    Control,
    /// Until it is closed by BEL or ST (ECMA-48 §8.3.143).
    Text,
}

impl Default for Line {
    /// The buffers never grow, so that no copy of a secret is left behind.
    fn default() -> Self {
        let buffer = |size| Zeroizing::new(Vec::with_capacity(size));
        Self { text: buffer(ANSWER), part: buffer(4), escape: Escape::No }
    }
}

impl Line {
    /// Takes one byte; what is seen of it is added to `seen`.
    pub(super) fn take(&mut self, byte: u8, seen: &mut String) -> Option<Done> {
        if self.escape != Escape::No {
            return self.skip(byte);
        }
        match byte {
            b'\n' | b'\r' => return Some(Done::Line),
            0x03 => return Some(Done::Left),
            0x04 if self.text.is_empty() => return Some(Done::Left),
            0x1b => self.escape = Escape::Begun,
            0x7f | 0x08 => self.remove(seen),
            // Control-U.
            0x15 => {
                while !self.text.is_empty() {
                    self.remove(seen);
                }
            }
            0..=0x1f => {}
            _ => self.add(byte, seen),
        }
        None
    }

    /// The line.
    pub(super) fn into_secret(mut self) -> Secret {
        Secret::new(std::mem::take(&mut *self.text))
    }

    fn skip(&mut self, byte: u8) -> Option<Done> {
        self.escape = match (self.escape, byte) {
            (_, 0x03) => return Some(Done::Left),
            (Escape::Begun, b'[' | b'O') => Escape::Control,
            (Escape::Begun, b']' | b'P' | b'X' | b'^' | b'_') => Escape::Text,
            (Escape::Text, 0x1b) => Escape::Begun,
            (Escape::Begun, _) | (Escape::Control, b'@'..=b'~') | (Escape::Text, 0x07) => {
                Escape::No
            }
            (other, _) => other,
        };
        None
    }

    fn add(&mut self, byte: u8, seen: &mut String) {
        // A byte that begins a character ends one that was begun and never finished.
        if !(0x80..0xc0).contains(&byte) || self.part.len() == 4 {
            self.part.zeroize();
        }
        self.part.push(byte);
        let Ok(c) = std::str::from_utf8(&self.part) else { return };
        if self.text.len() + c.len() > ANSWER {
            // No room: the terminal rings.
            seen.push('\u{7}');
        } else {
            seen.push_str(&DisplaySafe(c).to_string());
            self.text.extend_from_slice(c.as_bytes());
        }
        self.part.zeroize();
    }

    fn remove(&mut self, seen: &mut String) {
        let begins = |byte: &u8| !(0x80..0xc0).contains(byte);
        let Some(start) = self.text.iter().rposition(begins) else { return };
        let last = Zeroizing::new(String::from_utf8_lossy(&self.text[start..]).into_owned());
        let width = DisplaySafe(&last).to_string().chars().count();
        seen.push_str(&"\u{8} \u{8}".repeat(width));
        self.text[start..].zeroize();
        self.text.truncate(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> (String, String, Option<Done>) {
        let (mut line, mut seen) = (Line::default(), String::new());
        let done = bytes.iter().find_map(|byte| line.take(*byte, &mut seen));
        let secret = line.into_secret();
        (String::from_utf8(secret.expose().to_vec()).unwrap(), seen, done)
    }

    #[test]
    fn a_line_is_typed_corrected_and_sent() {
        assert_eq!(typed(b"abc\r"), ("abc".into(), "abc".into(), Some(Done::Line)));
        assert_eq!(typed(b"ab\x7fc\n").0, "ac");
        assert_eq!(typed("aé\x7f\x7f\x7fb\n".as_bytes()).0, "b");
        assert_eq!(typed(b"wrong\x15right\n").0, "right");
        assert_eq!(typed("é漢\n".as_bytes()).1, "é漢");
        assert_eq!(typed(b"abc"), ("abc".into(), "abc".into(), None));
    }

    #[test]
    fn the_person_leaves_by_control_c_or_by_control_d_on_an_empty_line() {
        for bytes in [&b"\x03"[..], b"abc\x03", b"\x04", b"\x1b\x03"] {
            assert_eq!(typed(bytes).2, Some(Done::Left), "{bytes:?}");
        }
        assert_eq!(typed(b"abc\x04\n").2, Some(Done::Line));
    }

    // DE-08
    #[test]
    fn what_a_terminal_answers_by_itself_is_no_part_of_the_line() {
        for answer in [
            &b"\x1b[24;80R"[..],
            b"\x1b[?62;22c",
            b"\x1bOA",
            b"\x1b]0;ABCD-2345\x07",
            b"\x1bP1$r0m\x1b\\",
        ] {
            let bytes = [b"a", answer, b"b\n"].concat();
            assert_eq!(typed(&bytes).0, "ab", "{answer:?}");
        }
    }

    // AL-01
    #[test]
    fn what_is_typed_is_echoed_as_what_it_is() {
        let (line, seen, _) = typed("a\u{202e}b\u{9b}c\n".as_bytes());
        assert_eq!(line, "a\u{202e}b\u{9b}c");
        assert_eq!(seen, "a\\u{202e}b\\u{9b}c");
    }

    #[test]
    fn half_a_character_and_more_than_an_answer_are_dropped() {
        assert_eq!(typed(b"a\xc3b\xff\n").0, "ab");
        let many = vec![b'a'; ANSWER + 3];
        let (line, seen, _) = typed(&many);
        assert_eq!(line.len(), ANSWER);
        assert!(seen.ends_with("\u{7}\u{7}\u{7}"), "it rings");
    }
}
