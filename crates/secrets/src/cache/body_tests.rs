use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

fn encoded(latest: u64, generation: u64, entries: &[(&str, u64, u64, &[u8])]) -> Vec<u8> {
    let entries: Vec<New<'_>> = entries
        .iter()
        .map(|(reference, fetched_at, ttl, value)| New {
            reference,
            fetched_at: *fetched_at,
            ttl: *ttl,
            value,
        })
        .collect();
    encode(latest, generation, &entries).expose().to_vec()
}

fn parsed(bytes: &[u8]) -> Option<Body> {
    Body::parse(Secret::new(bytes.to_vec()))
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        latest: u64,
        generation: u64,
        entries in btree_map("[a-z]{1,8}://[ -~é]{1,40}", (any::<u64>(), any::<u64>(), vec(any::<u8>(), 0..80)), 0..20),
    ) {
        let list: Vec<_> = entries
            .iter()
            .map(|(reference, (at, ttl, value))| (reference.as_str(), *at, *ttl, value.as_slice()))
            .collect();
        let body = parsed(&encoded(latest, generation, &list)).unwrap();
        prop_assert_eq!((body.latest, body.generation), (latest, generation));
        let read: Vec<_> = body
            .entries()
            .map(|e| (e.reference, nanos(e.fetched_at), length(e.ttl), e.value()))
            .collect();
        prop_assert_eq!(&read, &list);
        for (reference, at, ..) in list {
            prop_assert_eq!(nanos(body.find(reference).unwrap().fetched_at), at);
        }
        prop_assert!(body.find("x://not there").is_none());
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Some(body) = parsed(&bytes) {
            prop_assert!(body.entries().count() <= bytes.len() / FRAME);
        }
    }
}

#[test]
fn one_content_has_one_form() {
    let (a, b) = (("op://a", 1, 2, &b"x"[..]), ("op://b", 1, 2, &b"y"[..]));
    let good = encoded(1, 1, &[a, b]);
    assert!(parsed(&good).is_some());
    for length in 0..good.len() {
        assert!(parsed(&good[..length]).is_none(), "{length}");
    }
    assert!(parsed(&[&good[..], b"\0"].concat()).is_none(), "something behind it");
    for (bad, why) in [
        ([b, a], "out of order"),
        ([a, a], "twice the same"),
        ([("", 1, 2, b"x"), b], "no reference"),
    ] {
        assert!(parsed(&encoded(1, 1, &bad)).is_none(), "{why}");
    }
    let not_text = encoded(1, 1, &[("op://a", 1, 2, b"x")]);
    let at = not_text.windows(6).position(|part| part == b"op://a").unwrap();
    let mut not_text = not_text;
    not_text[at] = 0xff;
    assert!(parsed(&not_text).is_none());
    let mut many = good;
    many[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(parsed(&many).is_none(), "a count that is a lie allocates nothing");
}
