use std::sync::Arc;

use strongroom_model::approval::Channel;
use strongroom_model::audit::{Asked, AuditError, AuditId, AuditSink, Draft, Journal};
use strongroom_model::injection::{Credential, bind};
use strongroom_model::principal::{Caller, Principal, Source};
use strongroom_model::service::{Origin, Scheme as Transport, Service};

use super::*;

mod signed;

struct Accepting;

impl AuditSink for Accepting {
    fn append(&self, _: Draft) -> Result<AuditId, AuditError> {
        Ok(AuditId("0".into()))
    }
}

fn auth(scheme: &str, secrets: &[&str], settings: &[(&str, &str)]) -> Auth {
    Auth {
        scheme: scheme.into(),
        secrets: secrets
            .iter()
            .map(|field| ((*field).to_owned(), "local://canary".parse().unwrap()))
            .collect(),
        settings: settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    }
}

fn inject(auth: &Auth, secrets: &[(&str, &str)]) -> Result<(String, HeaderMap), Refusal> {
    let outgoing = Outgoing::new(Method::GET, "/v1/x?a=1", HeaderMap::new(), Bytes::new());
    inject_into(auth, secrets, outgoing)
}

fn inject_into(
    auth: &Auth,
    secrets: &[(&str, &str)],
    mut outgoing: Outgoing,
) -> Result<(String, HeaderMap), Refusal> {
    let slots = slots(auth).unwrap();
    let service = Service {
        auth: auth.clone(),
        slots,
        ..Service::at(
            "acme".parse().unwrap(),
            Origin { scheme: Transport::Https, host: "api.test".into(), port: 443 },
        )
    };
    let caller = Caller {
        principal: Principal { name: "default".parse().unwrap(), source: Source::Stdio },
        channel: Channel::default(),
        claimed_client: None,
    };
    let asked = Asked {
        caller: &caller,
        service: "acme",
        method: "GET",
        path: "/",
        reason: None,
        request_bytes: 0,
        handles: 0,
    };
    let recorded = Journal::new(&Accepting).intent(&asked, "GET /**", None).unwrap();
    let fields = secrets
        .iter()
        .map(|(field, value)| {
            ((*field).to_owned(), Arc::new(Secret::new(value.as_bytes().to_vec())))
        })
        .collect();
    let bound = bind(&recorded, &service, Arc::new(Credential::new(fields)));
    // 2026-03-15T10:23:45.123Z
    let now = UNIX_EPOCH + Duration::from_millis(1_773_570_225_123);
    let moment = Moment { now, nonce: [0xab; 16], token: None };
    scheme(&auth.scheme).unwrap().inject(auth, &bound, &mut outgoing, &moment)?;
    let (parts, _) = outgoing.into_request()?.into_parts();
    Ok((parts.uri.to_string(), parts.headers))
}

#[test]
fn each_scheme_fills_exactly_its_slots() {
    let k2 = "p@ss \"w\\rd+/=&%é<";
    let header = |auth: Auth, secrets: &[(&str, &str)], name: &str, value: &str| {
        let (target, headers) = inject(&auth, secrets).unwrap();
        assert_eq!(target, "/v1/x?a=1", "{}", auth.scheme);
        assert_eq!(headers.len(), 1, "{}", auth.scheme);
        assert_eq!(headers[name].as_bytes(), value.as_bytes(), "{}", auth.scheme);
        assert!(headers[name].is_sensitive(), "{}", auth.scheme);
    };
    let bearer = auth("bearer", &["token"], &[]);
    header(bearer, &[("token", "canary")], "authorization", "Bearer canary");

    let (me, canary) = (("user_ref", "me"), ("password", "canary"));
    let pair = "Basic bWU6Y2FuYXJ5";
    header(auth("basic", &["password"], &[("user", "me")]), &[canary], "authorization", pair);
    header(auth("basic", &["user_ref", "password"], &[]), &[me, canary], "authorization", pair);
    let only_user = auth("basic", &["user_ref"], &[]);
    header(only_user, &[("user_ref", "canary")], "authorization", "Basic Y2FuYXJ5Og==");

    header(auth("headers", &["X-Api-Key"], &[]), &[("X-Api-Key", k2)], "x-api-key", k2);
    let two = [("a", "one"), ("b", "two")];
    header(auth("cookie", &["a", "b"], &[]), &two, "cookie", "a=one; b=two");

    let query = auth("query", &["api_key"], &[]);
    let (target, headers) = inject(&query, &[("api_key", "a&b c")]).unwrap();
    assert_eq!(target, "/v1/x?a=1&api_key=a%26b%20c");
    assert!(headers.is_empty());
}

#[test]
fn a_value_that_would_break_out_of_its_slot_is_refused_without_being_named() {
    let pem = "-----BEGIN KEY-----\ncanary\n-----END KEY-----\n";
    for (auth, field, value) in [
        (auth("bearer", &["token"], &[]), "token", pem),
        (auth("bearer", &["token"], &[]), "token", "canary\r\nX-Evil: 1"),
        (auth("bearer", &["token"], &[]), "token", "canary\0"),
        (auth("bearer", &["token"], &[]), "token", ""),
        (auth("headers", &["X-Api-Key"], &[]), "X-Api-Key", pem),
        (auth("cookie", &["session"], &[]), "session", "canary; admin=1"),
        (auth("basic", &["user_ref"], &[]), "user_ref", "canary:x"),
    ] {
        let refusal = inject(&auth, &[(field, value)]).unwrap_err();
        assert_eq!(refusal.code, Code::SecretUnavailable);
        assert!(!refusal.message.contains("canary"), "{}", refusal.message);
    }
}

#[test]
fn a_missing_or_unknown_field_is_an_error_that_names_it() {
    for (auth, message) in [
        (auth("bearer", &[], &[]), "auth type `bearer` needs `token`"),
        (auth("bearer", &["token", "tokn"], &[]), "auth type `bearer` has no field `tokn`"),
        (
            auth("bearer", &["token"], &[("user", "canary")]),
            "auth type `bearer` has no field `user`",
        ),
        (auth("basic", &["password"], &[]), "auth type `basic` needs `user` or `user_ref`"),
        (auth("basic", &[], &[("user", "me")]), "auth type `basic` needs `password`"),
        (
            auth("basic", &["password"], &[("user", "me:canary")]),
            "`user` of auth type `basic` has a colon or a control character",
        ),
        (auth("headers", &[], &[]), "auth type `headers` needs at least one header"),
        (
            auth("headers", &["Host"], &[]),
            "`Host` of auth type `headers` frames or routes the request and cannot carry a credential",
        ),
        (auth("headers", &["a b"], &[]), "`a b` of auth type `headers` is not a header name"),
        (auth("headers", &["A", "a"], &[]), "`a` of auth type `headers` stands twice"),
        (auth("query", &[], &[]), "auth type `query` needs at least one parameter"),
        (auth("cookie", &["a;b"], &[]), "`a;b` of auth type `cookie` is not a cookie name"),
    ] {
        let error = slots(&auth).unwrap_err().to_string();
        assert_eq!(error, message);
        assert!(!error.contains("canary"));
    }
    let unknown = slots(&auth("canary", &["token"], &[])).unwrap_err().to_string();
    assert_eq!(unknown, format!("the auth type is not one of {}", names()));
}
