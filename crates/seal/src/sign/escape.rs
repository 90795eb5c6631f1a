//! Percent-encoding as signatures need it: one spelling for each text (RFC 3986 §2.3, RFC 5849 §3.6,
//! and the `UriEncode` of AWS, which are the same).

/// Everything but letters, digits, `-`, `.`, `_` and `~` as `%XX`.
pub fn encode(bytes: &[u8]) -> String {
    let mut encoded = Vec::with_capacity(bytes.len());
    encode_into(bytes, &mut encoded);
    text(encoded)
}

/// As [`encode`], behind what stands in `out`: at most three bytes for each of `bytes`.
pub fn encode_into(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        push(byte, out);
    }
}

/// As [`encode`], but for the `/` between segments.
pub fn encode_path(path: &[u8]) -> String {
    let mut encoded = Vec::with_capacity(path.len());
    for &byte in path {
        if byte == b'/' { encoded.push(byte) } else { push(byte, &mut encoded) }
    }
    text(encoded)
}

/// The octets behind `text`. A `%` that two hex digits do not follow stands for itself.
pub fn decode(text: &str) -> Vec<u8> {
    octets(text.bytes())
}

/// The names and values of a query or form (`application/x-www-form-urlencoded`), decoded, in order.
pub fn pairs(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let part =
        |bytes: &[u8]| octets(bytes.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }));
    text.split(|&byte| byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let at = pair.iter().position(|&byte| byte == b'=');
            let (name, value) = at.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]));
            (part(name), part(value))
        })
        .collect()
}

/// `pairs` in the one order and spelling in which they are signed: encoded, sorted by name and then
/// by value, `NAME=VALUE` between `&`.
pub fn sorted(pairs: impl IntoIterator<Item = (impl AsRef<[u8]>, impl AsRef<[u8]>)>) -> String {
    let mut encoded: Vec<(String, String)> = pairs
        .into_iter()
        .map(|(name, value)| (encode(name.as_ref()), encode(value.as_ref())))
        .collect();
    encoded.sort_unstable();
    let encoded: Vec<String> =
        encoded.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    encoded.join("&")
}

fn push(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
        out.push(byte);
    } else {
        out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// Decodes triplets.
fn octets(bytes: impl Iterator<Item = u8>) -> Vec<u8> {
    let bytes: Vec<u8> = bytes.collect();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let [first, after @ ..] = rest {
        if let (b'%', [high, low, after @ ..]) = (*first, after)
            && let Some((high, low)) = digit(*high).zip(digit(*low))
        {
            out.push(high << 4 | low);
            rest = after;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn text(encoded: Vec<u8>) -> String {
    String::from_utf8(encoded).expect("what is encoded is ASCII")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_encoded_as_the_standards_say() {
        assert_eq!(encode(b"Ladies + Gentlemen"), "Ladies%20%2B%20Gentlemen");
        assert_eq!(encode("\u{2603}-._~".as_bytes()), "%E2%98%83-._~");
        assert_eq!(encode_path(b"/a b/c%2Fd"), "/a%20b/c%252Fd");
        assert_eq!(decode("%7e%zz%4"), b"~%zz%4");
        assert_eq!(
            pairs(b"a=1&&b=x+y%2B=&c"),
            [
                (b"a".to_vec(), b"1".to_vec()),
                (b"b".to_vec(), b"x y+=".to_vec()),
                (b"c".to_vec(), Vec::new()),
            ]
        );
        assert_eq!(sorted([("b", "2"), ("a", "z"), ("a", "&"), ("A", "")]), "A=&a=%26&a=z&b=2");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_to_what_it_was(bytes: Vec<u8>) {
            let encoded = encode(&bytes);
            prop_assert_eq!(decode(&encoded), bytes.clone());
            prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
            prop_assert_eq!(decode(&encode_path(&bytes)), bytes);
        }

        #[test]
        fn a_query_is_read_back_from_its_sorted_form(mut given: Vec<(Vec<u8>, Vec<u8>)>) {
            let text = sorted(given.clone());
            let mut read = pairs(text.as_bytes());
            given.sort();
            read.sort();
            prop_assert_eq!(&read, &given);
            // The order of what was given makes no difference, and neither does doing it again.
            given.reverse();
            prop_assert_eq!(sorted(given), text.clone());
            prop_assert_eq!(sorted(pairs(text.as_bytes())), text);
        }

        #[test]
        fn no_query_makes_the_reader_fail(text: Vec<u8>) {
            let again = sorted(pairs(&text));
            prop_assert_eq!(sorted(pairs(again.as_bytes())), again);
        }
    }
}
