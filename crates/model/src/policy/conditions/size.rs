//! How large a body may be.

use std::fmt;

use super::test::Order;
use crate::policy::RuleError;

/// `<= 64KiB`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    order: Order,
    bytes: u64,
}

const UNITS: [(&str, u64); 6] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("kB", 1000), ("KB", 1000), ("MB", 1_000_000), ("B", 1)];

impl Size {
    /// Reads a size with or without an operator; without one it is at most that.
    pub(super) fn parse(text: &str) -> Result<Self, RuleError> {
        let text = text.trim();
        let orders = [
            ("<=", Order::LessOrEqual),
            (">=", Order::GreaterOrEqual),
            ("<", Order::Less),
            (">", Order::Greater),
        ];
        let order =
            orders.iter().find_map(|(sign, order)| Some((text.strip_prefix(sign)?, *order)));
        let (text, order) = order.unwrap_or((text, Order::LessOrEqual));
        let text = text.trim();
        let bytes = UNITS.iter().find_map(|(unit, scale)| {
            let number = text.strip_suffix(unit)?.trim_end();
            let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| number.parse::<u64>().ok()?.checked_mul(*scale)).flatten()
        });
        match bytes {
            Some(bytes) => Ok(Self { order, bytes }),
            None => Err(RuleError {
                problem: "the size of a body is not one".to_owned(),
                hint: Some("write `64KiB` for at most that, or `> 1MiB`"),
            }),
        }
    }

    pub(super) fn holds(self, bytes: u64) -> bool {
        match self.order {
            Order::Less => bytes < self.bytes,
            Order::LessOrEqual => bytes <= self.bytes,
            Order::Greater => bytes > self.bytes,
            Order::GreaterOrEqual => bytes >= self.bytes,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("MiB", 1 << 20), ("MB", 1_000_000), ("KiB", 1 << 10), ("kB", 1000), ("B", 1)];
        let exact = units.iter().find(|(_, unit)| self.bytes.is_multiple_of(*unit));
        let (name, unit) = exact.copied().unwrap_or(("B", 1));
        write!(f, "{} {}{name}", self.order.as_str(), self.bytes / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_at_most_that_unless_it_says_otherwise() {
        for (text, words, yes, no) in [
            ("64KiB", "<= 64KiB", 65536, 65537),
            ("> 1MB", "> 1MB", 1_000_001, 1_000_000),
            ("< 10 B", "< 10B", 9, 10),
            (">=1024B", ">= 1KiB", 1024, 1023),
        ] {
            let size = Size::parse(text).unwrap();
            assert_eq!(
                (size.to_string().as_str(), size.holds(yes), size.holds(no)),
                (words, true, false)
            );
        }
        for bad in ["", "64", "KiB", "-1B", "+1B", "1.5MiB", "99999999999999999999MiB", "== 1B"] {
            assert!(Size::parse(bad).is_err(), "{bad}");
        }
    }
}
