//! A code that must be typed, and not merely looked at (DE-07).

use crate::Code;

/// How often it may be typed before the answer is no.
pub const TRIES: u32 = 3;

/// A code that waits to be typed: three wrong ones are a no, and a right one counts once.
pub struct Typed {
    code: Code,
    /// 0: it is settled.
    left: u32,
}

/// What was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The code: this once.
    Right,
    /// Something else; it may be tried again.
    Again {
        /// How often.
        left: u32,
    },
    /// Something else, for the last time; or the code has been used.
    Denied,
}

impl Typed {
    /// Waits for `code`.
    pub fn new(code: Code) -> Self {
        Self { code, left: TRIES }
    }

    /// The code as it is shown on the other surface.
    pub fn shown(&self) -> String {
        self.code.shown()
    }

    /// What `typed` comes to. Everything that is not the code counts as a try, the empty line too.
    pub fn attempt(&mut self, typed: &str) -> Verdict {
        let Some(left) = self.left.checked_sub(1) else { return Verdict::Denied };
        if self.code.is(typed) {
            self.left = 0;
            return Verdict::Right;
        }
        self.left = left;
        if left == 0 { Verdict::Denied } else { Verdict::Again { left } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed() -> (Typed, String) {
        let typed = Typed::new(Code::draw().unwrap());
        let shown = typed.shown();
        (typed, shown)
    }

    // DE-07
    #[test]
    fn the_third_wrong_code_denies_and_the_right_one_comes_too_late() {
        let (mut one, shown) = typed();
        assert_eq!(one.attempt("AAAA-AAAB"), Verdict::Again { left: 2 });
        assert_eq!(one.attempt(""), Verdict::Again { left: 1 });
        assert_eq!(one.attempt("y"), Verdict::Denied);
        assert_eq!(one.attempt(&shown), Verdict::Denied);
    }

    #[test]
    fn the_code_is_taken_at_the_first_try_and_at_the_last() {
        for wrong in 0..TRIES {
            let (mut one, shown) = typed();
            for _ in 0..wrong {
                assert!(matches!(one.attempt("no"), Verdict::Again { .. }));
            }
            assert_eq!(one.attempt(&shown.to_lowercase()), Verdict::Right);
        }
    }

    #[test]
    fn a_code_counts_once() {
        let (mut one, shown) = typed();
        assert_eq!(one.attempt(&shown), Verdict::Right);
        assert_eq!(one.attempt(&shown), Verdict::Denied);
    }

    #[test]
    fn the_code_of_another_question_is_a_wrong_one() {
        let ((mut one, _), (_, other)) = (typed(), typed());
        assert_eq!(one.attempt(&other), Verdict::Again { left: 2 });
    }
}
