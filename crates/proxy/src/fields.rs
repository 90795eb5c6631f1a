//! Members of a JSON answer that hold secrets nobody has seen before: what an endpoint that mints
//! credentials answers (RR-12).
//!
//! A service lists their names. Their values go before the redactor looks for what is known: they are
//! redacted, or kept with a handle given for each ([`Sealing`]). The body is not parsed as a whole: an
//! answer that is cut off, a list of JSON lines and a stream of events are read as far as they go, and
//! every other byte of the body stays as it was.

use std::ops::Range;

use zeroize::Zeroize as _;

use crate::handles::Sealer;

/// Puts `marker` in the place of the strings that stand at `names`, however deep, and says how many
/// there were. Of a list that stands there every string goes; an object is looked into.
///
/// A string that is shorter than the marker becomes as many asterisks: the body never grows, and no
/// second one is held.
pub(crate) fn redact(mut body: Vec<u8>, names: &[String], marker: &str) -> (Vec<u8>, u64) {
    if names.is_empty() {
        return (body, 0);
    }
    let mut pass = Pass { scan: Scan::new(names), marker, count: 0 };
    let (_, written) = pass.sweep(&mut body, true);
    body.truncate(written);
    (body, pass.count)
}

/// The same for a body that comes in pieces.
pub(crate) struct Stream<'a> {
    pass: Pass<'a>,
    held: Vec<u8>,
}

/// Bytes of a string, and of what may show whether it is a name, that are held at the most.
const LONGEST: usize = 1 << 20;

impl<'a> Stream<'a> {
    /// A pass over one body; `None` where there is nothing to look for.
    pub(crate) fn new(names: &'a [String], marker: &'a str) -> Option<Self> {
        let pass = Pass { scan: Scan::new(names), marker, count: 0 };
        (!names.is_empty()).then_some(Self { pass, held: Vec::new() })
    }

    /// Takes a piece and gives what is decided; `None` where a string is too long to be decided.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Option<Vec<u8>> {
        self.held.extend_from_slice(piece);
        let (read, written) = self.pass.sweep(&mut self.held, false);
        let rest = self.held.split_off(read);
        let mut decided = std::mem::replace(&mut self.held, rest);
        decided.truncate(written);
        (self.held.len() <= LONGEST).then_some(decided)
    }

    /// Ends the body: gives the rest of it, and how many strings were redacted in all.
    pub(crate) fn finish(mut self) -> (Vec<u8>, u64) {
        let (_, written) = self.pass.sweep(&mut self.held, true);
        self.held.truncate(written);
        (self.held, self.pass.count)
    }
}

/// A pass over one body that keeps the strings at the names, and puts handles in their places. What
/// cannot be kept is redacted.
pub(crate) struct Sealing<'a> {
    scan: Scan<'a>,
    marker: &'a str,
    sealer: Sealer<'a>,
    held: Vec<u8>,
    sealed: u64,
    redacted: u64,
}

impl<'a> Sealing<'a> {
    /// `None` where there is nothing to look for.
    pub(crate) fn new(names: &'a [String], marker: &'a str, sealer: Sealer<'a>) -> Option<Self> {
        let scan = Scan::new(names);
        let held = Vec::new();
        (!names.is_empty()).then_some(Self { scan, marker, sealer, held, sealed: 0, redacted: 0 })
    }

    /// Takes a piece and gives what is decided; `None` where a string is too long to be decided.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Option<Vec<u8>> {
        self.held.extend_from_slice(piece);
        let decided = self.sweep(false);
        (self.held.len() <= LONGEST).then_some(decided)
    }

    /// Ends the body: gives the rest of it, how many strings were kept, and how many redacted.
    pub(crate) fn finish(mut self) -> (Vec<u8>, u64, u64) {
        let rest = self.sweep(true);
        (rest, self.sealed, self.redacted)
    }

    /// A whole body.
    pub(crate) fn whole(mut self, body: Vec<u8>) -> (Vec<u8>, u64, u64) {
        self.held = body;
        self.finish()
    }

    fn sweep(&mut self, last: bool) -> Vec<u8> {
        let mut body = std::mem::take(&mut self.held);
        let mut out = Vec::with_capacity(body.len());
        let mut at = 0;
        loop {
            let found = self.scan.next(&body, at, last);
            let until = found.as_ref().map_or_else(|end| *end, |place| place.start);
            out.extend_from_slice(&body[at..until]);
            at = until;
            let Ok(place) = found else { break };
            at = place.end;
            if let Some(handle) = self.sealer.seal(&body[place.clone()]) {
                out.extend_from_slice(format!("\"{handle}\"").as_bytes());
                self.sealed += 1;
            } else {
                out.extend_from_slice(&marked(place.len(), self.marker));
                self.redacted += 1;
            }
        }
        self.held = body.split_off(at);
        body.zeroize();
        out
    }
}

