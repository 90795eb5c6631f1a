//! Any bytes inside the seal of a cache are read without a panic; what is read is written again as
//! the same bytes; every entry is found by its reference.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom_model::secret::Secret;

#[path = "../../crates/secrets/src/cache/body.rs"]
#[expect(dead_code, reason = "the crate uses all of it")]
mod body;

use body::{Body, New, encode, length, nanos};

fuzz_target!(|data: &[u8]| {
    let Some(body) = Body::parse(Secret::new(data.to_vec())) else { return };
    let entries: Vec<New<'_>> = body
        .entries()
        .map(|entry| New {
            reference: entry.reference,
            fetched_at: nanos(entry.fetched_at),
            ttl: length(entry.ttl),
            value: entry.value(),
        })
        .collect();
    for entry in &entries {
        let found = body.find(entry.reference).expect("an entry is found by its reference");
        assert!(found.value() == entry.value);
    }
    let again = encode(body.latest, body.generation, &entries);
    assert!(again.ct_eq(&Secret::new(data.to_vec())), "one content has one form");
});
