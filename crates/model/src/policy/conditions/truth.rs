//! Yes, no, and what cannot be told.

/// Whether a condition is met. Ordered, so that a conjunction is the least of its parts and a
/// disjunction the greatest (Kleene).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Truth {
    /// Certainly not.
    No,
    /// It depends on who reads the request, or cannot be judged.
    Maybe,
    /// Certainly.
    Yes,
}

impl Truth {
    pub(crate) fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    pub(crate) fn negated_if(self, negated: bool) -> Self {
        match self {
            Self::Yes if negated => Self::No,
            Self::No if negated => Self::Yes,
            other => other,
        }
    }

    /// What holds for several values that go by one name: what holds for all of them, for nobody
    /// knows which one counts (PB-20). `None` where there are none.
    pub(crate) fn of_all(each: impl IntoIterator<Item = Self>) -> Option<Self> {
        each.into_iter().reduce(|all, one| if all == one { all } else { Self::Maybe })
    }
}
