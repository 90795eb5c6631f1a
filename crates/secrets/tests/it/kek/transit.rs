//! The transit engine of Vault, by a stand-in that speaks what is documented, failures included.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use strongroom_model::secret::Secret;
use strongroom_seal::envelope::FORMAT;
use strongroom_seal::{Place, open as open_sealed, seal, sha256};
use strongroom_testkit::upstream::{Reply, Seen, Upstream};

use super::*;

/// Keys that are there: their kind, whether they are derived, the oldest version that decrypts, the
/// newest.
const KEYS: &[(&str, &str, bool, u32, u32)] = &[
    ("kek", "aes256-gcm96", false, 1, 1),
    ("next", "aes256-gcm96", false, 1, 2),
    ("derived", "aes256-gcm96", true, 1, 1),
    ("chacha", "chacha20-poly1305", false, 1, 1),
    ("archived", "aes256-gcm96", false, 2, 2),
    ("rsa", "rsa-4096", false, 1, 1),
];

fn transit(seen: &Seen) -> Reply {
    let (status, body) = answer(seen);
    Reply::status(status).header("content-type", "application/json").body(body.to_string())
}

fn answer(seen: &Seen) -> (u16, Value) {
    let errors = |status: u16, text: &str| (status, json!({ "errors": [text] }));
    match seen.values("x-vault-token").concat().as_str() {
        "canary-root" => {}
        "canary-sealed" => return errors(503, "Vault is sealed"),
        "canary-weak" if seen.target.ends_with("/lookup-self") => return (200, json!({})),
        "canary-weak" => return errors(403, "1 error occurred: permission denied"),
        _ => return errors(403, "permission denied"),
    }
    let Some(path) = seen.target.strip_prefix("/v1/transit/") else {
        return errors(404, "no handler for route");
    };
    let (operation, name) = path.split_once('/').unwrap();
    let known = KEYS.iter().find(|key| key.0 == name);
    let body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    match (operation, known) {
        ("keys", None) => (404, json!({ "errors": [] })),
        ("keys", Some((_, kind, derived, ..))) => {
            (200, json!({ "data": { "type": kind, "derived": derived, "name": name } }))
        }
        ("decrypt", None) => errors(400, "encryption key not found"),
        ("encrypt" | "decrypt", Some((.., true, _, _))) if text("context").is_empty() => errors(
            400,
            "missing 'context' for key derivation; the key was created using a derived key",
        ),
        // As Vault does it: a key that is not there is made.
        ("encrypt", _) => {
            let latest = known.map_or(1, |key| key.4);
            // The version before the archive was closed.
            let version = if name == "archived" { 1 } else { latest };
            let plaintext = Secret::new(STANDARD.decode(text("plaintext")).unwrap());
            let sealed =
                in_place(name, version, &body, |key, place| seal(key, place, &plaintext).unwrap());
            let ciphertext = format!("vault:v{version}:{}", STANDARD.encode(sealed));
            (200, json!({ "data": { "ciphertext": ciphertext, "key_version": version } }))
        }
        ("decrypt", Some((.., oldest, newest))) => {
            let Some(rest) = text("ciphertext").strip_prefix("vault:v") else {
                return errors(400, "invalid ciphertext: no prefix");
            };
            let Some((version, sealed)) = rest.split_once(':') else {
                return errors(400, "invalid ciphertext: wrong number of fields");
            };
            let Ok(version) = version.parse::<u32>() else {
                return errors(400, "invalid ciphertext: version number could not be decoded");
            };
            if version > *newest {
                return errors(400, "invalid ciphertext: version is too new");
            }
            if version < *oldest {
                let text = "ciphertext or signature version is disallowed by policy (too old)";
                return errors(400, text);
            }
            let Ok(sealed) = STANDARD.decode(sealed) else {
                return errors(400, "invalid ciphertext: could not decode base64");
            };
            match in_place(name, version, &body, |key, place| open_sealed(key, place, &sealed)) {
                Ok(opened) => {
                    (200, json!({ "data": { "plaintext": STANDARD.encode(opened.expose()) } }))
                }
                Err(_) => errors(400, "cipher: message authentication failed"),
            }
        }
        _ => errors(404, "unsupported path"),
    }
}

