//! Did you mean: the known word that is nearest to one that is not known.

use super::node::Member;
use super::{Problem, Text};

/// How alike two words must be for the one to stand for the other, from 0 to 1.
const ALIKE: f64 = 0.8;

/// The word of `known` that `word` may stand for.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let rated = known.into_iter().map(|known| (strsim::jaro_winkler(word, known), known));
    rated
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, known)| known)
}

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
