//! Numbers compared as they are written, digit by digit.

use std::cmp::Ordering;

/// A decimal number in the grammar of JSON (RFC 8259 §6), as text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'a> {
    text: &'a str,
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

/// Digits of an exponent that are still read.
const EXPONENT: usize = 9;

impl<'a> Decimal<'a> {
    /// Reads a number; `None` where it is not one, or its exponent is beyond all sense.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        if !is_digits(whole) || (whole.len() > 1 && whole.starts_with('0')) {
            return None;
        }
        let exponent = match exponent {
            None => 0,
            Some(text) => {
                let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
                if !is_digits(digits) || digits.trim_start_matches('0').len() > EXPONENT {
                    return None;
                }
                let size: i64 = digits.parse().unwrap_or_default();
                if text.starts_with('-') { -size } else { size }
            }
        };
        Some(Self { text, negative, whole, fraction, exponent })
    }

    /// A number as people write it in a query or a form: without an exponent, which one reader knows
    /// and another cuts off.
    pub(super) fn read_plain(text: &'a str) -> Option<Self> {
        if text.contains(['e', 'E']) { None } else { Self::read(text) }
    }

    /// How it compares to `other`, and whether a reader of doubles would see the same.
    pub(super) fn compare(&self, other: &Self) -> (Ordering, bool) {
        let exact = self.exactly(other);
        let doubles = match (self.text.parse::<f64>(), other.text.parse::<f64>()) {
            (Ok(ours), Ok(theirs)) => ours.partial_cmp(&theirs),
            _ => None,
        };
        (exact, doubles == Some(exact))
    }

    fn exactly(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.scale(), number.negative) {
            (None, _) => 0,
            (Some(_), true) => -1,
            (Some(_), false) => 1,
        };
        let (ours, theirs) = (sign(self), sign(other));
        if ours != theirs || ours == 0 {
            return ours.cmp(&theirs);
        }
        let size = self.scale().cmp(&other.scale()).then_with(|| {
            let (mut a, mut b) = (self.digits(), other.digits());
            loop {
                match (a.next(), b.next()) {
                    (None, None) => return Ordering::Equal,
                    (a, b) => match a.unwrap_or(b'0').cmp(&b.unwrap_or(b'0')) {
                        Ordering::Equal => {}
                        order => return order,
                    },
                }
            }
        });
        if self.negative { size.reverse() } else { size }
    }

    /// The power of ten above the first digit that counts; `None` for zero.
    fn scale(&self) -> Option<i64> {
        let all = self.whole.bytes().chain(self.fraction.bytes());
        let zeros = all.take_while(|digit| *digit == b'0').count();
        if zeros == self.whole.len() + self.fraction.len() {
            return None;
        }
        let length = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        Some(length(self.whole.len()) - length(zeros) + self.exponent)
    }

    /// The digits from the first that counts.
    fn digits(&self) -> impl Iterator<Item = u8> {
        let all = self.whole.bytes().chain(self.fraction.bytes());
        all.skip_while(|digit| *digit == b'0')
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compare(a: &str, b: &str) -> (Ordering, bool) {
        Decimal::read(a).unwrap().compare(&Decimal::read(b).unwrap())
    }

    #[test]
    fn numbers_compare_exactly_and_the_rounding_of_doubles_is_told() {
        use Ordering::{Equal, Greater, Less};
        for (a, b, expected) in [
            ("5000", "5000.00", (Equal, true)),
            ("5e3", "5000", (Equal, true)),
            ("0.05E+5", "5000", (Equal, true)),
            ("-0", "0", (Equal, true)),
            ("0e9", "0.000", (Equal, true)),
            ("5000.01", "5000", (Greater, true)),
            ("-5000.01", "5000", (Less, true)),
            ("-2", "-1", (Less, true)),
            ("10", "9", (Greater, true)),
            ("0.09", "0.1", (Less, true)),
            ("9007199254740993", "9007199254740992", (Greater, false)),
            ("5000.00000000000000000001", "5000", (Greater, false)),
            ("1e400", "1e500", (Less, false)),
            ("1e-400", "0", (Greater, false)),
            ("1e999999999", "1e-999999999", (Greater, true)),
        ] {
            assert_eq!(compare(a, b), expected, "{a} {b}");
            assert_eq!(compare(b, a).0, expected.0.reverse(), "{b} {a}");
        }
    }

    #[test]
    fn what_readers_do_not_agree_on_is_no_number() {
        for bad in [
            "",
            "-",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x10",
            "1_000",
            " 1",
            "NaN",
            "Infinity",
            "1e9999999999",
            "١",
        ] {
            assert!(Decimal::read(bad).is_none(), "{bad}");
        }
        assert!(Decimal::read_plain("1e3").is_none() && Decimal::read_plain("1000.5").is_some());
    }

    proptest! {
        #[test]
        fn integers_compare_as_integers(a in any::<i64>(), b in any::<i64>(), zeros in 0..3_usize) {
            let text = format!("{a}.{}", "0".repeat(zeros + 1));
            prop_assert_eq!(compare(&text, &b.to_string()).0, a.cmp(&b));
            let shifted = format!("{b}e{zeros}");
            let factor = 10_i128.pow(u32::try_from(zeros).unwrap());
            prop_assert_eq!(compare(&a.to_string(), &shifted).0, i128::from(a).cmp(&(i128::from(b) * factor)));
        }
    }
}
