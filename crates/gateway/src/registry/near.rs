//! Did you mean: the known word that is nearest to one that is not known.

pub(crate) use strongroom_model::near::nearest;

use super::node::Member;
use super::{Problem, Text};

/// A key that is not one of `known`. One that is near none of them is not repeated: it may be a
/// secret.
pub(crate) fn unknown_key(text: &Text, member: &Member, known: &[&'static str]) -> Problem {
    match nearest(&member.key, known.iter().copied()) {
        Some(near) => text
            .problem(member.at, format!("unknown key `{}`", member.key))
            .hint(format!("did you mean `{near}`?")),
        None => text
            .problem(member.at, "unknown key")
            .hint(format!("the keys here are `{}`", known.join("`, `"))),
    }
}
