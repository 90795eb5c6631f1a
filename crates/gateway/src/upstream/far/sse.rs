//! Reads `text/event-stream` (WHATWG HTML §9.2.6) as it comes, an event at a time and none longer than a
//! message may be.

use std::time::Duration;

/// The longest id that is kept: it goes back in a header.
const LONGEST_ID: usize = 1024;

/// What came of reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    /// An event that has data.
    Event(Event),
    /// One that was too long.
    TooLong,
}

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its type; empty where it says none.
    pub name: String,
    /// Its data, the lines of it joined by line feeds.
    pub data: Vec<u8>,
}

/// Reads one stream.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what is known between two bytes")]
pub struct Reader {
    cap: usize,
    line: Vec<u8>,
    event: Event,
    /// Whether a line of data has come.
    has_data: bool,
    /// The id that is good once the event is whole.
    id: Option<String>,
    last_id: Option<String>,
    retry: Option<Duration>,
    /// Within an event that is too long.
    skipping: bool,
    /// The last byte was CR, to which an LF that comes now belongs.
    after_cr: bool,
    /// No line has come yet.
    at_start: bool,
}

impl Reader {
    /// Of a stream whose events have at most `cap` bytes of data.
    pub fn new(cap: usize) -> Self {
        Self {
            cap,
            line: Vec::new(),
            event: Event::default(),
            has_data: false,
            id: None,
            last_id: None,
            retry: None,
            skipping: false,
            after_cr: false,
            at_start: true,
        }
    }

    /// For the stream that goes on behind this one.
    #[must_use]
    pub fn again(self) -> Self {
        Self { last_id: self.last_id, retry: self.retry, ..Self::new(self.cap) }
    }

    /// Takes in what came, and hands on every event that is whole.
    pub fn push(&mut self, mut bytes: &[u8], mut hand: impl FnMut(Met)) {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
                self.keep(bytes);
                return;
            };
            self.keep(&bytes[..end]);
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if let Some(met) = self.line_ends() {
                hand(met);
            }
        }
    }

    /// The id of the last whole event that had one, to go on behind it.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the server wants nobody to come back.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Keeps a part of a line. The name of its field and what is behind it stand beside the data.
    fn keep(&mut self, part: &[u8]) {
        if part.is_empty() {
            return;
        }
        if self.skipping || self.line.len() + part.len() > self.cap + 64 {
            self.skipping = true;
            // What is left of it must not look like an end.
            self.line.clear();
            self.line.push(b':');
        } else {
            self.line.extend_from_slice(part);
        }
    }

    fn line_ends(&mut self) -> Option<Met> {
        let mut line = std::mem::take(&mut self.line);
        let met = if line.is_empty() {
            self.event_ends()
        } else {
            let start = if std::mem::take(&mut self.at_start) { b"\xef\xbb\xbf" } else { &b""[..] };
            self.field(line.strip_prefix(start).unwrap_or(&line));
            None
        };
        line.clear();
        self.line = if line.capacity() > 64 << 10 { Vec::new() } else { line };
        met
    }

    fn field(&mut self, line: &[u8]) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = || String::from_utf8_lossy(value).into_owned();
        match name {
            b"data" if self.event.data.len() + value.len() > self.cap => {
                self.skipping = true;
                self.event.data = Vec::new();
            }
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push(b'\n');
                }
                self.event.data.extend_from_slice(value);
            }
            b"event" if value.len() <= 256 => self.event.name = text(),
            b"id"
                if value.len() <= LONGEST_ID && value.iter().all(|b| (0x21..0x7f).contains(b)) =>
            {
                self.id = Some(text());
            }
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                self.retry = text().parse().ok().map(Duration::from_millis).or(self.retry);
            }
            _ => {}
        }
    }

    fn event_ends(&mut self) -> Option<Met> {
        let event = std::mem::take(&mut self.event);
        let has_data = std::mem::take(&mut self.has_data);
        if let Some(id) = self.id.take() {
            self.last_id = (!id.is_empty()).then_some(id);
        }
        if std::mem::take(&mut self.skipping) {
            return Some(Met::TooLong);
        }
        // One without a word has an id to begin with, and nothing else.
        (has_data && !event.data.is_empty()).then_some(Met::Event(event))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8], size: usize, cap: usize) -> (Vec<String>, Option<String>) {
        let mut reader = Reader::new(cap);
        let mut met = Vec::new();
        for piece in text.chunks(size) {
            reader.push(piece, |one| {
                met.push(match one {
                    Met::Event(event) => {
                        format!("{}={}", event.name, String::from_utf8(event.data).unwrap())
                    }
                    Met::TooLong => "too long".to_owned(),
                });
            });
        }
        (met, reader.last_id().map(str::to_owned))
    }

    #[test]
    fn events_are_the_same_however_their_lines_end_and_are_cut() {
        let text = "\u{feff}data: a\n\n: hello\n\nevent: endpoint\ndata:/x\nid: 7\n\nid: 8\ndata: \n\ndata: b\ndata:  c\n\
                    unknown: x\nretry: 250\n\nid: 9\ndata: no end\n";
        for end in ["\n", "\r", "\r\n"] {
            let text = text.replace('\n', end);
            for size in 1..text.len() {
                let (met, last) = read(text.as_bytes(), size, 100);
                assert_eq!(met, ["=a", "endpoint=/x", "=b\n c"], "{end:?} {size}");
                assert_eq!(last.as_deref(), Some("8"), "an event that is not whole has no id");
            }
        }
        let mut reader = Reader::new(10);
        reader.push(b"retry: 250\nretry: x\n\n", |_| {});
        assert_eq!(reader.retry(), Some(Duration::from_millis(250)));
    }

    // RX-01
    #[test]
    fn an_event_over_the_cap_is_never_held_and_the_next_one_is_read() {
        let long = format!("data: {}\ndata: more\n\ndata: next\n\n", "x".repeat(100_000));
        let lines = format!("{}\ndata: next\n\n", "data: 12345\n".repeat(100));
        for text in [long, lines] {
            for size in [1, 7, 1000, 1 << 20] {
                assert_eq!(read(text.as_bytes(), size, 50).0, ["too long", "=next"], "{size}");
            }
        }
        let mut reader = Reader::new(1000);
        for _ in 0..10_000 {
            reader.push(&[b'x'; 4096], |_| panic!("there is no end"));
        }
        assert!(reader.line.capacity() <= 8192, "{}", reader.line.capacity());
    }

    proptest! {
        #[test]
        fn no_stream_reads_in_two_ways(text in "[ab:\r\n ]{0,80}", size in 1_usize..9) {
            prop_assert_eq!(read(text.as_bytes(), size, 8), read(text.as_bytes(), usize::MAX, 8));
        }
    }
}
