//! Undoes encodings in whatever bytes come, without knowing whether there are any.

use std::io::{self, Read};

/// What one decoder may produce: a small body must not unpack into all memory.
const LARGEST: u64 = 64 << 20;

/// Every decoding of `bytes` that changes something, with the name of the encoding. Runs that would
/// hold fewer than `shortest` bytes are left out.
pub(super) fn all(bytes: &[u8], shortest: usize) -> Vec<(&'static str, Vec<u8>)> {
    let mut views = Vec::new();
    let mut add = |name, view: Vec<u8>| {
        if !view.is_empty() {
            views.push((name, view));
        }
    };
    if bytes.contains(&b'\\') {
        add("backslash escapes", backslashes(bytes));
    }
    if bytes.contains(&b'&') {
        add("HTML entities", entities(bytes));
    }
    if bytes.contains(&b'%') {
        add("percent", percent(bytes, false));
    }
    if bytes.contains(&b'+') {
        add("percent and plus", percent(bytes, true));
    }
    for skip in 0..4 {
        add("base64", base64(bytes, skip, shortest));
    }
    for skip in 0..2 {
        add("hex", hex(bytes, skip, shortest));
    }
    for (name, little) in [("UTF-16LE", true), ("UTF-16BE", false)] {
        for skip in 0..2 {
            add(name, utf16(bytes, skip, little, shortest));
        }
    }
    for (name, view) in compressed(bytes) {
        add(name, view);
    }
    add("chunked framing", chunked(bytes));
    views
}

/// `\n`, `\"`, `\/`, `\xHH` and `\uHHHH` with surrogate pairs: JSON, JavaScript, Python, C.
fn backslashes(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let escape = if byte == b'\\' { escape(tail) } else { None };
        if let Some((decoded, used)) = escape {
            out.extend(decoded);
            rest = &tail[used..];
        } else {
            out.push(byte);
        }
    }
    out
}

/// What the text behind a backslash stands for, and how many bytes of it that took.
fn escape(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let decoded = match text.first()? {
        b'u' => {
            let (character, used) = unicode_escape(text)?;
            return Some((character.to_string().into_bytes(), used));
        }
        b'x' => return Some((vec![number(&text[1..], 2, 16)?.to_le_bytes()[0]], 3)),
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        same @ (b'"' | b'\'' | b'\\' | b'/' | b'`' | b'$') => *same,
        _ => return None,
    };
    Some((vec![decoded], 1))
}

/// `uHHHH`, or two of them that make one character. Says how many bytes it took.
fn unicode_escape(text: &[u8]) -> Option<(char, usize)> {
    let high = number(text.strip_prefix(b"u")?, 4, 16)?;
    if let Some(character) = char::from_u32(high) {
        return Some((character, 5));
    }
    let low = number(text.get(5..)?.strip_prefix(b"\\u")?, 4, 16)?;
    let code = 0x1_0000 + ((high - 0xd800) << 10) + low.checked_sub(0xdc00)?;
    Some((char::from_u32(code)?, 11))
}

/// `&lt;`, `&#60;`, `&#x3c;`.
fn entities(bytes: &[u8]) -> Vec<u8> {
    const NAMED: &[(&[u8], &str)] = &[
        (b"amp", "&"),
        (b"lt", "<"),
        (b"gt", ">"),
        (b"quot", "\""),
        (b"apos", "'"),
        (b"nbsp", " "),
        (b"eacute", "é"),
        (b"sol", "/"),
        (b"bsol", "\\"),
        (b"plus", "+"),
        (b"equals", "="),
        (b"percnt", "%"),
        (b"commat", "@"),
        (b"grave", "`"),
        (b"num", "#"),
        (b"colon", ":"),
        (b"semi", ";"),
        (b"quest", "?"),
    ];
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let end = tail.iter().take(10).position(|&byte| byte == b';');
        let Some(name) = end.filter(|_| byte == b'&').map(|end| &tail[..end]) else {
            out.push(byte);
            continue;
        };
        let code = match name {
            [b'#', b'x' | b'X', digits @ ..] => number(digits, digits.len(), 16),
            [b'#', digits @ ..] => number(digits, digits.len(), 10),
            _ => None,
        };
        let named = NAMED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        if let Some(character) = code.and_then(char::from_u32) {
            out.extend(character.to_string().bytes());
        } else if let Some(text) = named {
            out.extend(text.bytes());
        } else {
            out.push(byte);
            continue;
        }
        rest = &tail[name.len() + 1..];
    }
    out
}

/// `%HH`, and `+` for a space if `plus`.
fn percent(bytes: &[u8], plus: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let value = if byte == b'%' { number(tail, 2, 16) } else { None };
        if let Some(value) = value {
            out.push(value.to_le_bytes()[0]);
            rest = &tail[2..];
        } else {
            out.push(if plus && byte == b'+' { b' ' } else { byte });
        }
    }
    out
}

