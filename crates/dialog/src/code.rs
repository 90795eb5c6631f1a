//! The verification code: what a person compares, or types, to know that two surfaces speak of one
//! question.

use strongroom_seal::{RandomError, random};
use zeroize::Zeroizing;

/// Without what is easily misread: no 0, O, 1, I.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Symbols in a code; with five bits each they are 40 bits.
const LENGTH: usize = 8;

/// A verification code, drawn for one question.
///
/// What is missing is the point: no `Debug`, `Display`, `Clone` or `Serialize`, so that no line of a
/// log, of the audit or of an error has it by accident, and none is used for two questions. The one exit
/// is [`shown`](Self::shown), whose text goes to the dialog and to the client's prompt, and nowhere else.
///
/// ```compile_fail
/// println!("{:?}", strongroom_dialog::Code::draw());
/// ```
///
/// ```compile_fail
/// let code = strongroom_dialog::Code::draw().unwrap();
/// println!("{code}");
/// ```
pub struct Code(Zeroizing<[u8; LENGTH]>);

impl Code {
    /// A new code from the system's random source.
    ///
    /// # Errors
    ///
    /// That source does not work. There is no other.
    pub fn draw() -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        random(&mut *bytes)?;
        // 256 is a multiple of 32: every symbol is as likely as every other.
        for byte in bytes.iter_mut() {
            *byte = ALPHABET[usize::from(*byte % 32)];
        }
        Ok(Self(bytes))
    }

    /// The code as people see it, `XXXX-XXXX`: for the dialog, and for the client's prompt.
    pub fn shown(&self) -> String {
        let (left, right) = self.0.split_at(LENGTH / 2);
        let text = |half: &[u8]| String::from_utf8_lossy(half).into_owned();
        format!("{}-{}", text(left), text(right))
    }

    /// Whether `typed` is this code. Capitals, hyphens and white space do not matter.
    pub fn is(&self, typed: &str) -> bool {
        let symbols = typed.chars().filter(|c| *c != '-' && !c.is_whitespace());
        let symbols = symbols.map(|c| c.to_ascii_uppercase());
        symbols.eq(self.0.iter().map(|byte| char::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    // DE-06
    #[test]
    fn a_code_is_two_groups_of_four_symbols_that_nobody_misreads() {
        assert!(!ALPHABET.iter().any(|symbol| b"0O1I".contains(symbol)));
        let distinct: HashSet<_> = ALPHABET.iter().collect();
        assert_eq!(distinct.len(), 32, "five bits a symbol");
        let shown = Code::draw().unwrap().shown();
        let groups: Vec<_> = shown.split('-').collect();
        assert!(matches!(groups[..], [a, b] if a.len() == 4 && b.len() == 4), "two groups");
        assert!(groups.concat().bytes().all(|symbol| ALPHABET.contains(&symbol)));
    }

    // DE-06
    #[test]
    fn a_hundred_thousand_codes_use_every_symbol_alike_and_do_not_repeat() {
        const CODES: usize = 100_000;
        let mut counts = [[0_u32; 32]; LENGTH];
        let mut seen = HashSet::with_capacity(CODES);
        for _ in 0..CODES {
            let code = Code::draw().unwrap();
            for (place, symbol) in code.0.iter().enumerate() {
                let symbol = ALPHABET.iter().position(|one| one == symbol).unwrap();
                counts[place][symbol] += 1;
            }
            seen.insert(*code.0);
        }
        // Chi squared with 31 degrees of freedom: above 120 once in 10^12.
        let expected = f64::from(u32::try_from(CODES / 32).unwrap());
        for (place, counts) in counts.iter().enumerate() {
            let squares = counts.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected);
            let chi: f64 = squares.sum();
            assert!(chi < 120.0, "place {place}: {chi}");
            assert!(chi > 3.0, "place {place} is more even than chance: {chi}");
        }
        // Of 100,000 among 2^40, a pair in 200 such tests.
        assert!(seen.len() > CODES - 5, "{} of {CODES} are different", seen.len());
    }

    #[test]
    fn a_code_is_recognised_however_it_is_spaced_and_only_whole() {
        let code = Code::draw().unwrap();
        let shown = code.shown();
        let bare = shown.replace('-', "");
        for typed in [shown.clone(), bare.clone(), shown.to_lowercase(), format!(" {bare}\r\n")] {
            assert!(code.is(&typed));
        }
        let (first, last) = (&bare[..7], &bare[1..]);
        for typed in ["", "-", "y", "yes", first, last, &format!("{bare}A"), &format!("{bare} y")] {
            assert!(!code.is(typed));
        }
        // No letter beyond ASCII stands for one of ours: `ſ` is an S in capitals.
        let code = Code(Zeroizing::new(*b"SSSSSSSS"));
        assert!(code.is("ssssssss") && !code.is("ſsssssss"));
    }
}
