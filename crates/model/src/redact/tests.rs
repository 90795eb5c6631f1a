//! What the redactor finds, held against encoders written a second time here, and against a matcher
//! that tries every pattern at every place.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::patterns::Collected;
use super::*;

const K1: &str = "q8Zt1Lw5Vb9Nm3Kj7Hg2Fd6Sa0Po4Iu8Yt3Re5Xc";
const K2: &str = "p@ss \"w\\rd+/=&%é<'>~\u{1f511}\t";
const K3: &str = "x7Kq2z";
const K4: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n\
    MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu\n\
    NMoSfm76oqFvAp8Gy0iz5sxjZmSnXyCdPEovGhLa0VzMaQ8s+CLOyS56YyCFGeJZ\n\
    -----END PRIVATE KEY-----\n";

fn redactor(secrets: &[(&str, &str)]) -> Redactor {
    let labelled = |(label, secret): &(&str, &str)| Labelled {
        label: (*label).to_owned(),
        secret: Arc::new(Secret::new(secret.as_bytes().to_vec())),
    };
    Redactor::new(&secrets.iter().map(labelled).collect::<Vec<_>>())
}

fn cleaned(redactor: &Redactor, text: impl Into<Vec<u8>>) -> Vec<u8> {
    redactor.clean(text.into()).0.into_inner()
}

fn shown(redactor: &Redactor, text: &str) -> String {
    redactor.clean_text(text).0.into_inner()
}

/// Each byte through `write`.
fn each(value: &str, write: impl Fn(u8) -> String) -> String {
    value.bytes().map(write).collect()
}

/// Each UTF-16 unit through `write`.
fn each_unit(value: &str, write: impl Fn(u16) -> String) -> String {
    value.encode_utf16().map(write).collect()
}

fn some_percent(value: &str, kept: &str) -> String {
    each(value, |byte| {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || c.is_ascii() && kept.contains(c) {
            c.to_string()
        } else {
            format!("%{byte:02X}")
        }
    })
}

/// Upper-case hex digits of `%XX` made lower.
fn lower_percent(text: &str) -> String {
    let mut out = String::new();
    let mut digits = 0;
    for c in text.chars() {
        out.push(if digits > 0 { c.to_ascii_lowercase() } else { c });
        digits = if c == '%' { 2 } else { i32::max(digits - 1, 0) };
    }
    out
}

/// Every encoding that the corpus names (RR-01, RR-04, RR-08 and the oracle of 2.0).
fn encodings(value: &str) -> Vec<(&'static str, Vec<u8>)> {
    let json = serde_json::to_string(value).unwrap();
    let json = json[1..json.len() - 1].to_owned();
    let reserved = some_percent(value, "-._~");
    let component = some_percent(value, "-_.!~*'()");
    let form = some_percent(value, "*-._ ").replace(' ', "+");
    let all = each(value, |byte| format!("%{byte:02X}"));
    let colons = |text: String| text.trim_end_matches(':').to_owned();
    let escaped = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let quoted = escaped.replace('"', "&quot;");
    let mut named = vec![
        ("raw", value.to_owned()),
        ("JSON", json.clone()),
        ("JSON with \\/", json.replace('/', "\\/")),
        ("JSON \\u lower", each_unit(value, |unit| format!("\\u{unit:04x}"))),
        ("JSON \\u upper", each_unit(value, |unit| format!("\\u{unit:04X}"))),
        ("percent reserved upper", reserved.clone()),
        ("percent reserved lower", lower_percent(&reserved)),
        ("percent component", component.clone()),
        ("percent form", form.clone()),
        ("percent form lower", lower_percent(&form)),
        ("percent all upper", all.clone()),
        ("percent all lower", all.to_lowercase()),
        ("percent twice", some_percent(&reserved, "-._~")),
        ("percent component twice", some_percent(&component, "-._~")),
        ("percent all twice", all.replace('%', "%25")),
        ("percent all lower twice", all.to_lowercase().replace('%', "%25")),
        ("base64", STANDARD.encode(value)),
        ("base64 without padding", STANDARD_NO_PAD.encode(value)),
        ("base64url", URL_SAFE.encode(value)),
        ("base64url without padding", URL_SAFE_NO_PAD.encode(value)),
        ("hex lower", each(value, |byte| format!("{byte:02x}"))),
        ("hex upper", each(value, |byte| format!("{byte:02X}"))),
        ("hex colons lower", colons(each(value, |byte| format!("{byte:02x}:")))),
        ("hex colons upper", colons(each(value, |byte| format!("{byte:02X}:")))),
        ("hex \\x", each(value, |byte| format!("\\x{byte:02x}"))),
        ("HTML without quotes", escaped.clone()),
        ("HTML &#39;", quoted.replace('\'', "&#39;")),
        ("HTML &#x27;", quoted.replace('\'', "&#x27;")),
        ("HTML &apos;", quoted.replace('\'', "&apos;")),
        ("HTML Go", escaped.replace('"', "&#34;").replace('\'', "&#39;")),
    ];
    let references =
        |write: &dyn Fn(u32) -> String| value.chars().map(|c| write(c.into())).collect();
    named.push(("HTML decimal", references(&|c| format!("&#{c};"))));
    named.push(("HTML hex lower", references(&|c| format!("&#x{c:x};"))));
    named.push(("HTML hex upper", references(&|c| format!("&#x{c:X};"))));
    let mut encodings: Vec<_> =
        named.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
    encodings.push(("UTF-16LE", value.encode_utf16().flat_map(u16::to_le_bytes).collect()));
    encodings.push(("UTF-16BE", value.encode_utf16().flat_map(u16::to_be_bytes).collect()));
    encodings
}

