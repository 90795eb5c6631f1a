//! Event streams (`text/event-stream`): where an event ends, and secrets that are spread over
//! several.

use std::ops::Range;

use strongroom_model::redact::Redactor;

use crate::decode::{Sink, Stop};

/// Collects the events of a stream, until there are enough.
pub(crate) struct Events {
    out: Vec<u8>,
    cap: usize,
    most: u32,
    count: u32,
    scan: Scan,
    /// Bytes of `out` that are whole events.
    whole: usize,
}

/// What is known of a stream between two of its bytes. A line ends with CR, LF or CRLF, an event with
/// an empty line; lines that begin with a colon are comments.
#[derive(Default)]
struct Scan {
    /// The last byte was CR, to which an LF that comes now belongs; whether it ended an event.
    after_cr: Option<bool>,
    in_line: bool,
    has_field: bool,
}

/// What a byte means.
#[derive(PartialEq, Eq)]
enum Met {
    Nothing,
    /// The end of a block of comments.
    Pause,
    Event,
}

impl Scan {
    fn step(&mut self, byte: u8) -> Met {
        let after_cr = self.after_cr.take();
        match byte {
            b'\n' if let Some(ended) = after_cr => {
                if ended {
                    Met::Pause
                } else {
                    Met::Nothing
                }
            }
            b'\r' | b'\n' => {
                let ended = !std::mem::take(&mut self.in_line);
                self.after_cr = (byte == b'\r').then_some(ended);
                match ended {
                    false => Met::Nothing,
                    true if std::mem::take(&mut self.has_field) => Met::Event,
                    true => Met::Pause,
                }
            }
            _ => {
                let begins = !std::mem::replace(&mut self.in_line, true);
                self.has_field |= begins && byte != b':';
                Met::Nothing
            }
        }
    }
}

impl Events {
    /// At most `most` events of at most `cap` bytes in all.
    pub(crate) fn new(most: u32, cap: usize) -> Self {
        Self { out: Vec::new(), cap, most, count: 0, scan: Scan::default(), whole: 0 }
    }

    /// Everything that came.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// The whole events that came. What began and did not end may be half a secret.
    pub(crate) fn into_whole(mut self) -> Vec<u8> {
        self.out.truncate(self.whole);
        self.out
    }
}

impl Sink for Events {
    async fn take(&mut self, piece: &[u8]) -> Result<(), Stop> {
        for &byte in piece {
            let met = self.scan.step(byte);
            // The line feed behind the carriage return that ended the last event still comes along.
            if self.count >= self.most && met != Met::Pause {
                return Err(Stop::Enough);
            }
            if self.out.len() >= self.cap {
                return Err(Stop::TooLarge);
            }
            self.out.push(byte);
            if met != Met::Nothing {
                self.whole = self.out.len();
            }
            if met == Met::Event {
                self.count += 1;
                if self.count >= self.most && byte == b'\n' {
                    return Err(Stop::Enough);
                }
            }
        }
        if self.count >= self.most && self.scan.after_cr.is_none() {
            Err(Stop::Enough)
        } else {
            Ok(())
        }
    }
}

/// Redacts secrets that begin in the data of one event, or one line, and end in that of another. Those
/// within one are left to the pass over the whole. Says how many there were.
///
/// What stands between two pieces of data (line ends, names of fields) stays.
pub(crate) fn redact_across(body: Vec<u8>, redactor: &Redactor) -> (Vec<u8>, u64) {
    let pieces = data(&body);
    let joined: Vec<u8> = pieces.iter().flat_map(|piece| &body[piece.clone()]).copied().collect();
    let found = redactor.found(&joined);
    let (mut out, mut done, mut markers) = (Vec::new(), 0, 0);
    let (mut at, mut before) = (0, 0);
    for (span, marker) in found {
        // The first piece that reaches into the span.
        while pieces.get(at).is_some_and(|piece| before + piece.len() <= span.start) {
            before += pieces[at].len();
            at += 1;
        }
        let Some(first) = pieces.get(at) else { break };
        if span.end <= before + first.len() {
            continue;
        }
        markers += 1;
        out.extend_from_slice(&body[done..first.start + span.start - before]);
        out.extend_from_slice(marker);
        done = first.end;
        let mut start = before + first.len();
        for piece in &pieces[at + 1..] {
            if start >= span.end {
                break;
            }
            out.extend_from_slice(&body[done..piece.start]);
            done = piece.start + piece.len().min(span.end - start);
            start += piece.len();
        }
    }
    if markers == 0 {
        return (body, 0);
    }
    out.extend_from_slice(&body[done..]);
    (out, markers)
}