/// Redacts in the place.
struct Pass<'a> {
    scan: Scan<'a>,
    marker: &'a str,
    count: u64,
}

impl Pass<'_> {
    /// Redacts `body` in its place. What was read stands in front of the first of the places that
    /// are returned, and what became of it in front of the second: where more is to come, a string
    /// whose end, or whose being a name, is not known yet stands behind it.
    fn sweep(&mut self, body: &mut [u8], last: bool) -> (usize, usize) {
        let (mut at, mut written) = (0, 0);
        loop {
            let found = self.scan.next(body, at, last);
            let until = found.as_ref().map_or_else(|end| *end, |place| place.start);
            body.copy_within(at..until, written);
            written += until - at;
            let Ok(place) = found else { return (until, written) };
            // What is behind it in the buffer was read before.
            let text = marked(place.len(), self.marker);
            body[written..written + text.len()].copy_from_slice(&text);
            written += text.len();
            at = place.end;
            self.count += 1;
        }
    }
}

/// The marker in the place of a string of `length` bytes, its quotes included; never longer.
fn marked(length: usize, marker: &str) -> Vec<u8> {
    let inner = length.saturating_sub(2);
    let text =
        if marker.len() <= inner { marker.as_bytes() } else { &[b'*'; 128][..inner.min(128)] };
    let mut whole = [b"\"", text, b"\""].concat();
    // A string without an end may have no room for both quotes.
    whole.truncate(length);
    whole
}

/// Where the strings at the names stand: what is known between two bytes of a body.
struct Scan<'a> {
    names: &'a [String],
    /// How deep we are in lists at one of the names.
    lists: usize,
    is_value: bool,
}

impl<'a> Scan<'a> {
    fn new(names: &'a [String]) -> Self {
        Self { names, lists: 0, is_value: false }
    }

    /// The next such string in `body`, quotes included, from `at` on; or the place up to which there
    /// is none. Where more is to come, what stands behind that place is not decided yet.
    fn next(&mut self, body: &[u8], mut at: usize, last: bool) -> Result<Range<usize>, usize> {
        while let Some(&byte) = body.get(at) {
            let end = if byte == b'"' { string_end(body, at) } else { at + 1 };
            let behind = if byte == b'"' { skip_blank(body, end) } else { end };
            if !last && byte == b'"' && behind >= body.len() {
                break;
            }
            let is_name = byte == b'"' && body.get(behind) == Some(&b':');
            match byte {
                b'"' if !is_name && (self.is_value || self.lists > 0) => {
                    self.is_value = false;
                    return Ok(at..end);
                }
                b'"' => self.is_value = is_name && is_one_of(&body[at..end], self.names),
                b'[' if self.is_value || self.lists > 0 => {
                    self.lists += 1;
                    self.is_value = false;
                }
                b']' => self.lists = self.lists.saturating_sub(1),
                b':' | b' ' | b'\t' | b'\r' | b'\n' => {}
                _ => self.is_value = false,
            }
            at = end;
        }
        Err(at)
    }
}

/// Behind the JSON string that begins at `start`; the end of the body where it has no end.
pub(crate) fn string_end(body: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = body.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    body.len()
}

/// Behind the white space that begins at `from`.
pub(crate) fn skip_blank(body: &[u8], from: usize) -> usize {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let rest = body.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| blank(byte)).count()
}