#[test]
fn every_encoding_of_every_kind_of_secret_is_replaced() {
    for (name, secret) in [("K1", K1), ("K2", K2), ("K3", K3), ("K4", K4)] {
        let redactor = redactor(&[("acme", secret)]);
        let value = secret.trim_end_matches('\n');
        for value in [value, &value.replace('\n', "\r\n")] {
            for (encoding, form) in encodings(value) {
                let around = [b"\xff\0before {\"", form.as_slice(), b"\"} behind \xc3"].concat();
                assert_eq!(
                    cleaned(&redactor, around).escape_ascii().to_string(),
                    b"\xff\0before {\"[REDACTED:acme]\"} behind \xc3".escape_ascii().to_string(),
                    "{name}, {encoding}: {}",
                    form.escape_ascii(),
                );
            }
        }
    }
}

#[test]
fn a_secret_within_a_longer_base64_text_is_replaced_at_every_alignment() {
    for secret in [K1, K3, "p@ss \"w\\rd+/=&%é<"] {
        let redactor = redactor(&[("acme", secret)]);
        for before in ["", "u", "us", "user:", "user1:", "a longer name:"] {
            for behind in ["", "b", "be", "behind"] {
                for engine in [&STANDARD, &URL_SAFE] {
                    let encoded = engine.encode(format!("{before}{secret}{behind}"));
                    let (out, markers) = redactor.clean(encoded.clone().into_bytes());
                    assert_eq!(markers, 1, "{encoded}");
                    // What is left are characters that bytes beside the secret are in too.
                    let left = out.get().len() - "[REDACTED:acme]".len();
                    assert!(left <= (before.len() + behind.len()).div_ceil(3) * 4 + 4, "{encoded}");
                }
            }
        }
    }
}

#[test]
fn a_trailing_line_end_does_not_hide_a_secret() {
    for secret in [format!("{K1}\n"), format!("{K1}\r\n"), K1.to_owned()] {
        let redactor = redactor(&[("acme", &secret)]);
        assert_eq!(shown(&redactor, &format!("<{K1}>")), "<[REDACTED:acme]>");
        assert_eq!(shown(&redactor, &format!("<{K1}\n>")), "<[REDACTED:acme]\n>");
    }
}

#[test]
fn two_secrets_in_one_text_get_a_marker_each() {
    let redactor = redactor(&[("acme", K1), ("hdr", K2)]);
    let text = serde_json::json!({ "a": K1, "b": K2, "c": [K1] }).to_string();
    let (out, markers) = redactor.clean_text(&text);
    assert_eq!(
        out.get(),
        r#"{"a":"[REDACTED:acme]","b":"[REDACTED:hdr]","c":["[REDACTED:acme]"]}"#
    );
    assert_eq!(markers, 3);
    assert_eq!(shown(&redactor, &format!("{K1}{K2}{K2}")), "[REDACTED:acme][REDACTED:hdr]");
}

#[test]
fn markers_make_a_value_longer_up_to_a_bound() {
    let redactor = redactor(&[("a-service-with-a-long-name", K1)]);
    // Separate pieces of 12 bytes, each of which becomes a marker of 37.
    let body = format!("{} ", &K1[..12]).repeat(1_000).into_bytes();
    let most = body.len() + body.len() / 4;
    assert!(redactor.clean_within(body.clone(), most).is_none());
    let (clean, markers) = redactor.clean_within(body, usize::MAX).unwrap();
    assert_eq!((clean.get().len(), markers), (38_000, 1_000));
    let few = format!("{K1} {}", "x".repeat(1_000)).into_bytes();
    let most = few.len();
    assert_eq!(redactor.clean_within(few, most).unwrap().1, 1);
}

