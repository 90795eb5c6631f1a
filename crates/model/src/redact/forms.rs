//! The ways in which an upstream may write a secret.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// The characters of base64 that depend on a secret alone are looked for from this many on: from
/// secrets of five bytes. Fewer turn up by chance.
const SHORTEST_CORE: usize = 6;

/// Every form of `value`, each once, `value` itself first.
///
/// Forms made of characters (JSON, HTML, UTF-16) exist only where `value` is UTF-8.
pub(super) fn of(value: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms = Forms { found: Vec::new(), room: value.len() * WIDEST + 8 };
    forms.add(|out| out.extend_from_slice(value));
    forms.percent(value);
    forms.base64(value);
    forms.hex(value);
    if let Ok(text) = str::from_utf8(value) {
        forms.json(text);
        forms.html(text);
        forms.utf16(text);
    }
    forms.found
}

/// No form writes a byte with more bytes than this.
const WIDEST: usize = 6;

struct Forms {
    found: Vec<Zeroizing<Vec<u8>>>,
    room: usize,
}

impl Forms {
    /// Adds what `write` writes, in a buffer that does not move while it grows: what is left behind
    /// would not be wiped.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut form = Zeroizing::new(Vec::with_capacity(self.room));
        write(&mut form);
        if !self.found.contains(&form) {
            self.found.push(form);
        }
    }

    /// RFC 3986 §2.1, with every set of characters that is left alone in practice; `+` for space as
    /// forms have it; all of it applied twice.
    fn percent(&mut self, value: &[u8]) {
        for digits in [UPPER, LOWER] {
            let mut styles = vec![(NOTHING, false)];
            if !value.iter().all(u8::is_ascii_alphanumeric) {
                styles.extend(LEFT_ALONE.iter().flat_map(|&kept| [(kept, false), (kept, true)]));
            }
            for (kept, plus) in styles {
                self.add(|out| percent(value, kept, plus, digits, out));
                let mut once = Zeroizing::new(Vec::with_capacity(self.room));
                percent(value, kept, plus, digits, &mut once);
                self.add(|out| percent(&once, UNRESERVED, false, digits, out));
            }
        }
    }

    /// The stand-alone encoding, and what a longer one holds whatever stands before and behind the
    /// secret: three alignments.
    fn base64(&mut self, value: &[u8]) {
        for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
            let text = Zeroizing::new(engine.encode(value));
            self.add(|out| out.extend_from_slice(text.as_bytes()));
            self.add(|out| slashes_escaped(&text, out));
        }
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            for before in 0..3 {
                let mut shifted = Zeroizing::new(Vec::with_capacity(before + value.len()));
                shifted.resize(before, 0);
                shifted.extend_from_slice(value);
                let text = Zeroizing::new(engine.encode(&shifted));
                let core = &text[(before * 8).div_ceil(6)..shifted.len() * 8 / 6];
                if core.len() >= SHORTEST_CORE {
                    self.add(|out| out.extend_from_slice(core.as_bytes()));
                    self.add(|out| slashes_escaped(core, out));
                }
            }
        }
    }

    /// `6b65`, `6b:65`, `\x6b\x65`.
    fn hex(&mut self, value: &[u8]) {
        for digits in [LOWER, UPPER] {
            for (before, between) in [("", ""), ("", ":"), ("\\x", "")] {
                self.add(|out| {
                    for (index, byte) in value.iter().enumerate() {
                        if index > 0 {
                            out.extend_from_slice(between.as_bytes());
                        }
                        out.extend_from_slice(before.as_bytes());
                        out.extend_from_slice(&pair(*byte, digits));
                    }
                });
            }
        }
    }

    /// Strings of RFC 8259 §7 as encoders write them.
    fn json(&mut self, text: &str) {
        for style in &JSON_STYLES {
            self.add(|out| json(text, style, out));
        }
    }

    /// Character references: those that must be, all in decimal, all in hex.
    fn html(&mut self, text: &str) {
        if text.contains(['&', '<', '>', '"', '\'']) {
            for apostrophe in ["'", "&#39;", "&#039;", "&#x27;", "&apos;"] {
                for quote in ["\"", "&quot;", "&#34;"] {
                    self.add(|out| html(text, apostrophe, quote, out));
                }
            }
        }
        self.add(|out| text.chars().for_each(|c| reference(c, "&#", 10, LOWER, out)));
        self.add(|out| text.chars().for_each(|c| reference(c, "&#x", 16, LOWER, out)));
        self.add(|out| text.chars().for_each(|c| reference(c, "&#x", 16, UPPER, out)));
    }

    fn utf16(&mut self, text: &str) {
        self.add(|out| text.encode_utf16().for_each(|unit| out.extend(unit.to_le_bytes())));
        self.add(|out| text.encode_utf16().for_each(|unit| out.extend(unit.to_be_bytes())));
    }
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

