use super::*;

const KEY: &str = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";

fn keys(text: &str) -> Result<Keys, KeyTextError> {
    Keys::parse(&Secret::new(text.as_bytes().to_vec()))
}

fn own() -> (Opener, Readers) {
    let identity: x25519::Identity = KEY.parse().unwrap();
    (Opener::Keys(Keys(vec![identity.clone()])), Readers::Recipients(vec![identity.to_public()]))
}

#[test]
fn what_is_sealed_opens_again_and_nothing_of_it_does_when_a_bit_is_wrong() {
    let (opener, readers) = own();
    let file = seal(&Secret::new(b"canary".to_vec()), &readers).unwrap();
    assert_eq!(open(&file, &opener, 6).unwrap().expose(), b"canary");
    assert_eq!(open(&file, &opener, 5).unwrap_err(), AgeError::Large);
    for position in 0..file.len() {
        let mut bad = file.clone();
        bad[position] ^= 1;
        assert!(open(&bad, &opener, 100).is_err(), "{position}");
        assert!(open(&file[..position], &opener, 100).is_err(), "{position}");
    }
}

#[test]
fn a_file_for_others_and_the_wrong_kind_of_opener_are_told_apart() {
    let (opener, readers) = own();
    let file = seal(&Secret::new(b"x".to_vec()), &readers).unwrap();
    let other = Opener::Keys(Keys(vec![x25519::Identity::generate()]));
    let words = || Passphrase(SecretString::from("correct horse".to_owned()));
    assert_eq!(open(&file, &other, 9).unwrap_err(), AgeError::NoKey);
    assert_eq!(open(&file, &Opener::Passphrase(words()), 9).unwrap_err(), AgeError::NeedsKey);
    assert_eq!(open(b"canary", &opener, 9).unwrap_err(), AgeError::NotAge);
    assert_eq!(open(b"", &opener, 9).unwrap_err(), AgeError::NotAge);
}

#[test]
fn keys_are_a_line_each_and_a_bad_line_is_named_and_not_quoted() {
    assert_eq!(keys(&format!("# made today\n\n  {KEY}\r\n{KEY}\n")).unwrap().0.len(), 2);
    assert_eq!(keys("# nothing\n").err().unwrap(), KeyTextError::None(SECRET_KEY));
    let error = keys(&format!("{KEY}\ncanary\n")).err().unwrap();
    assert_eq!(error, KeyTextError::Line { line: 2, form: SECRET_KEY });
    assert!(!error.to_string().contains("canary"));
    assert!(recipients("age1canary").is_err());
}

/// CR-09: the C2SP test kit, as the `age` crate carries it; `tests/age-testkit/README.md` says where
/// it is from. Every file is answered as its first line says, and quickly: work factors of 23 and of
/// 2^63 are refused before any work is done.
#[test]
fn every_file_of_the_c2sp_test_kit_is_answered_as_it_says() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/age-testkit");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.contains('.') {
            continue;
        }
        count += 1;
        let vector = Vector::read(&std::fs::read(&path).unwrap());
        let mut answer = Err(AgeError::NoKey);
        for opener in vector.openers() {
            if answer.is_err() {
                answer = open(&vector.file, &opener, 32 << 20);
            }
        }
        match (vector.expect.as_str(), answer) {
            ("success", Ok(content)) => {
                let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content.expose());
                assert_eq!(strongroom_seal::hex(hash.as_ref()), vector.payload, "{name}");
            }
            ("no match", Err(AgeError::NoKey | AgeError::NeedsKey | AgeError::WrongPassphrase))
            | ("HMAC failure" | "payload failure", Err(AgeError::Damaged)) => {}
            ("header failure" | "armor failure" | "payload failure", Err(error)) => {
                assert_ne!(error, AgeError::Large, "{name}");
            }
            ("header failure", Ok(_)) if LEGACY.contains(&name.as_str()) => {}
            (expect, answer) => panic!("{name}: {expect}, and it was {:?}", answer.err()),
        }
    }
    assert_eq!(count, 123);
}

/// Files of age's first versions, whose stanzas end without a line of their own: the library still
/// opens them. Their headers are authenticated as all others are.
const LEGACY: [&str; 2] = ["stanza_missing_body", "stanza_missing_final_line"];

/// A file of the test kit: lines of `key: value`, an empty one, and the age file.
struct Vector {
    expect: String,
    payload: String,
    identities: Vec<String>,
    passphrases: Vec<String>,
    file: Vec<u8>,
}

impl Vector {
    fn read(bytes: &[u8]) -> Self {
        let split = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
        let head = std::str::from_utf8(&bytes[..split]).unwrap();
        let all = |key: &str| -> Vec<String> {
            head.lines()
                .filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
                .map(str::to_owned)
                .collect()
        };
        let mut file = bytes[split + 2..].to_vec();
        if all("compressed").iter().any(|how| how == "zlib") {
            let packed = std::mem::take(&mut file);
            flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut file).unwrap();
        }
        Self {
            expect: all("expect").pop().unwrap(),
            payload: all("payload").pop().unwrap_or_default(),
            identities: all("identity"),
            passphrases: all("passphrase"),
            file,
        }
    }

    fn openers(&self) -> Vec<Opener> {
        let words = self.passphrases.iter();
        let mut openers: Vec<Opener> = words
            .map(|text| Opener::Passphrase(Passphrase(SecretString::from(text.clone()))))
            .collect();
        if !self.identities.is_empty() {
            openers.push(Opener::Keys(keys(&self.identities.join("\n")).unwrap()));
        }
        openers
    }
}
