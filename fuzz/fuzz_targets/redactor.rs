//! What comes out does not depend on how the stream is cut, and never holds the secret.
//!
//! Input: the length of the secret, a chunk length, the secret, the stream.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use strongroom_model::redact::{Labelled, Redactor};
use strongroom_model::secret::Secret;

fuzz_target!(|data: &[u8]| {
    let [length, chunk, rest @ ..] = data else { return };
    let length = usize::from(*length % 64);
    if length < 4 || rest.len() < length {
        return;
    }
    let (secret, stream) = rest.split_at(length);
    let labelled =
        Labelled { label: "acme".into(), secret: Arc::new(Secret::new(secret.to_vec())) };
    let redactor = Redactor::new(&[labelled]);

    let (whole, markers) = redactor.clean(stream.to_vec());
    let mut pieces = Vec::new();
    let mut pass = redactor.stream();
    for piece in stream.chunks(usize::from(*chunk).max(1)) {
        pass.push(piece, &mut pieces);
    }
    assert_eq!(pass.finish(&mut pieces), markers);
    assert_eq!(&pieces, whole.get());

    // The markers are ours: a secret that is part of one may stand there.
    let rest: Vec<&[u8]> = split(whole.get(), b"[REDACTED:acme]");
    assert!(!rest.iter().any(|part| part.windows(length).any(|window| window == secret)));
});

fn split<'a>(mut bytes: &'a [u8], marker: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = bytes.windows(marker.len()).position(|window| window == marker) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + marker.len()..];
    }
    parts.push(bytes);
    parts
}
