//! A target that comes out is clean, holds for every later decoder, and is a fixed point.
//!
//! Input: a byte of flags, then a path with its query.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom_fuzz::{get, service};
use strongroom_model::canonical::Method;

fuzz_target!(|data: &[u8]| {
    let Some((flags, path)) = data.split_first() else { return };
    let Ok(path) = std::str::from_utf8(path) else { return };
    let service = service(*flags);
    let Some(request) = get(&service, path) else { return };

    let target = request.target();
    assert!(target.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!target.contains(['\\', '#', '<', '>', '"', '[', ']']));
    let behind = target.strip_prefix("/v1").expect("the base path comes first");
    assert!(behind.starts_with(request.path()), "what is judged is what is sent");
    assert_eq!(get(&service, behind).expect("canonical").target(), target);

    let mut seen = request.path().as_bytes().to_vec();
    for _ in 0..8 {
        let mut parts = seen.split(|byte| b"/\\".contains(byte)).skip(1).peekable();
        while let Some(part) = parts.next() {
            assert!(part != b"." && part != b"..", "a dot segment");
            assert!(!part.is_empty() || parts.peek().is_none(), "an empty segment");
        }
        assert!(!seen.iter().any(u8::is_ascii_control));
        seen = decode(&seen);
    }
    for (name, _) in request.query() {
        assert!(!name.trim().eq_ignore_ascii_case("api_key"), "the credential's parameter");
    }
    // A redirect to where a request may go leads to the same request.
    let next = request.redirected(&service, Method::Get, target.as_bytes()).expect("our own");
    assert_eq!(next.target(), target);
});

/// A decoder that is not the one under test.
fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let [first, more @ ..] = rest {
        let digits = (*first == b'%').then(|| more.get(..2)).flatten();
        let octet = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        out.push(octet.unwrap_or(*first));
        rest = if octet.is_some() { &more[2..] } else { more };
    }
    out
}
