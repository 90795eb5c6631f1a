//! How Janee's auth types are called here.

use std::collections::BTreeMap;

use crate::config::AuthShape;

use super::files::Service;

/// A type of theirs, and what it is here.
struct Row {
    theirs: &'static str,
    ours: &'static str,
    /// Our setting that says which kind, where one is needed.
    preset: &'static [(&'static str, &'static str)],
    /// Their secret fields, and ours.
    secrets: &'static [(&'static str, &'static str)],
    /// Their other fields, and ours.
    settings: &'static [(&'static str, &'static str)],
}

const NONE: Row = Row { theirs: "", ours: "", preset: &[], secrets: &[], settings: &[] };

const HMAC: Row = Row {
    ours: "hmac",
    secrets: &[("apiKey", "key"), ("apiSecret", "secret"), ("passphrase", "passphrase")],
    ..NONE
};

const ROWS: &[Row] = &[
    Row { theirs: "bearer", ours: "bearer", secrets: &[("key", "token")], ..NONE },
    Row {
        theirs: "basic",
        ours: "basic",
        secrets: &[
            ("password", "password"),
            ("authToken", "password"),
            ("username", "user_ref"),
            ("accountSid", "user_ref"),
        ],
        settings: &[("username", "user"), ("user", "user"), ("accountSid", "user")],
        ..NONE
    },
    Row { theirs: "headers", ours: "headers", ..NONE },
    Row { theirs: "hmac-bybit", preset: &[("preset", "bybit")], ..HMAC },
    Row { theirs: "hmac-okx", preset: &[("preset", "okx")], ..HMAC },
    Row { theirs: "hmac-mexc", preset: &[("preset", "mexc")], ..HMAC },
    Row {
        theirs: "oauth1a-twitter",
        ours: "oauth1a",
        secrets: &[
            ("consumerKey", "consumer_key"),
            ("consumerSecret", "consumer_secret"),
            ("accessToken", "token"),
            ("accessTokenSecret", "token_secret"),
        ],
        ..NONE
    },
    Row {
        theirs: "service-account",
        ours: "google-service-account",
        secrets: &[("credentials", "key")],
        settings: &[("scopes", "scope")],
        ..NONE
    },
    Row {
        theirs: "github-app",
        ours: "github-app",
        secrets: &[("privateKey", "private_key")],
        settings: &[("appId", "app_id"), ("installationId", "installation_id")],
        ..NONE
    },
    Row {
        theirs: "aws-sigv4",
        ours: "aws-sigv4",
        secrets: &[
            ("accessKeyId", "access_key_id"),
            ("secretAccessKey", "secret_access_key"),
            ("sessionToken", "session_token"),
        ],
        settings: &[("region", "region"), ("awsService", "service"), ("service", "service")],
        ..NONE
    },
];

/// A way to authenticate as it is written here.
#[derive(Debug, PartialEq, Eq)]
pub struct Translated {
    /// The type.
    pub kind: &'static str,
    /// Our secret fields, and where each comes from.
    pub secrets: Vec<(String, String)>,
    /// Our other fields.
    pub settings: BTreeMap<String, String>,
}

/// Whether a field of `auth` with this name is a secret.
pub fn is_secret(field: &str) -> bool {
    const NAMES: &[&str] = &[
        "key",
        "apiKey",
        "apiSecret",
        "passphrase",
        "password",
        "authToken",
        "credentials",
        "privateKey",
        "consumerKey",
        "consumerSecret",
        "accessToken",
        "accessTokenSecret",
        "accessKeyId",
        "secretAccessKey",
        "sessionToken",
        "clientSecret",
        "refreshToken",
    ];
    NAMES.contains(&field)
}

