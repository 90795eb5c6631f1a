use std::sync::Arc;

use strongroom_model::secret::Secret;

use super::{Kek, KekError, KekRing, KekSourceError, LocalKek, MachineKek, Wrapped};
use crate::file::SecureDir;
use crate::key::{Key, hex};
use crate::machine::MachineId;

#[test]
fn the_same_secret_on_the_same_machine_gives_the_same_key() {
    let (kek, key) = (kek(7, "a"), Key::generate().unwrap());
    let wrapped = kek.wrap("local", "k1", &key).unwrap();
    let again = self::kek(7, "a");
    assert_eq!(again.id(), kek.id());
    assert_eq!(again.unwrap("local", "k1", &wrapped).unwrap().bytes(), key.bytes());
}

#[test]
fn another_secret_and_another_machine_give_another_key_with_another_id() {
    let kek = kek(7, "a");
    let wrapped = kek.wrap("local", "k1", &Key::generate().unwrap()).unwrap();
    for other in [self::kek(8, "a"), self::kek(7, "b")] {
        assert_ne!(other.id(), kek.id());
        assert_eq!(other.unwrap("local", "k1", &wrapped).unwrap_err(), KekError::Mismatch);
    }
}

#[test]
fn a_wrapped_key_is_bound_to_its_tenant_and_id() {
    let kek = kek(7, "a");
    let wrapped = kek.wrap("local", "k1", &Key::generate().unwrap()).unwrap();
    assert!(kek.unwrap("other", "k1", &wrapped).is_err());
    assert!(kek.unwrap("local", "k2", &wrapped).is_err());
    assert!(kek.unwrap("local", "k1", &wrapped[..59]).is_err());
    assert!(kek.unwrap("local", "k1", &wrapped).is_ok());
}

/// LM-19.
#[test]
fn the_key_of_a_cache_is_of_its_machine_its_scope_and_its_purpose() {
    let key = |byte, digit: &str, scope| {
        let id = MachineId::parse(&digit.repeat(32)).unwrap();
        Key::of_cache(&Secret::new(vec![byte; 32]), &id, scope)
    };
    let this = key(7, "a", "user");
    assert_eq!(this.bytes(), key(7, "a", "user").bytes());
    for other in [key(8, "a", "user"), key(7, "b", "user"), key(7, "a", "project-0")] {
        assert_ne!(this.bytes(), other.bytes());
    }
    assert_ne!(this.bytes(), kek(7, "a").key.bytes());
}

fn kek(byte: u8, digit: &str) -> MachineKek {
    let id = MachineId::parse(&digit.repeat(32)).unwrap();
    MachineKek::derive(&Secret::new(vec![byte; 32]), &id)
}

/// CR-07.
#[test]
fn the_variable_holds_64_hexadecimal_digits_or_the_base64_of_32_bytes_and_nothing_else() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

    // 0xfb makes a `+` and a `/` that the other alphabet writes otherwise.
    let bytes: [u8; 32] = std::array::from_fn(|at| 0xfb ^ u8::try_from(at).unwrap());
    let of = |text: &str| LocalKek::of_variable(&Secret::new(text.as_bytes().to_vec()));
    let (digits, base64) = (hex(&bytes), STANDARD.encode(bytes));
    let id = of(&digits).unwrap().id().to_owned();
    for good in [&digits, &digits.to_uppercase(), &base64] {
        assert_eq!(of(good).unwrap().id(), id, "{good}");
    }
    let trailing_bits = format!("{}9=", &base64[..42]);
    for bad in [
        String::new(),
        format!("{digits}\n"),
        format!(" {digits}"),
        format!("0x{digits}"),
        digits[..62].to_owned(),
        format!("{digits}00"),
        format!("{}g", &digits[..63]),
        format!("{} {}", &digits[..31], &digits[32..]),
        "0".repeat(64),
        format!("{base64}\n"),
        format!("{base64} "),
        format!("\"{base64}\""),
        STANDARD_NO_PAD.encode(bytes),
        URL_SAFE.encode(bytes),
        STANDARD.encode(&bytes[..31]),
        STANDARD.encode([&bytes[..], &[1]].concat()),
        STANDARD.encode([0; 32]),
        STANDARD.encode(&digits),
        trailing_bits,
        "your-32-byte-encryption-key-here".to_owned(),
        "an-ascii-text-of-just-32-letters".to_owned(),
        "bk1_".to_owned() + &base64,
    ] {
        let error = of(&bad).unwrap_err();
        assert!(matches!(error, KekSourceError::Variable), "{bad:?}");
        assert!(bad.is_empty() || !error.to_string().contains(&bad));
    }
}