#[test]
fn secrets_that_overlap_become_one_marker_with_the_label_of_the_first() {
    let redactor = redactor(&[("one", "abcdefghijklmnop"), ("two", "mnopqrstuvwxyz01")]);
    assert_eq!(shown(&redactor, "<abcdefghijklmnopqrstuvwxyz01>"), "<[REDACTED:one]>");
    assert_eq!(
        shown(&redactor, "<mnopqrstuvwxyz01abcdefghijklmnop>"),
        "<[REDACTED:two][REDACTED:one]>"
    );
}

#[test]
fn twelve_bytes_of_a_secret_are_replaced_and_eleven_are_not() {
    let redactor = redactor(&[("acme", K1)]);
    assert_eq!(shown(&redactor, &format!("<{}>", &K1[..20])), "<[REDACTED:acme]>");
    for start in 0..=K1.len() - 12 {
        let part = &K1[start..start + 12];
        assert_eq!(shown(&redactor, &format!("<{part}>")), "<[REDACTED:acme]>", "{part}");
    }
    for part in [&K1[..11], &K1[20..31], &K1[36..]] {
        assert_eq!(shown(&redactor, part), part);
    }
}

#[test]
fn what_is_public_of_one_secret_is_left_in_another() {
    let jwt = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSJ9.Qm9uam91ci1sZS1tb25kZQ";
    let redactor = redactor(&[
        ("jwt", jwt),
        ("pem", K4),
        ("ant", "sk-ant-api03-Zk3jVw8sQm5tXy7uNb2c"),
        ("hook", "https://hooks.slack.com/services/T0001/B0001/Zk3jVw8sQm5t"),
    ]);
    for text in [
        "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJib2IifQ.c2lnbmF0dXJlLW9mLWJvYg",
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDaaaaaaaaa\n\
         -----END PRIVATE KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1L\n",
        "sk-ant-api03-another",
        "https://hooks.slack.com/services/T9999",
    ] {
        assert_eq!(shown(&redactor, text), text);
    }
    for (text, left) in [
        (jwt, "[REDACTED:jwt]"),
        ("Qm9uam91ci1sZS1tb25kZQ", "[REDACTED:jwt]"),
        (K4.trim_end(), "[REDACTED:pem]"),
        ("<MzEfYyjiWA4R4/M2>", "<[REDACTED:pem]>"),
        ("sk-ant-api03-Zk3jVw8sQm5t", "sk-ant-api03-[REDACTED:ant]"),
    ] {
        assert_eq!(shown(&redactor, text), left);
    }
}

#[test]
fn a_short_secret_is_replaced_whole_and_reported() {
    let redactor = redactor(&[
        ("six", "x7Kq2z"),
        ("four", "Qz7!"),
        ("three", "abc"),
        ("none", ""),
        ("ok", K1),
    ]);
    assert_eq!(redactor.too_short().collect::<Vec<_>>(), ["six", "four", "three", "none"]);
    assert_eq!(redactor.unmatched().collect::<Vec<_>>(), ["three", "none"]);
    assert_eq!(
        shown(&redactor, "x7Kq2z Qz7! abc x7Kq2 UXo3IQ=="),
        "[REDACTED:six] [REDACTED:four] abc x7Kq2 [REDACTED:four]",
    );
}

#[test]
fn what_holds_no_secret_is_handed_back_unmoved() {
    for redactor in [Redactor::default(), redactor(&[("acme", K1), ("six", K3)])] {
        let text = b"nothing of interest".repeat(100);
        let address = text.as_ptr();
        let (out, markers) = redactor.clean(text);
        assert_eq!((out.get().as_ptr(), markers), (address, 0));
    }
    assert!(Redactor::default().is_empty() && Redactor::new(&[]).is_empty());
}

#[test]
fn text_stays_text_where_part_of_a_secret_begins_within_a_character() {
    let redactor = redactor(&[("acme", "©bcdefghijklmnop")]);
    assert_eq!(shown(&redactor, "ébcdefghijklm"), "\u{fffd}[REDACTED:acme]");
}

