//! The values that must never come out. Each is awkward in its own way, and none is a real secret.

/// Forty letters and digits: the plain API key.
pub const K1: &str = "cnryK1xQ7vZ2mB9tR4wL8pD3sF6hJ1nG5kYcUaEo";

/// Every printable character that some encoding escapes, and one letter that is two bytes in UTF-8.
pub const K2: &str = r#"cnryK2 p@ss "w\rd+/=&%é<>'`{|}~^#?;:,!$*()[]"#;

/// Six characters: shorter than any partial match that we promise.
pub const K3: &str = "kQ3z7X";

/// A key of several lines, as providers hand them out.
pub const K4: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIGHAgEAMBMGByqGSM49cnryK4AwEHBG0wawIBAQQgWq5zT1xUeR8vN2yLbH7jKd\n\
    4oPmXs0GfCiVtQaZhRANCAARcnryK4bUu3wEo6nYpJlSgT9kMrDxFyHqBzNvWcAe\n\
    Lt5GmPs2KfVjRxIoUbQwZy8dHcTnXaEk7MlJrSgDp1vFiYuBqOtNzWhC\n\
    -----END PRIVATE KEY-----\n";

/// What unlocks a store.
pub const K5: &str = "cnryK5unlock/8fPz+V2nTq7RbWm3YxLk9JdHs6GcAe4Ui0o=";

/// A secret that belongs to somebody else.
pub const K6: &str = "sk_live_cnryK6otherTenant51HxGmZqWvNbRtYp";

/// Every canary with the name that a finding shows.
pub const ALL: [(&str, &str); 6] =
    [("K1", K1), ("K2", K2), ("K3", K3), ("K4", K4), ("K5", K5), ("K6", K6)];

/// A key of forty letters and digits that belongs to one test alone, so that tests which run side
/// by side do not see each other's processes and files. The same `owner` gives the same key.
pub fn of(owner: &str) -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut state = owner.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let tail = std::iter::repeat_with(|| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let index = usize::try_from(state >> 58).expect("six bits fit");
        char::from(LETTERS[index % LETTERS.len()])
    });
    "cnry".chars().chain(tail.take(36)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_one_test_is_stable_and_no_other_tests() {
        assert_eq!(of("a test"), of("a test"));
        assert_ne!(of("a test")[4..16], of("a tesu")[4..16]);
        assert_eq!(of("a test").len(), 40);
    }

    #[test]
    fn the_second_canary_holds_what_encodings_escape() {
        for character in "\"\\/<>&'%+= é#?;".chars() {
            assert!(K2.contains(character), "{character}");
        }
    }
}