/// CR-07.
#[test]
fn a_key_file_is_made_once_whole_and_for_nobody_else() {
    let home = tempfile::tempdir().unwrap();
    let dir = SecureDir::create(home.path().join("keys")).unwrap();
    let missing = LocalKek::of_file(&dir, "kek").unwrap_err();
    assert!(matches!(missing, KekSourceError::Missing { .. }));
    let made = LocalKek::create_file(&dir, "kek").unwrap();
    assert!(matches!(LocalKek::create_file(&dir, "kek"), Err(KekSourceError::Exists { .. })));
    assert_eq!(LocalKek::of_file(&dir, "kek").unwrap().id(), made.id());
    assert!(made.id().starts_with("kek:") && made.id().len() == 20);
    assert_eq!(dir.names().unwrap(), ["kek", "kek.lock"], "no half of one is left");
    let text = dir.read("kek", 100).unwrap();
    assert!(text.starts_with(b"bk1_") && text.ends_with(b"\n"));
    for (name, text) in [
        ("sr1", crate::machine::new_line().unwrap().expose().to_vec()),
        ("long", [&text[..], b"\n"].concat()),
        ("short", text[..text.len() - 1].to_vec()),
        ("hex", "11".repeat(32).into_bytes()),
        ("raw", vec![7; 32]),
        ("half", text[..20].to_vec()),
    ] {
        dir.create_new(name, &text).unwrap();
        let error = LocalKek::of_file(&dir, name).unwrap_err();
        assert!(matches!(error, KekSourceError::Malformed { .. }), "{name}");
        assert!(error.to_string().contains(name));
    }
}

/// CR-07.
#[cfg(unix)]
#[test]
fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = tempfile::tempdir().unwrap();
    let dir = SecureDir::create(home.path().join("keys")).unwrap();
    LocalKek::create_file(&dir, "kek").unwrap();
    let path = dir.path().join("kek");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = LocalKek::of_file(&dir, "kek").unwrap_err();
    assert!(matches!(error, KekSourceError::File(_)), "{error}");
    assert!(error.hint().unwrap().contains("chmod"), "{:?}", error.hint());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    LocalKek::of_file(&dir, "kek").unwrap();
}

#[tokio::test]
async fn a_ring_wraps_under_one_kek_and_unwraps_under_all_that_it_has() {
    let [old, new, other] = [1, 2, 3].map(local);
    let key = Key::generate().unwrap();
    let before = KekRing::new(Arc::clone(&old));
    let wrapped = before.wrap("t", "k1", &key).await.unwrap();
    assert_eq!(wrapped.kek_id, old.id());

    let during = KekRing::with_earlier(Arc::clone(&new), [Arc::clone(&old)]);
    assert_eq!(during.ids(), [new.id(), old.id()]);
    let opened = during.unwrap("t", "k1", &wrapped).await.unwrap();
    assert_eq!(opened.bytes(), key.bytes());
    let anew = during.wrap("t", "k1", &key).await.unwrap();
    assert_eq!(anew.kek_id, new.id());

    let error = KekRing::new(Arc::clone(&other)).unwrap("t", "k1", &wrapped).await.unwrap_err();
    let needed = old.id().to_owned();
    assert_eq!(error, KekError::Unknown { needed, offered: other.id().to_owned() });
    let relabelled = Wrapped { kek_id: new.id().to_owned(), ..wrapped };
    assert_eq!(during.unwrap("t", "k1", &relabelled).await.unwrap_err(), KekError::Mismatch);

    before.clone().replace(&during);
    assert_eq!(before.current(), new.id());
    assert!(before.unwrap("t", "k1", &anew).await.is_ok());
    let shown = format!("{before:?}");
    assert!(shown.contains(new.id()), "{shown}");
}

fn local(byte: u8) -> Arc<dyn super::TeamKek> {
    Arc::new(LocalKek::new(Key::from_secret(&Secret::new(vec![byte; 32])).unwrap()))
}
