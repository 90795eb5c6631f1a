//! What a service wants signed and sent, read from its settings.

use std::collections::HashSet;

use http::header::HeaderName;
use strongroom_model::service::Auth;
use strongroom_seal::sign::hmac::{Algorithm, Encoding};

use crate::inject::{AuthError, headers, only};

/// A checked configuration: everything that is signed can be sent, and the other way round.
pub(super) struct Plan<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) encoding: Encoding,
    pub(super) clock: Clock,
    pub(super) window: Option<&'a str>,
    /// The text that is signed.
    pub(super) text: Vec<Part<'a>>,
    /// What is sent where, the signature last.
    pub(super) sent: Vec<(Item, Place<'a>)>,
}

/// How the time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    Seconds,
    Millis,
    Iso,
}

/// A part of the text that is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// It itself.
    Text(&'a str),
    Method,
    Path,
    /// Without `?`; with everything in it but the signature.
    Query,
    /// Path, `?` and query.
    Target,
    Body,
    /// The body of POST, PUT and PATCH, the query of all others.
    Payload,
    Timestamp,
    Nonce,
    Key,
    Window,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Key,
    Passphrase,
    Timestamp,
    Nonce,
    Window,
    Signature,
}

/// Where it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place<'a> {
    Header(HeaderName),
    Query(&'a str),
}

const SECRETS: [&str; 3] = ["key", "secret", "passphrase"];

/// What the `auth` of this type has that is not secret.
pub const SETTINGS: &[&str] = &[
    "preset",
    "algorithm",
    "encoding",
    "sign",
    "timestamp",
    "recv_window",
    "key_header",
    "key_query",
    "passphrase_header",
    "passphrase_query",
    "timestamp_header",
    "timestamp_query",
    "nonce_header",
    "nonce_query",
    "recv_window_header",
    "recv_window_query",
    "signature_header",
    "signature_query",
];

/// What can be sent, and the settings that say where, as header and as query parameter.
const ITEMS: [(Item, &str, &str); 6] = [
    (Item::Key, "key_header", "key_query"),
    (Item::Passphrase, "passphrase_header", "passphrase_query"),
    (Item::Timestamp, "timestamp_header", "timestamp_query"),
    (Item::Nonce, "nonce_header", "nonce_query"),
    (Item::Window, "recv_window_header", "recv_window_query"),
    (Item::Signature, "signature_header", "signature_query"),
];

/// Settings by heart.
type Preset = &'static [(&'static str, &'static str)];

/// <https://bybit-exchange.github.io/docs/v5/guide>
const BYBIT: Preset = &[
    ("algorithm", "sha256"),
    ("encoding", "hex"),
    ("sign", "{timestamp}{key}{recv_window}{payload}"),
    ("timestamp", "ms"),
    ("recv_window", "5000"),
    ("key_header", "X-BAPI-API-KEY"),
    ("timestamp_header", "X-BAPI-TIMESTAMP"),
    ("recv_window_header", "X-BAPI-RECV-WINDOW"),
    ("signature_header", "X-BAPI-SIGN"),
];

/// <https://www.okx.com/docs-v5/en/#overview-rest-authentication>
const OKX: Preset = &[
    ("algorithm", "sha256"),
    ("encoding", "base64"),
    ("sign", "{timestamp}{method}{target}{body}"),
    ("timestamp", "iso"),
    ("key_header", "OK-ACCESS-KEY"),
    ("passphrase_header", "OK-ACCESS-PASSPHRASE"),
    ("timestamp_header", "OK-ACCESS-TIMESTAMP"),
    ("signature_header", "OK-ACCESS-SIGN"),
];

/// <https://mexcdevelop.github.io/apidocs/spot_v3_en/#signed>
const MEXC: Preset = &[
    ("algorithm", "sha256"),
    ("encoding", "hex"),
    ("sign", "{query}{body}"),
    ("timestamp", "ms"),
    ("key_header", "X-MEXC-APIKEY"),
    ("timestamp_query", "timestamp"),
    ("signature_query", "signature"),
];

impl<'a> Plan<'a> {
    /// Reads and checks the settings.
    pub(super) fn of(auth: &'a Auth) -> Result<Self, AuthError> {
        only("hmac", auth, &SECRETS, SETTINGS)?;
        let settings = Settings { auth, preset: preset(auth)? };
        let plan = Self {
            algorithm: settings.word(
                "algorithm",
                &[
                    ("sha256", Algorithm::Sha256),
                    ("sha512", Algorithm::Sha512),
                    ("sha1", Algorithm::Sha1),
                ],
            )?,
            encoding: settings
                .word("encoding", &[("hex", Encoding::Hex), ("base64", Encoding::Base64)])?,
            clock: settings.word(
                "timestamp",
                &[("ms", Clock::Millis), ("s", Clock::Seconds), ("iso", Clock::Iso)],
            )?,
            window: settings.get("recv_window"),
            text: parts(settings.get("sign").ok_or_else(|| missing("`sign`"))?)?,
            sent: settings.places()?,
        };
        plan.check(auth)?;
        Ok(plan)
    }

    /// Whether `part` is in the text.
    pub(super) fn signs(&self, part: &Part<'_>) -> bool {
        self.text.contains(part)
    }

    fn sends(&self, item: Item) -> bool {
        self.sent.iter().any(|(sent, _)| *sent == item)
    }