/// How `service` authenticates here; otherwise why it cannot.
pub fn translate(service: &Service) -> Result<Translated, String> {
    if service.auth.is_empty() {
        return Err("it says no auth type".to_owned());
    }
    let row = ROWS.iter().find(|row| row.theirs == service.auth);
    let Some(row) = row.filter(|row| AuthShape::of(row.ours).is_some()) else {
        return Err(format!("its auth type `{}` is not known here", service.auth));
    };
    let there = |field: &str| service.secrets.contains_key(field);
    let secrets: Vec<(String, String)> = if row.theirs == "headers" {
        service.secrets.keys().map(|name| (name.clone(), name.clone())).collect()
    } else {
        let present = row.secrets.iter().filter(|(theirs, _)| there(theirs));
        present.map(|(theirs, ours)| ((*ours).to_owned(), (*theirs).to_owned())).collect()
    };
    if secrets.is_empty() {
        return Err("it has no secret".to_owned());
    }
    let mut settings = BTreeMap::new();
    for (key, value) in row.preset {
        settings.insert((*key).to_owned(), (*value).to_owned());
    }
    for (theirs, ours) in row.settings {
        if let Some(value) = service.settings.get(*theirs) {
            settings.insert((*ours).to_owned(), value.clone());
        }
    }
    Ok(Translated { kind: row.ours, secrets, settings })
}

#[cfg(test)]
mod tests {
    use strongroom_model::secret::Secret;

    use super::*;

    fn service(auth: &str, secrets: &[&str], settings: &[(&str, &str)]) -> Service {
        let secret = |name: &&str| ((*name).to_owned(), Secret::new(b"canary".to_vec()));
        let setting = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Service {
            auth: auth.to_owned(),
            secrets: secrets.iter().map(secret).collect(),
            settings: settings.iter().map(setting).collect(),
            ..Service::default()
        }
    }

    #[test]
    fn a_key_goes_into_the_field_that_it_is_called_here() {
        let bearer = translate(&service("bearer", &["key"], &[])).unwrap();
        assert_eq!(bearer.secrets, [("token".to_owned(), "key".to_owned())]);
        let basic = service("basic", &["authToken"], &[("accountSid", "AC1")]);
        let basic = translate(&basic).unwrap();
        assert_eq!(basic.secrets, [("password".to_owned(), "authToken".to_owned())]);
        assert_eq!(basic.settings["user"], "AC1");
        let headers = translate(&service("headers", &["x-api-key", "x-other"], &[])).unwrap();
        assert_eq!(headers.secrets.len(), 2);
    }

    #[test]
    fn what_signs_there_signs_here() {
        let okx = service("hmac-okx", &["apiKey", "apiSecret", "passphrase"], &[]);
        let okx = translate(&okx).unwrap();
        assert_eq!(
            (okx.kind, okx.settings["preset"].as_str(), okx.secrets.len()),
            ("hmac", "okx", 3)
        );
        let aws = [("region", "eu-central-1"), ("awsService", "ses")];
        let aws =
            translate(&service("aws-sigv4", &["accessKeyId", "secretAccessKey"], &aws)).unwrap();
        assert_eq!((aws.kind, aws.settings["service"].as_str()), ("aws-sigv4", "ses"));
        let keys = ["consumerKey", "consumerSecret", "accessToken", "accessTokenSecret"];
        let twitter = translate(&service("oauth1a-twitter", &keys, &[])).unwrap();
        assert_eq!((twitter.kind, twitter.secrets.len()), ("oauth1a", 4));
        let app = [("appId", "1"), ("installationId", "2")];
        let app = translate(&service("github-app", &["privateKey"], &app)).unwrap();
        assert_eq!((app.kind, app.settings["installation_id"].as_str()), ("github-app", "2"));
        let google = service("service-account", &["credentials"], &[("scopes", "a b")]);
        let google = translate(&google).unwrap();
        assert_eq!((google.secrets[0].0.as_str(), &*google.settings["scope"]), ("key", "a b"));
    }

    #[test]
    fn what_cannot_authenticate_says_why() {
        for (service, why) in [
            (service("bearer", &[], &[]), "it has no secret"),
            (service("", &["key"], &[]), "it says no auth type"),
            (
                service("carrier-pigeon", &["key"], &[]),
                "its auth type `carrier-pigeon` is not known",
            ),
        ] {
            assert!(translate(&service).unwrap_err().starts_with(why));
        }
    }
}
