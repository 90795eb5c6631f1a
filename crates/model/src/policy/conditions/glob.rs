//! `*` for any run of characters, in linear time.

use std::fmt;

use memchr::memmem;

/// A text in which `*` stands for anything, or for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob {
    /// What stands between the stars; one where there is no star.
    parts: Box<[Box<str>]>,
}

impl Glob {
    pub(crate) fn new(text: &str) -> Self {
        Self { parts: text.split('*').map(Box::from).collect() }
    }

    /// Each part is looked for once, behind the one before it: the leftmost place leaves the most
    /// room for the rest.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let (Some((first, rest)), text) = (self.parts.split_first(), text.as_bytes()) else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else { return first.as_bytes() == text };
        let Some(text) = text.strip_prefix(first.as_bytes()) else { return false };
        let Some(mut text) = text.strip_suffix(last.as_bytes()) else { return false };
        for part in middle {
            let Some(at) = memmem::find(text, part.as_bytes()) else { return false };
            text = &text[at + part.len()..];
        }
        true
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts.join("*"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_is_any_run() {
        for (glob, yes, no) in [
            ("a", &["a"][..], &["", "aa", "A"][..]),
            ("*", &["", "a", "é"], &[]),
            ("a*", &["a", "ab"], &["", "ba"]),
            ("*@acme.com", &["x@acme.com", "@acme.com"], &["x@acme.com.evil", "acme.com"]),
            ("a*b*c", &["abc", "axbxc", "abbc"], &["acb", "ab", "ac"]),
            ("aa*aa", &["aaaa", "aaxaa"], &["aaa"]),
            ("**", &["", "x"], &[]),
        ] {
            for text in yes {
                assert!(Glob::new(glob).matches(text), "{glob} {text}");
            }
            for text in no {
                assert!(!Glob::new(glob).matches(text), "{glob} {text}");
            }
        }
    }

    // RX-07
    #[test]
    fn many_stars_and_a_long_text_take_no_time_to_speak_of() {
        let glob = Glob::new(&"a*".repeat(500));
        assert!(!glob.matches(&format!("{}b{}", "a".repeat(400), "c".repeat(1 << 20))));
        assert!(glob.matches(&"a".repeat(1 << 20)));
        assert_eq!(glob.to_string(), "a*".repeat(500));
    }

    /// By the book, and as slow as that is.
    fn naive(glob: &[u8], text: &[u8]) -> bool {
        match glob.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| naive(rest, &text[at..])),
            Some((byte, rest)) => {
                text.split_first().is_some_and(|(first, text)| first == byte && naive(rest, text))
            }
        }
    }

    proptest! {
        #[test]
        fn it_matches_what_it_says(glob in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(Glob::new(&glob).matches(&text), naive(glob.as_bytes(), text.as_bytes()));
        }
    }
}
