use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};

use super::*;
use crate::canary::{self, K1, K2, K3, K4, K6};

/// One way to write a key down: a name, and what it makes of the key.
type Form = (&'static str, fn(&[u8]) -> Vec<u8>);

const FORMS: &[Form] = &[
    ("raw", <[u8]>::to_vec),
    ("JSON string", |key| serde_json::to_vec(&text(key)).unwrap()),
    ("JSON with \\/", |key| json(key).replace('/', "\\/").into_bytes()),
    ("JSON in a JSON string", |key| serde_json::to_vec(&json(key)).unwrap()),
    ("\\uXXXX lower", |key| units(key, |unit| format!("\\u{unit:04x}"))),
    ("\\uXXXX upper", |key| units(key, |unit| format!("\\u{unit:04X}"))),
    ("HTML named", |key| {
        let text = text(key).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        text.replace('"', "&quot;").replace('\'', "&#39;").into_bytes()
    }),
    ("HTML decimal", |key| units(key, |unit| format!("&#{unit};"))),
    ("HTML hex", |key| units(key, |unit| format!("&#x{unit:X};"))),
    ("percent upper", |key| percent(key, false, |byte| format!("%{byte:02X}")).into_bytes()),
    ("percent lower", |key| percent(key, false, |byte| format!("%{byte:02x}")).into_bytes()),
    ("percent all", |key| percent(key, true, |byte| format!("%{byte:02X}")).into_bytes()),
    ("percent with plus", |key| {
        percent(key, false, |byte| format!("%{byte:02X}")).replace("%20", "+").into_bytes()
    }),
    ("percent twice", |key| percent(key, true, |byte| format!("%25{byte:02x}")).into_bytes()),
    ("base64", |key| STANDARD.encode(key).into_bytes()),
    ("base64 without padding", |key| STANDARD_NO_PAD.encode(key).into_bytes()),
    ("base64 behind one byte", |key| STANDARD.encode([b":", key].concat()).into_bytes()),
    ("base64 behind two bytes", |key| STANDARD.encode([b"u:", key].concat()).into_bytes()),
    ("base64url", |key| URL_SAFE.encode(key).into_bytes()),
    ("base64url without padding", |key| URL_SAFE_NO_PAD.encode(key).into_bytes()),
    ("base64url behind one byte", |key| URL_SAFE_NO_PAD.encode([b":", key].concat()).into_bytes()),
    ("base64 behind letters", |key| format!("token/{}", STANDARD.encode(key)).into_bytes()),
    ("base64 in lines", |key| {
        let lines = STANDARD.encode(key).into_bytes();
        lines.chunks(20).collect::<Vec<_>>().join(b"\r\n".as_slice())
    }),
    ("hex lower", |key| bytes(key, |byte| format!("{byte:02x}"))),
    ("hex upper", |key| bytes(key, |byte| format!("{byte:02X}"))),
    ("hex with colons", |key| bytes(key, |byte| format!("{byte:02x}:"))),
    ("hex with \\x", |key| bytes(key, |byte| format!("\\x{byte:02x}"))),
    ("hex list", |key| bytes(key, |byte| format!("0x{byte:02x}, "))),
    ("UTF-16LE", |key| text(key).encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ("UTF-16BE", |key| text(key).encode_utf16().flat_map(u16::to_be_bytes).collect()),
    ("gzip", gzip),
    ("gzip twice", |key| gzip(&gzip(key))),
    ("zlib", |key| {
        let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(&padded(key)).unwrap();
        out.finish().unwrap()
    }),
    ("zstd", |key| zstd::encode_all(padded(key).as_slice(), 3).unwrap()),
    ("gzip in base64", |key| STANDARD.encode(gzip(key)).into_bytes()),
    ("base64 in JSON in gzip", |key| gzip(&serde_json::to_vec(&[STANDARD.encode(key)]).unwrap())),
    ("hex in percent", |key| {
        percent(&bytes(key, |byte| format!("{byte:02x}")), true, |byte| format!("%{byte:02x}"))
            .into_bytes()
    }),
];

/// Forms that have no mark of their own, so that only a whole body of them is found.
const BODIES: &[Form] = &[
    ("deflate", |key| {
        let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(&padded(key)).unwrap();
        out.finish().unwrap()
    }),
    ("brotli", |key| {
        let mut out = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
        out.write_all(&padded(key)).unwrap();
        out.into_inner()
    }),
    ("an HTTP response of brotli", |key| {
        let body = BODIES[1].1(key);
        [b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\n\r\n", body.as_slice()].concat()
    }),
    ("an HTTP response in chunks of five bytes", |key| {
        let mut out = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for chunk in padded(key).chunks(5) {
            out.extend(format!("{:x}\r\n", chunk.len()).bytes());
            out.extend(chunk);
            out.extend(b"\r\n");
        }
        out.extend(b"0\r\n\r\n");
        out
    }),
];

#[test]
fn a_planted_key_is_found_in_more_than_thirty_encodings() {
    let oracle = Oracle::of_canaries();
    assert!(FORMS.len() + BODIES.len() >= 30);
    for (name, key) in canary::ALL {
        for (form, encode) in FORMS {
            let planted =
                [CLEAN.as_bytes(), b"\"", &encode(key.as_bytes()), b"\"", CLEAN.as_bytes()]
                    .concat();
            let found = oracle.scan("here", &planted);
            assert!(found.iter().any(|leak| leak.secret == name), "{name} as {form}");
        }
        for (form, encode) in BODIES {
            let found = oracle.scan("here", &encode(key.as_bytes()));
            assert!(found.iter().any(|leak| leak.secret == name), "{name} as {form}");
        }
    }
}

#[test]
fn any_twelve_bytes_in_a_row_count_in_every_encoding() {
    let oracle = Oracle::of_canaries();
    for (form, encode) in FORMS {
        for start in 0..=K1.len() - WINDOW {
            let part = &K1.as_bytes()[start..start + WINDOW];
            assert!(!oracle.scan("here", &encode(part)).is_empty(), "byte {start} as {form}");
        }
    }
}

#[test]
fn eleven_bytes_in_a_row_and_the_last_four_are_no_leak() {
    let oracle = Oracle::of_canaries();
    oracle.assert_clean("a part", &K1[..11]);
    oracle.assert_clean("the last four", &K1[36..]);
}

#[test]
fn nothing_is_found_in_clean_text() {
    let oracle = Oracle::of_canaries();
    oracle.assert_clean("prose", CLEAN);
    for (form, encode) in FORMS.iter().chain(BODIES) {
        oracle.assert_clean(form, encode(CLEAN.as_bytes()));
    }
    let noise = canary::of("noise").repeat(50);
    oracle.assert_clean("letters and digits", &noise);
}

#[test]
fn what_issuers_publish_is_no_leak() {
    let jwt = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ";
    let oracle =
        Oracle::new(&[("pem", K4.as_bytes()), ("key", K6.as_bytes()), ("jwt", jwt.as_slice())]);
    oracle.assert_clean("armour", "-----BEGIN PRIVATE KEY-----\n..\n-----END PRIVATE KEY-----\n");
    oracle.assert_clean("a key of somebody else", "sk_live_51AnotherKeyOfSomebody");
    oracle.assert_clean("a header", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.AA");
    assert_eq!(oracle.scan("payload", b"eyJzdWIiOiJjYW5h").len(), 1);
}

#[test]
fn a_short_key_is_found_whole_only() {
    let oracle = Oracle::new(&[("K3", K3.as_bytes())]);
    assert_eq!(oracle.scan("here", format!("={K3}&").as_bytes()).len(), 1);
    oracle.assert_clean("all but one letter", &K3[..5]);
}

#[test]
fn a_finding_says_what_where_and_how_but_not_the_key() {
    let oracle = Oracle::new(&[("K2", K2.as_bytes())]);
    let leaks = oracle.scan("the answer", STANDARD.encode(K2).as_bytes());
    let shown = format!("{leaks:?}");
    assert!(shown.contains("K2 in the answer, base64, at byte 0"), "{shown}");
    assert!(!shown.contains(&K2[..6]), "{shown}");
}

#[test]
fn a_tree_is_searched_in_names_links_and_contents() {
    let oracle = Oracle::of_canaries();
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("a/b")).unwrap();
    fs::write(root.path().join("a/b/clean"), CLEAN).unwrap();
    oracle.assert_tree_clean(root.path());

    fs::write(root.path().join("a/b/file"), gzip(K1.as_bytes())).unwrap();
    assert_eq!(oracle.scan_tree(root.path()).unwrap().len(), 1);
    fs::write(root.path().join("a").join(K1), "").unwrap();
    assert_eq!(oracle.scan_tree(root.path()).unwrap().len(), 2);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(K6, root.path().join("link")).unwrap();
        assert_eq!(oracle.scan_tree(root.path()).unwrap().len(), 3);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn command_lines_of_running_processes_are_searched() {
    let key = canary::of("command lines");
    let oracle = Oracle::new(&[("key", key.as_bytes())]);
    assert_eq!(oracle.scan_command_lines(), []);
    #[expect(clippy::disallowed_methods, reason = "a process with an argument is what is tested")]
    let mut child = std::process::Command::new("sh")
        .args(["-c", "echo ready; read line", &key])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Between its start and its first word a process has no command line yet.
    child.stdout.take().unwrap().read_exact(&mut [0; 6]).unwrap();
    assert_eq!(oracle.scan_command_lines().len(), 1);
    drop(child.stdin.take());
    child.wait().unwrap();
}

const CLEAN: &str = "GET /public/v1/items?limit=10&expand%5B%5D=data.customer HTTP/1.1\r\n\
    authorization: Bearer [REDACTED:acme]\r\naccept: application/json\r\n\r\n\
    {\"items\":[{\"id\":\"item_000001\",\"name\":\"caf\\u00e9 &amp; bar\",\"size\":40}],\
    \"sha256\":\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\",\
    \"etag\":\"W/bG9yZW0gaXBzdW0gZG9sb3Igc2l0IGFtZXQ=\"}\n";

fn text(key: &[u8]) -> String {
    String::from_utf8(key.to_vec()).unwrap()
}

fn json(key: &[u8]) -> String {
    serde_json::to_string(&text(key)).unwrap()
}

fn units(key: &[u8], write: impl Fn(u16) -> String) -> Vec<u8> {
    text(key).encode_utf16().flat_map(|unit| write(unit).into_bytes()).collect()
}

fn bytes(key: &[u8], write: impl Fn(u8) -> String) -> Vec<u8> {
    key.iter().flat_map(|&byte| write(byte).into_bytes()).collect()
}

fn percent(key: &[u8], all: bool, write: impl Fn(u8) -> String) -> String {
    key.iter().fold(String::new(), |mut out, &byte| {
        if byte.is_ascii_alphanumeric() && !all {
            out.push(char::from(byte));
        } else {
            write!(out, "{}", write(byte)).unwrap();
        }
        out
    })
}

fn padded(key: &[u8]) -> Vec<u8> {
    [CLEAN.as_bytes(), key, CLEAN.as_bytes()].concat()
}

fn gzip(key: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(&padded(key)).unwrap();
    out.finish().unwrap()
}