/// The engine's own AEAD: a key for each name, version and context, and its associated data.
fn in_place<T>(
    name: &str,
    version: u32,
    body: &Value,
    act: impl FnOnce(&Key, &Place<'_>) -> T,
) -> T {
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    let derived = KEYS.iter().any(|key| key.0 == name && key.2);
    let context = if derived { text("context") } else { "" };
    let bytes = sha256(format!("{name}\n{version}\n{context}").as_bytes());
    let key = Key::from_secret(&Secret::new(bytes.to_vec())).unwrap();
    act(
        &key,
        &Place {
            app: "stand-in",
            format: FORMAT,
            key_id: name,
            tenant: text("associated_data"),
            row: "",
            service: "",
            kind: "",
            version: version.into(),
        },
    )
}

fn of(url: &str, key: &str, token: &str) -> Kept {
    let pairs = [("address", url), ("token", "env://T"), ("key", key)];
    open("transit", &pairs, &[("T", token)]).unwrap()
}

#[tokio::test]
async fn keys_of_the_transit_engine_hold_the_contract_with_a_stand_in() {
    let stand_in = Upstream::http(transit).await;
    let url = format!("http://{}", stand_in.address());
    let key = |name| of(&url, name, "canary-root");
    for (name, other) in [("kek", "next"), ("derived", "kek"), ("chacha", "derived")] {
        holds_the_contract(&key(name), &key(name), &key(other)).await;
    }
}

#[tokio::test]
async fn a_key_that_is_not_there_is_never_made_by_the_stand_in() {
    let stand_in = Upstream::http(transit).await;
    let url = format!("http://{}", stand_in.address());
    is_refused(&of(&url, "none", "canary-root"), b"vault:v1:AAAA", "it does not exist").await;
    assert!(stand_in.seen().iter().all(|seen| seen.method == "GET"), "nothing was encrypted");
    is_refused(&of(&url, "rsa", "canary-root"), b"vault:v1:AAAA", "authenticates").await;
    assert!(stand_in.seen().iter().all(|seen| seen.method == "GET"), "nothing was encrypted");
}

#[tokio::test]
async fn refused_and_unreachable_are_told_apart_with_a_stand_in() {
    let stand_in = Upstream::http(transit).await;
    let url = format!("http://{}", stand_in.address());
    let wrapped = b"vault:v1:AAAA";
    is_refused(&of(&url, "kek", "canary-weak"), wrapped, "the policy of our token").await;
    is_refused(&of(&url, "kek", "canary-unknown"), wrapped, "our token is not accepted").await;
    is_unreachable(&of(&url, "kek", "canary-sealed"), wrapped, "sealed").await;
    is_unreachable(&of(&closed(), "kek", "canary-root"), wrapped, "no connection").await;
    let garbage = Upstream::http(|_| Reply::ok("canary {")).await;
    let url = format!("http://{}", garbage.address());
    is_unreachable(&of(&url, "kek", "canary-root"), wrapped, "documentation").await;
}

#[tokio::test]
async fn a_version_that_the_stand_in_has_put_away_is_refused_and_not_called_damage() {
    let stand_in = Upstream::http(transit).await;
    let url = format!("http://{}", stand_in.address());
    let key = Key::generate().unwrap();
    for (wraps, unwraps) in [("archived", "archived"), ("next", "kek")] {
        let [wraps, unwraps] = [wraps, unwraps].map(|name| of(&url, name, "canary-root"));
        let wrapped = wraps.kek.wrap("t", "k", &key).await.unwrap();
        let error = unwraps.kek.unwrap("t", "k", &wrapped).await.unwrap_err();
        let KekError::Refused { why, .. } = &error else { panic!("{error}") };
        assert!(why.contains("does not have the version"), "{why}");
    }
}