    /// That the service can check what is signed, and that we have what is needed.
    fn check(&self, auth: &Auth) -> Result<(), AuthError> {
        if !auth.secrets.contains_key("secret") {
            return Err(missing("`secret`"));
        }
        if !self.sends(Item::Signature) {
            return Err(missing("`signature_header` or `signature_query`"));
        }
        for (field, is_used) in [
            ("key", self.sends(Item::Key) || self.signs(&Part::Key)),
            ("passphrase", self.sends(Item::Passphrase)),
        ] {
            match (is_used, auth.secrets.contains_key(field)) {
                (true, false) if field == "key" => return Err(missing("`key`")),
                (true, false) => return Err(missing("`passphrase`")),
                (false, true) => return Err(unfit(field, "is neither signed nor sent")),
                _ => {}
            }
        }
        for (part, item, message) in [
            (Part::Timestamp, Item::Timestamp, "`timestamp_header` or `timestamp_query`"),
            (Part::Nonce, Item::Nonce, "`nonce_header` or `nonce_query`"),
        ] {
            if self.signs(&part) && !self.sends(item) {
                return Err(missing(message));
            }
        }
        let needs_window = self.signs(&Part::Window) || self.sends(Item::Window);
        match self.window {
            None if needs_window => Err(missing("`recv_window`")),
            Some(_) if !needs_window => Err(unfit("recv_window", "is neither signed nor sent")),
            Some(window)
                if window.is_empty()
                    || window.len() > 9
                    || !window.bytes().all(|b| b.is_ascii_digit()) =>
            {
                Err(unfit("recv_window", "is not a number of milliseconds"))
            }
            _ if self.text.iter().all(|part| matches!(part, Part::Text(_))) => {
                Err(unfit("sign", "has no part of the request in it"))
            }
            _ => Ok(()),
        }
    }
}

fn preset(auth: &Auth) -> Result<Preset, AuthError> {
    let Some(name) = auth.settings.get("preset") else { return Ok(&[]) };
    let preset = match name.as_str() {
        "bybit" => BYBIT,
        "okx" => OKX,
        "mexc" => MEXC,
        _ => return Err(unfit("preset", "is not one of `bybit`, `okx`, `mexc`")),
    };
    // What a preset lays down cannot be half of it.
    for key in auth.settings.keys().filter(|key| *key != "preset") {
        if key != "recv_window" || !preset.iter().any(|(there, _)| there == key) {
            return Err(unfit(key, "stands beside `preset`, which lays it down"));
        }
    }
    Ok(preset)
}

struct Settings<'a> {
    auth: &'a Auth,
    preset: Preset,
}

impl<'a> Settings<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        let own = self.auth.settings.get(key).map(String::as_str);
        own.or_else(|| self.preset.iter().find(|(there, _)| *there == key).map(|(_, value)| *value))
    }

    /// The setting `key`, which is one of `words`; where it is not given, the first.
    fn word<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Result<T, AuthError> {
        let Some(word) = self.get(key) else { return Ok(words[0].1) };
        let found = words.iter().find(|(there, _)| *there == word);
        found.map(|(_, value)| *value).ok_or_else(|| {
            unfit(
                key,
                match key {
                    "algorithm" => "is not one of `sha256`, `sha512`, `sha1`",
                    "encoding" => "is not one of `hex`, `base64`",
                    _ => "is not one of `ms`, `s`, `iso`",
                },
            )
        })
    }

    fn places(&self) -> Result<Vec<(Item, Place<'a>)>, AuthError> {
        let mut sent = Vec::new();
        let mut taken = HashSet::new();
        for (item, header, query) in ITEMS {
            let (field, place) = match (self.get(header), self.get(query)) {
                (None, None) => continue,
                (Some(_), Some(_)) => {
                    return Err(unfit(query, "stands beside that of a header: one is enough"));
                }
                (Some(name), None) => {
                    let name = headers::slot(name).map_err(|problem| unfit(header, problem))?;
                    (header, Place::Header(name))
                }
                (None, Some(name)) if name.trim().is_empty() => {
                    return Err(unfit(query, "has no name"));
                }
                (None, Some(name)) => (query, Place::Query(name)),
            };
            if !taken.insert(place.clone()) {
                return Err(unfit(field, "names what another one names"));
            }
            sent.push((item, place));
        }
        Ok(sent)
    }
}

/// Cuts the text into its parts.
fn parts(text: &str) -> Result<Vec<Part<'_>>, AuthError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(at);
        let (name, behind) = after
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'))
            .ok_or_else(|| unfit("sign", "has a brace without its counterpart"))?;
        if !before.is_empty() {
            parts.push(Part::Text(before));
        }
        parts.push(match name {
            "method" => Part::Method,
            "path" => Part::Path,
            "query" => Part::Query,
            "target" => Part::Target,
            "body" => Part::Body,
            "payload" => Part::Payload,
            "timestamp" => Part::Timestamp,
            "nonce" => Part::Nonce,
            "key" => Part::Key,
            "recv_window" => Part::Window,
            _ => {
                return Err(unfit(
                    "sign",
                    "has a part that is not one of {method}, {path}, {query}, {target}, {body}, \
                     {payload}, {timestamp}, {nonce}, {key}, {recv_window}",
                ));
            }
        });
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

fn missing(field: &'static str) -> AuthError {
    AuthError::Missing { scheme: "hmac", field }
}

fn unfit(field: &str, problem: &'static str) -> AuthError {
    AuthError::Unfit { scheme: "hmac", field: field.to_owned(), problem }
}
