//! A stream of events reads in one way however it is cut, and no event is longer than the cap.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom_gateway::upstream::far::sse::{Met, Reader};

const CAP: usize = 64;

fn read(pieces: &[&[u8]]) -> (Vec<Met>, Option<String>) {
    let mut reader = Reader::new(CAP);
    let mut met = Vec::new();
    for piece in pieces {
        reader.push(piece, |one| met.push(one));
    }
    (met, reader.last_id().map(str::to_owned))
}

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, stream) = input;
    let (before, behind) = stream.split_at(cut % (stream.len() + 1));
    let whole = read(&[stream]);
    assert_eq!(read(&[before, behind]), whole);
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(read(&bytes), whole);
    for met in &whole.0 {
        if let Met::Event(event) = met {
            assert!(!event.data.is_empty() && event.data.len() <= CAP + 64);
            assert!(!event.data.contains(&b'\r'));
        }
    }
    assert!(whole.1.is_none_or(|id| id.bytes().all(|byte| (0x21..0x7f).contains(&byte))));
});
