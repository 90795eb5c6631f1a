//! The list of names, as the other implementations of the layout write it: a JSON list of texts.

use strongroom_model::secret::Secret;

/// The names of this list; `None` where it is none.
pub(super) fn parse(text: &[u8]) -> Option<Vec<String>> {
    serde_json::from_slice(text).ok()
}

/// The list of these names.
pub(super) fn encode(names: &[String]) -> Secret {
    Secret::new(serde_json::to_vec(names).expect("a list of texts is JSON"))
}

/// `listed` with what is there and without what is not, and whether it was right. What stays keeps
/// its place; what is new comes after it.
pub(super) fn heal(listed: Option<Vec<String>>, there: &[String]) -> (Vec<String>, bool) {
    let Some(listed) = listed else { return (there.to_vec(), there.is_empty()) };
    let mut healed: Vec<String> = Vec::with_capacity(there.len());
    for name in listed.iter().filter(|name| there.contains(name)) {
        if !healed.contains(name) {
            healed.push(name.clone());
        }
    }
    for name in there {
        if !healed.contains(name) {
            healed.push(name.clone());
        }
    }
    let agrees = healed == listed;
    (healed, agrees)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_list_is_what_python_writes() {
        assert_eq!(parse(br#"["api_key", "b"]"#).unwrap(), ["api_key", "b"]);
        assert_eq!(parse(b"[]").unwrap(), [""; 0]);
        for text in [&b""[..], b"{}", b"[1]", b"null", b"[\"a\"", b"\xff"] {
            assert!(parse(text).is_none());
        }
        assert_eq!(encode(&["a".to_owned()]).expose(), br#"["a"]"#);
    }

    #[test]
    fn no_index_and_no_items_agree() {
        assert_eq!(heal(None, &[]), (vec![], true));
        assert_eq!(heal(None, &["a".to_owned()]), (vec!["a".to_owned()], false));
    }

    proptest! {
        #[test]
        fn what_is_healed_lists_exactly_what_is_there(
            listed in proptest::option::of(proptest::collection::vec("[a-d]", 0..6)),
            there in proptest::collection::btree_set("[a-d]", 0..4),
        ) {
            let there: Vec<String> = there.into_iter().collect();
            let (healed, agrees) = heal(listed.clone(), &there);
            let set: BTreeSet<&String> = healed.iter().collect();
            prop_assert_eq!(set.len(), healed.len());
            prop_assert_eq!(set, there.iter().collect::<BTreeSet<_>>());
            prop_assert_eq!(agrees, listed.unwrap_or_default() == healed);
            prop_assert_eq!(heal(Some(healed.clone()), &there), (healed, true));
        }
    }
}