/// Whether the JSON string `quoted` is one of `names`, whatever its case and its escapes.
fn is_one_of(quoted: &[u8], names: &[String]) -> bool {
    let same = |name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    if quoted.contains(&b'\\') {
        return serde_json::from_slice::<String>(quoted).is_ok_and(|name| same(&name));
    }
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(body: &str) -> (String, u64) {
        let names = ["access_token".to_owned(), "key".to_owned()];
        let (body, count) = redact(body.as_bytes().to_vec(), &names, "[X]");
        (String::from_utf8(body).unwrap(), count)
    }

    // RR-12
    #[test]
    fn the_strings_of_listed_members_go_wherever_they_stand() {
        for (body, expected, count) in [
            (r#"{"access_token":"NEW","a":"b"}"#, r#"{"access_token":"[X]","a":"b"}"#, 1),
            (r#"{ "a" : { "key" : "N\"E\\" } }"#, r#"{ "a" : { "key" : "[X]" } }"#, 1),
            (r#"{"KEY":"new","\u006bey":"new"}"#, r#"{"KEY":"[X]","\u006bey":"[X]"}"#, 2),
            (
                r#"{"key":["new",["new"],{"c":"new"}],"e":"new"}"#,
                r#"{"key":["[X]",["[X]"],{"c":"[X]"}],"e":"new"}"#,
                3,
            ),
            (r#"{"key":{"a":"b","key":"new"}}"#, r#"{"key":{"a":"b","key":"[X]"}}"#, 1),
            ("{\"key\":\"new\"}\n{\"key\":\"new\"}\n", "{\"key\":\"[X]\"}\n{\"key\":\"[X]\"}\n", 2),
            ("data: {\"key\":\"new\"}\n\n", "data: {\"key\":\"[X]\"}\n\n", 1),
            // Shorter than the marker.
            (r#"{"key":"ab","e":1}"#, r#"{"key":"**","e":1}"#, 1),
            (r#"{"key":""}"#, r#"{"key":""}"#, 1),
            // Cut off: what has begun is gone as well.
            (r#"{"key":"NEW and"#, r#"{"key":"[X]""#, 1),
            (r#"{"key":"NEW\"#, r#"{"key":"[X]""#, 1),
            (r#"{"key":""#, r#"{"key":""#, 1),
        ] {
            assert_eq!(redacted(body), (expected.to_owned(), count), "{body}");
        }
    }

    #[test]
    fn it_does_not_matter_how_a_body_is_cut() {
        let names = ["access_token".to_owned(), "key".to_owned()];
        for body in [
            r#"{ "a" : { "key" : "N\"E\\W" }, "\u006bey" :["x", ["new"], {"c" :"new"}] }"#,
            r#"{"key":"NEW and"#,
            "data: {\"key\":\"new\"}\n\ndata: {\"key\":   \"new\"  }\n\n",
            "\"",
            "",
        ] {
            let whole = redact(body.as_bytes().to_vec(), &names, "[X]");
            for size in 1..=body.len().max(1) {
                let mut stream = Stream::new(&names, "[X]").unwrap();
                let mut out = Vec::new();
                for piece in body.as_bytes().chunks(size) {
                    out.extend(stream.push(piece).unwrap());
                }
                let (rest, count) = stream.finish();
                out.extend(rest);
                assert_eq!((out, count), whole, "{body} in pieces of {size}");
            }
        }
        let mut stream = Stream::new(&names, "[X]").unwrap();
        assert!(stream.push(b"\"").is_some());
        assert!(stream.push(&vec![b'x'; LONGEST]).is_none(), "a string without an end");
        assert!(Stream::new(&[], "[X]").is_none());
    }

    #[test]
    fn everything_else_stays_byte_for_byte() {
        for body in [
            "",
            "key",
            "\"",
            r#"{"a":"key","b":["key"],"keys":"x","ke":"y"}"#,
            r#"{"a":"\"key\":\"x\""}"#,
            r#"{"key":12,"a":"b"}"#,
            r#"[{"key":null},"a",{"key":true,"b":["c"]}]"#,
            r#"{"key":"#,
            r#"{"key":{},"a":"b"}"#,
            r#"{"key":[],"a":["b"]}"#,
            "{\"a\": \"\\",
        ] {
            assert_eq!(redacted(body), (body.to_owned(), 0), "{body}");
        }
        let body = br#"{"key":"a"}"#.to_vec();
        assert_eq!(redact(body.clone(), &[], "[X]"), (body, 0), "without a list");
    }
}