fn pair(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

/// Characters that stay as they are when a byte is percent-encoded, beside letters and digits.
#[derive(Clone, Copy)]
struct Kept {
    alphanumeric: bool,
    others: &'static [u8],
}

/// Every byte is encoded.
const NOTHING: Kept = Kept { alphanumeric: false, others: b"" };
/// RFC 3986 §2.3.
const UNRESERVED: Kept = Kept { alphanumeric: true, others: b"-._~" };
const LEFT_ALONE: [Kept; 7] = [
    UNRESERVED,
    // Python's `quote`
    Kept { alphanumeric: true, others: b"-._~/" },
    // JavaScript's `encodeURIComponent` and `encodeURI`
    Kept { alphanumeric: true, others: b"-_.!~*'()" },
    Kept { alphanumeric: true, others: b"-_.!~*'();,/?:@&=+$#" },
    // the URL Standard's forms, queries and paths
    Kept { alphanumeric: true, others: b"*-._" },
    Kept { alphanumeric: true, others: b"!$%&()*+,-./:;=?@[\\]^_`{|}~" },
    Kept { alphanumeric: true, others: b"!$%&'()*+,-./:;=@[\\]^_|~" },
];

fn percent(value: &[u8], kept: Kept, plus: bool, digits: &[u8; 16], out: &mut Vec<u8>) {
    for byte in value {
        if plus && *byte == b' ' {
            out.push(b'+');
        } else if kept.others.contains(byte) || kept.alphanumeric && byte.is_ascii_alphanumeric() {
            out.push(*byte);
        } else {
            out.push(b'%');
            out.extend_from_slice(&pair(*byte, digits));
        }
    }
}

/// What an encoder of JSON escapes beyond what it must.
struct JsonStyle {
    /// These, as `\u00XX`.
    also: &'static str,
    /// All that is not ASCII.
    ascii: bool,
    /// `/`, as `\/`.
    slash: bool,
    /// Everything.
    all: bool,
    digits: &'static [u8; 16],
}

const PLAIN: JsonStyle =
    JsonStyle { also: "", ascii: false, slash: false, all: false, digits: LOWER };
const JSON_STYLES: [JsonStyle; 10] = [
    PLAIN,
    JsonStyle { slash: true, ..PLAIN },
    JsonStyle { ascii: true, ..PLAIN },
    JsonStyle { ascii: true, digits: UPPER, ..PLAIN },
    JsonStyle { ascii: true, slash: true, ..PLAIN },
    // Go
    JsonStyle { also: "<>&\u{2028}\u{2029}", ..PLAIN },
    // .NET
    JsonStyle { also: "\"&'+<>`\u{7f}", ascii: true, digits: UPPER, ..PLAIN },
    // PHP with its HEX options
    JsonStyle { also: "\"&'<>", ascii: true, slash: true, digits: UPPER, ..PLAIN },
    JsonStyle { all: true, ..PLAIN },
    JsonStyle { all: true, digits: UPPER, ..PLAIN },
];

fn json(text: &str, style: &JsonStyle, out: &mut Vec<u8>) {
    for c in text.chars() {
        if style.all || style.also.contains(c) || style.ascii && !c.is_ascii() {
            unicode_escape(c, style.digits, out);
            continue;
        }
        match c {
            '"' | '\\' => out.extend([b'\\', u8::try_from(c).unwrap_or(b'?')]),
            '/' if style.slash => out.extend(b"\\/"),
            '\u{8}' => out.extend(b"\\b"),
            '\t' => out.extend(b"\\t"),
            '\n' => out.extend(b"\\n"),
            '\u{c}' => out.extend(b"\\f"),
            '\r' => out.extend(b"\\r"),
            '\0'..' ' => unicode_escape(c, style.digits, out),
            _ => literal(c, out),
        }
    }
}

fn unicode_escape(c: char, digits: &[u8; 16], out: &mut Vec<u8>) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        let [high, low] = unit.to_be_bytes();
        out.extend(b"\\u");
        out.extend(pair(high, digits));
        out.extend(pair(low, digits));
    }
}

fn slashes_escaped(text: &str, out: &mut Vec<u8>) {
    json(text, &JsonStyle { slash: true, ..PLAIN }, out);
}

fn html(text: &str, apostrophe: &str, quote: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        match c {
            '&' => out.extend(b"&amp;"),
            '<' => out.extend(b"&lt;"),
            '>' => out.extend(b"&gt;"),
            '"' => out.extend(quote.as_bytes()),
            '\'' => out.extend(apostrophe.as_bytes()),
            _ => literal(c, out),
        }
    }
}

/// `&#107;` or `&#x6b;`.
fn reference(c: char, before: &str, base: usize, digits: &[u8; 16], out: &mut Vec<u8>) {
    out.extend(before.as_bytes());
    let start = out.len();
    let mut rest = usize::try_from(u32::from(c)).unwrap_or_default();
    loop {
        out.push(digits[rest % base]);
        rest /= base;
        if rest == 0 {
            break;
        }
    }
    out[start..].reverse();
    out.push(b';');
}

fn literal(c: char, out: &mut Vec<u8>) {
    out.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
}
