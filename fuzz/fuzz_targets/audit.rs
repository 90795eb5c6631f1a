//! Any text makes one line that verifies; any bytes are read without a panic; a changed byte shows.
//!
//! Input: a byte that is put somewhere, where, and a text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom_model::audit::chain::{Hash, torn, write_line};
use strongroom_model::audit::verify::{Report, Verifier};
use strongroom_model::audit::{AuditId, Draft, Kind};

fuzz_target!(|data: &[u8]| {
    verify(data);
    let [to, high, low, rest @ ..] = data else { return };
    let text = String::from_utf8_lossy(rest);

    let (first, hash) = write_line(&draft(&text), 1, 0, &Hash::GENESIS);
    let (closing, hash) = write_line(&torn(&first[..first.len() / 2]), 2, 0, &hash);
    let (last, _) = write_line(&draft(&text), 3, u64::MAX, &hash);
    for line in [&first, &closing, &last] {
        let (end, line) = line.split_last().expect("a line");
        assert!(*end == b'\n' && line.iter().all(|byte| (b' '..=b'~').contains(byte)));
    }
    let mut chain = [&first[..], &first[..first.len() / 2], b"\n", &closing, &last].concat();
    let report = verify(&chain);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.records, 3);

    let at = usize::from(u16::from_be_bytes([*high, *low])) % chain.len();
    if chain[at] != *to {
        chain[at] = *to;
        assert!(!verify(&chain).problems.is_empty());
    }
});

fn draft(text: &str) -> Draft {
    Draft {
        kind: Kind::Refusal,
        audit_id: Some(AuditId("0123456789abcdef".into())),
        claimed_client: Some(text.to_owned()),
        path: Some(text.to_owned()),
        reason: Some(text.to_owned()),
        ..Draft::default()
    }
}

fn verify(bytes: &[u8]) -> Report {
    let mut verifier = Verifier::new();
    verifier.bytes("day", bytes);
    verifier.finish()
}