#[test]
fn debugging_a_redactor_shows_labels_only() {
    assert_eq!(format!("{:?}", redactor(&[("acme", K1)])), "[\"acme\"]");
}

#[test]
fn clean_values_convert_without_passing_again() {
    let redactor = redactor(&[("acme", K1)]);
    let (clean, _) = redactor.clean(K1.as_bytes().to_vec());
    assert_eq!(clean.text(), Some("[REDACTED:acme]"));
    assert_eq!(clean.into_bytes().text(), Some("[REDACTED:acme]"));
    assert_eq!(redactor.clean(vec![0xff]).0.text(), None);
    assert_eq!(Clean::fixed("ours").get(), "ours");
}

#[test]
fn an_endless_occurrence_is_one_marker_and_is_not_held() {
    let redactor = redactor(&[("acme", &"a".repeat(40))]);
    let mut stream = redactor.stream();
    let mut out = Clean::default();
    let mut most = 0;
    stream.push(b"<", &mut out);
    for _ in 0..100 {
        stream.push(&[b'a'; 1_000], &mut out);
        most = most.max(stream.held());
    }
    stream.push(b">", &mut out);
    assert_eq!(stream.finish(&mut out), 1);
    assert_eq!(out.text(), Some("<[REDACTED:acme]>"));
    assert!(most <= 240, "{most} bytes held");
}

#[test]
fn a_stream_without_secrets_holds_eleven_bytes_at_most() {
    let redactor = redactor(&[("pem", K4)]);
    let mut stream = redactor.stream();
    let mut out = Clean::default();
    for chunk in [&b"data: 1\n\n"[..], &b"x".repeat(1_000), b"-----BEGIN CERTIFICATE"] {
        stream.push(chunk, &mut out);
        assert!(stream.held() <= 11);
    }
    stream.push(b"-----BEGIN PRIVATE KEY", &mut out);
    assert_eq!(stream.held(), 22);
}

/// Bytes compared for each byte of text, whole and in chunks of 1,000.
fn work(redactor: &Redactor, text: &[u8]) -> u64 {
    let mut stream = redactor.stream();
    let mut out = Clean::default();
    for chunk in text.chunks(1_000) {
        stream.push(chunk, &mut out);
    }
    stream.work() / text.len() as u64
}

#[test]
fn the_work_is_linear_whatever_secret_and_text_agree_on() {
    let long = |unit: &str| unit.repeat(4_000 / unit.len());
    let nearly = |unit: &str| format!("{}!", long(unit)).repeat(10);
    for unit in ["a", "ab", "abcabcabd", "0123456789abcdef", K1] {
        let redactor = redactor(&[("acme", &format!("{}#", long(unit))), ("b", &long(unit))]);
        for text in [unit.repeat(40_000 / unit.len()), nearly(unit)] {
            for text in [text.clone(), each(&text, |byte| format!("{byte:02x}"))] {
                let work = work(&redactor, text.as_bytes());

                assert!(work <= 500, "{unit}: {work} for each byte");
            }
        }
    }
}

#[test]
fn many_secrets_with_one_beginning_cost_little_more_than_one() {
    let secrets: Vec<_> = (0..300).map(|index| format!("ghp_{index:036}")).collect();
    let pairs: Vec<_> = secrets.iter().map(|secret| ("gh", secret.as_str())).collect();
    let redactor = redactor(&pairs);
    let heads = each("ghp_0000", |byte| format!("%{byte:02x}")).repeat(1_000);
    let work = work(&redactor, heads.as_bytes());
    assert!(work <= 100, "{work} for each byte");
}

/// Tries every pattern at every place.
fn reference(secrets: &[Vec<u8>], text: &[u8]) -> (Vec<u8>, u64) {
    let mut collected = Collected::default();
    for (label, secret) in secrets.iter().enumerate() {
        collected.add(label, secret);
    }
    let (long, short) = collected.finish();
    let mut patterns: HashMap<&[u8], Vec<(usize, &[u8])>> = HashMap::new();
    for all in [&long, &short] {
        for one in &all.list {
            let bytes = all.bytes(one);
            patterns.entry(&bytes[..SHORTEST]).or_default().push((one.label, bytes));
        }
    }
    let mut out = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    let mut markers = 0;
    for at in 0..text.len() {
        let known = text.get(at..at + SHORTEST).and_then(|start| patterns.get(start));
        let here = known.into_iter().flatten().filter(|(_, bytes)| text[at..].starts_with(bytes));
        if let Some((label, bytes)) = here.max_by_key(|(_, bytes)| bytes.len()) {
            let end = at + bytes.len();
            open = match open {
                Some((last, until)) if at < until || at == until && last == *label => {
                    Some((last, until.max(end)))
                }
                _ => {
                    write!(Text(&mut out), "[REDACTED:{label}]").unwrap();
                    markers += 1;
                    Some((*label, end))
                }
            };
        }
        if open.is_none_or(|(_, until)| until <= at) {
            out.push(text[at]);
        }
    }
    (out, markers)
}

struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn of_bytes(secrets: &[Vec<u8>]) -> Redactor {
    let labelled = secrets.iter().enumerate().map(|(index, secret)| Labelled {
        label: index.to_string(),
        secret: Arc::new(Secret::new(secret.clone())),
    });
    Redactor::new(&labelled.collect::<Vec<_>>())
}

/// Secrets, and a text made of their forms, of parts of them and of other bytes.
fn secrets_and_text() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>)> {
    let secret = prop_oneof![
        "[ab]{4,40}".prop_map(String::into_bytes),
        "[a-d/+&% ]{4,30}".prop_map(String::into_bytes),
        "[a-zA-Z0-9]{12,60}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 4..30),
    ];
    prop::collection::vec(secret, 1..4).prop_flat_map(|secrets| {
        let forms: Vec<Vec<u8>> =
            secrets.iter().flat_map(|secret| forms::of(secret)).map(|form| form.to_vec()).collect();
        let part = (prop::sample::select(forms), any::<bool>(), 0..100_usize, 0..100_usize)
            .prop_map(|(form, whole, from, to)| {
                let at = |percent: usize| form.len() * percent / 100;
                if whole { form } else { form[at(from.min(to))..at(from.max(to))].to_vec() }
            });
        let other = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20),
            "[ab%]{0,20}".prop_map(String::into_bytes),
        ];
        let text = prop::collection::vec(prop_oneof![3 => part, 1 => other], 0..12);
        (Just(secrets), text.prop_map(|parts| parts.concat()))
    })
}

proptest! {
    #[test]
    fn the_filter_finds_what_a_search_of_everything_finds((secrets, text) in secrets_and_text()) {
        let (expected, expected_markers) = reference(&secrets, &text);
        let (out, markers) = of_bytes(&secrets).clean(text);
        prop_assert_eq!(
            out.into_inner().escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
        prop_assert_eq!(markers, expected_markers);
    }

    #[test]
    fn chunks_do_not_matter(
        (secrets, text) in secrets_and_text(),
        cuts in prop::collection::vec(0_usize..40, 1..20),
    ) {
        let redactor = of_bytes(&secrets);
        let (whole, markers) = redactor.clean(text.clone());
        let longest = secrets.iter().map(Vec::len).max().unwrap_or(0) * 7 + 20;
        let mut stream = redactor.stream();
        let mut out = Clean::default();
        let mut rest = text.as_slice();
        for cut in cuts.into_iter().cycle().take(text.len() + 1) {
            let (chunk, behind) = rest.split_at(cut.min(rest.len()));
            stream.push(chunk, &mut out);
            prop_assert!(stream.held() <= longest);
            rest = behind;
        }
        stream.push(rest, &mut out);
        prop_assert_eq!(stream.finish(&mut out), markers);
        prop_assert_eq!(out, whole);
    }

    #[test]
    fn no_form_is_left((secrets, text) in secrets_and_text()) {
        let (out, _) = of_bytes(&secrets).clean(text);
        // Markers are ours: what lies between them is the upstream's.
        for stretch in out.text().map_or_else(
            || vec![out.get().clone()],
            |text| text.split("[REDACTED:").map(|part| part.as_bytes().to_vec()).collect(),
        ) {
            // What has too few bytes without the line ends at its end is not looked for.
            let looked_for =
                |secret: &&Vec<u8>| !of_bytes(std::slice::from_ref(*secret)).is_empty();
            for form in secrets.iter().filter(looked_for).flat_map(|secret| forms::of(secret)) {
                prop_assert!(memchr::memmem::find(&stretch, &form).is_none());
            }
        }
    }

    #[test]
    fn what_is_no_secret_is_not_touched(
        secrets in prop::collection::vec("[a-m]{4,40}".prop_map(String::into_bytes), 1..4),
        text in "[n-z \"{}:,]{0,400}",
    ) {
        let (out, markers) = of_bytes(&secrets).clean(text.clone().into_bytes());
        prop_assert_eq!(out.into_inner(), text.into_bytes());
        prop_assert_eq!(markers, 0);
    }
}
