//! What comes out does not depend on how the stream is cut, and never holds the secret.
//!
//! Input: the length of the secret, a chunk length, the secret, the stream.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use strongroom_model::redact::{Clean, Labelled, Redactor, SHORTEST};
use strongroom_model::secret::Secret;

fuzz_target!(|data: &[u8]| {
    let [length, chunk, rest @ ..] = data else { return };
    let length = usize::from(*length % 64);
    let Some((secret, stream)) = rest.split_at_checked(length) else { return };
    // A line end at the end of a secret is taken for the file's that it came from.
    if secret.trim_ascii_end().len() < SHORTEST {
        return;
    }
    let labelled =
        Labelled { label: "acme".into(), secret: Arc::new(Secret::new(secret.to_vec())) };
    let redactor = Redactor::new(&[labelled]);

    let (whole, markers) = redactor.clean(stream.to_vec());
    let mut pieces = Clean::default();
    let mut pass = redactor.stream();
    for piece in stream.chunks(usize::from(*chunk).max(1)) {
        pass.push(piece, &mut pieces);
    }
    assert_eq!(pass.finish(&mut pieces), markers);
    assert_eq!(pieces, whole);

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