/// Where the data stands: what is behind `data:` and one space, to the end of its line.
fn data(body: &[u8]) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for line in body.split(|byte| matches!(byte, b'\r' | b'\n')) {
        if let Some(value) = line.strip_prefix(b"data:") {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            let end = start + line.len();
            if !value.is_empty() {
                pieces.push(end - value.len()..end);
            }
        }
        start += line.len() + 1;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use strongroom_model::redact::Labelled;
    use strongroom_model::secret::Secret;

    use super::*;

    /// What is kept of `body` in pieces of `size`, whether there was enough, and the whole events.
    async fn read(body: &str, size: usize, most: u32) -> (String, bool, String) {
        let collect = || async {
            let mut events = Events::new(most, 1000);
            for piece in body.as_bytes().chunks(size) {
                if let Err(stop) = events.take(piece).await {
                    assert!(matches!(stop, Stop::Enough));
                    return (events, true);
                }
            }
            (events, false)
        };
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (events, enough) = collect().await;
        let (again, _) = collect().await;
        (text(events.into_bytes()), enough, text(again.into_whole()))
    }

    #[tokio::test]
    async fn events_are_counted_however_their_lines_end_and_are_cut() {
        for end in ["\n", "\r", "\r\n"] {
            let lines = |text: &str| text.replace('|', end);
            let body = lines(": hello||data: a|data: b||: ping||id: 2|data: c||data: d");
            let one = lines(": hello||data: a|data: b||");
            let two = lines(": hello||data: a|data: b||: ping||id: 2|data: c||");
            for size in 1..=body.len() {
                assert_eq!(read(&body, size, 1).await, (one.clone(), true, one.clone()), "{end:?}");
                assert_eq!(read(&body, size, 2).await, (two.clone(), true, two.clone()), "{end:?}");
                assert_eq!(read(&body, size, 3).await, (body.clone(), false, two.clone()));
            }
        }
    }

    #[tokio::test]
    async fn comments_alone_are_no_events_and_have_a_cap() {
        let mut events = Events::new(1, 100);
        for _ in 0..12 {
            events.take(b": ping\n\n").await.unwrap();
        }
        assert!(matches!(events.take(b": ping\n\n").await, Err(Stop::TooLarge)));
    }

    fn redacted(body: &str) -> (String, u64) {
        let secret = |label: &str, value: &str| Labelled {
            label: label.into(),
            secret: Arc::new(Secret::new(value.as_bytes().to_vec())),
        };
        let redactor =
            Redactor::new(&[secret("a", "canary-0123456789-canary"), secret("b", "short1")]);
        let (body, across) = redact_across(body.as_bytes().to_vec(), &redactor);
        let (body, within) = redactor.clean(body);
        (String::from_utf8(body.into_inner()).unwrap(), across + within)
    }

    #[test]
    fn a_secret_that_is_spread_over_events_is_found() {
        for (body, expected, count) in [
            (
                "data: xcanary-01\n\ndata: 23456789-canaryy\n\n",
                "data: x[REDACTED:a]\n\ndata: y\n\n",
                1,
            ),
            (
                "event: m\ndata: c\ndata:anary-0123456789-cana\n\nid: 1\ndata: ry\n\n",
                "event: m\ndata: [REDACTED:a]\ndata:\n\nid: 1\ndata: \n\n",
                1,
            ),
            ("data: sho\r\n\r\ndata: rt1!\r\n\r\n", "data: [REDACTED:b]\r\n\r\ndata: !\r\n\r\n", 1),
            (
                "data: short1sho\n\ndata: rt1\n\ndata: short1\n\n",
                "data: [REDACTED:b]\n\ndata: \n\ndata: \n\n",
                1,
            ),
            ("data: short1\n\ndata: rt1\n\n", "data: [REDACTED:b]\n\ndata: rt1\n\n", 1),
            ("id: sho\n\ndata: rt1\n\n", "id: sho\n\ndata: rt1\n\n", 0),
        ] {
            let (text, found) = redacted(body);
            assert_eq!((text.as_str(), found), (expected, count), "{body}");
        }
    }
}