/// Every run of letters of either base64 alphabet, read from its letter number `skip` on: one of
/// the four starts fits, whatever stands before the secret. Line breaks inside a run do not end it.
fn base64(bytes: &[u8], skip: usize, shortest: usize) -> Vec<u8> {
    let sextet = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    runs(bytes, &sextet, b"\r\n", shortest * 4 / 3, |run| {
        let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
        for &value in run.iter().skip(skip) {
            bits = bits << 6 | u32::from(value);
            count += 6;
            if count >= 8 {
                count -= 8;
                out.push((bits >> count).to_le_bytes()[0]);
            }
        }
        out
    })
}

/// Every run of hex digits, with whatever is put between the pairs, read from digit `skip` on.
fn hex(bytes: &[u8], skip: usize, shortest: usize) -> Vec<u8> {
    let bytes = without(bytes, *b"0x");
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value.to_le_bytes()[0]);
    runs(&bytes, &digit, b":-_,;. \\x%\r\n\t\"'", shortest * 2, |run| {
        let digits: Vec<u8> = run.iter().copied().skip(skip).collect();
        digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    })
}

fn without(bytes: &[u8], what: [u8; 2]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(&what) {
            rest = after;
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    out
}

/// Decodes every run of at least `least` bytes that `value` knows, passing over `separators`, and
/// puts a line break between what they decode to.
fn runs(
    bytes: &[u8],
    value: &dyn Fn(u8) -> Option<u8>,
    separators: &[u8],
    least: usize,
    decode: impl Fn(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let (mut out, mut run) = (Vec::new(), Vec::new());
    for &byte in bytes.iter().chain([&0]) {
        if let Some(value) = value(byte) {
            run.push(value);
        } else if !separators.contains(&byte) {
            if run.len() >= least {
                out.extend(decode(&run));
                out.push(b'\n');
            }
            run.clear();
        }
    }
    out
}

/// Every run of UTF-16 units below 256 (of which all our secrets consist), as UTF-8.
fn utf16(bytes: &[u8], skip: usize, little: bool, shortest: usize) -> Vec<u8> {
    let (mut out, mut run) = (Vec::new(), String::new());
    for unit in bytes.get(skip..).unwrap_or_default().chunks_exact(2).chain([[1, 1].as_slice()]) {
        let (low, high) = if little { (unit[0], unit[1]) } else { (unit[1], unit[0]) };
        if high == 0 && low != 0 {
            run.push(char::from(low));
        } else {
            if run.len() >= shortest {
                out.extend(run.bytes());
                out.push(b'\n');
            }
            run.clear();
        }
    }
    out
}

/// What compressed streams in `bytes` hold. Those with a magic number are looked for everywhere,
/// brotli and bare deflate at the start and behind the head of an HTTP message.
fn compressed(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut views = Vec::new();
    for at in 0..bytes.len() {
        let rest = &bytes[at..];
        match rest {
            [0x1f, 0x8b, 8, ..] => {
                views.push(("gzip", read(flate2::read::MultiGzDecoder::new(rest))));
            }
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                views.push(("zstd", zstd::Decoder::new(rest).map(read).unwrap_or_default()));
            }
            // RFC 1950 2.2: the method is 8 and the two bytes are a multiple of 31.
            [first, second, ..]
                if first & 0x0f == 8
                    && first >> 4 <= 7
                    && (u16::from(*first) << 8 | u16::from(*second)).is_multiple_of(31) =>
            {
                views.push(("zlib", read(flate2::read::ZlibDecoder::new(rest))));
            }
            _ => {}
        }
    }
    let bodies = bytes.windows(4).enumerate().filter(|(_, bytes)| bytes == b"\r\n\r\n");
    for at in [0].into_iter().chain(bodies.map(|(at, _)| at + 4)) {
        let rest = &bytes[at..];
        views.push(("deflate", read(flate2::read::DeflateDecoder::new(rest))));
        views.push(("brotli", read(brotli::Decompressor::new(rest, 4096))));
    }
    views
}

/// All that comes before an error, up to [`LARGEST`].
fn read(stream: impl Read) -> Vec<u8> {
    let mut out = Vec::new();
    // An error ends the stream; what came before it was readable, so it counts.
    let _: io::Result<usize> = stream.take(LARGEST).read_to_end(&mut out);
    out
}

/// The bodies of HTTP messages in chunks (RFC 9112 7.1), joined.
fn chunked(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let heads = bytes.windows(4).enumerate().filter(|(_, bytes)| bytes == b"\r\n\r\n");
    for (at, _) in heads {
        let mut rest = &bytes[at + 4..];
        while let Some((data, after)) = chunk(rest) {
            out.extend(data);
            rest = after;
        }
    }
    out
}

/// The first chunk of `bytes` and what follows it.
fn chunk(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = bytes.iter().take(20).position(|&byte| byte == b'\n')?;
    let head = std::str::from_utf8(&bytes[..line]).ok()?;
    let size = usize::from_str_radix(head.split(';').next()?.trim(), 16).ok()?;
    let (data, after) = bytes[line + 1..].split_at_checked(size)?;
    (size > 0).then_some((data, after.strip_prefix(b"\r\n")?))
}

/// A number of exactly `length` digits at the start of `text`.
fn number(text: &[u8], length: usize, radix: u32) -> Option<u32> {
    let digits = std::str::from_utf8(text.get(..length)?).ok()?;
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}
