//! Did you mean: the known word that is nearest to one that is not known.

use crate::principal::Name;

/// How alike two words must be for the one to stand for the other, from 0 to 1.
const ALIKE: f64 = 0.8;

/// The word of `known` that `word` may stand for. A secret in the wrong place is near to none.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let rated = known.into_iter().map(|known| (strsim::jaro_winkler(word, known), known));
    rated
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, known)| known)
}

/// Says that there is no `what` of this name. The name is repeated only where it is one at all: what
/// was typed may be a secret in the wrong place.
pub fn there_is_no(what: &str, name: &str) -> String {
    match name.parse::<Name>() {
        Ok(name) if name.as_str().len() <= 32 => format!("there is no {what} `{name}`"),
        _ => format!("there is no such {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_secret_finds_none() {
        let known = ["base_url", "allow_ips", "auth", "token"];
        assert_eq!(nearest("base_ulr", known), Some("base_url"));
        assert_eq!(nearest("tokn", known), Some("token"));
        assert_eq!(nearest("sk_live_4eC39HqLyjWDarjtT1zdp7dc", known), None);
    }
}
