use proptest::prelude::*;
use serde_json::{Value, json};
use strongroom_model::canonical::{RawRequest, canonicalize};
use strongroom_testkit::fakes::{StaticCredentials, auth, service as plain};

use super::*;

const MINTED: &str = "minted-credential-0123456789 \"\\/&=%é\u{1f600}";

/// A service that swaps handles in `token` and in the header `x-token`.
fn service() -> Service {
    let address = "127.0.0.1:9".parse().unwrap();
    let slots = strongroom_model::service::Slots::default();
    let mut service =
        plain("acme", address, auth("acme", "bearer", &["token"]), slots, "allow * /**");
    service.seal_fields = vec!["token".into()];
    service.unseal_fields = vec!["x-token".into()];
    service.request_headers = vec!["x-token".into(), "x-other".into()];
    service
}

fn request(service: &Service, raw: RawRequest) -> CanonicalRequest {
    canonicalize(service, RawRequest { method: "POST".into(), ..raw }).unwrap()
}

/// A request with this body.
fn with_body(kind: &str, body: &str) -> CanonicalRequest {
    let headers = vec![("content-type".to_owned(), kind.to_owned())];
    let raw = RawRequest { path: "/x".into(), headers, body: body.into(), ..RawRequest::default() };
    request(&service(), raw)
}

struct Store {
    handles: Handles,
    principal: Name,
    service: Service,
    credentials: StaticCredentials,
}

impl Store {
    fn new() -> Self {
        let principal = "default".parse().unwrap();
        let credentials = StaticCredentials::new(&[]);
        Self { handles: Handles::default(), principal, service: service(), credentials }
    }

    fn whose(&self) -> Whose<'_> {
        Whose { principal: &self.principal, service: &self.service }
    }

    fn keep(&self, value: &str, now: Duration) -> String {
        self.handles.keep(self.whose(), Secret::new(value.into()), now).unwrap().0
    }

    fn swapped(&self, request: &CanonicalRequest, now: Duration) -> Result<Swaps, Code> {
        let checked = self.handles.check(self.whose(), request, now).map_err(|r| r.code);
        let swapped = self.handles.swap(self.whose(), request, &self.credentials, now);
        let swapped = swapped.map_err(|refusal| refusal.code);
        assert_eq!(checked.err(), swapped.as_ref().err().copied(), "both see the same");
        swapped
    }

    /// What the body becomes; the same where nothing is swapped.
    fn body(&self, kind: &str, body: &str) -> Result<String, Code> {
        let swaps = self.swapped(&with_body(kind, body), Duration::ZERO)?;
        Ok(swaps
            .body
            .map_or_else(|| body.to_owned(), |body| String::from_utf8(body.to_vec()).unwrap()))
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

// PX-04
#[test]
fn a_handle_is_a_whole_value_at_a_listed_name_or_is_refused() {
    let store = Store::new();
    let handle = store.keep(MINTED, Duration::ZERO);
    let quoted = serde_json::to_string(MINTED).unwrap();
    let encoded = strongroom_seal::sign::escape::encode(MINTED.as_bytes());
    let other = format!("{BEGINNING}{}", "0123456789abcdef".repeat(2));
    for (kind, body, expected) in [
        (JSON, r#"{"token":"<H>"}"#, Some(r#"{"token":<Q>}"#)),
        (JSON, r#"{ "TOKEN" : "<H>" , "a":1.50}"#, Some(r#"{ "TOKEN" : <Q> , "a":1.50}"#)),
        ("application/vnd.a+json", r#"{"t\u006fken":"<H>"}"#, Some(r#"{"t\u006fken":<Q>}"#)),
        (
            JSON,
            r#"[{"a":{"token":["<H>",["<H>"]]}},"b"]"#,
            Some(r#"[{"a":{"token":[<Q>,[<Q>]]}},"b"]"#),
        ),
        (JSON, r#"{"token":"srh_","a":"srh_0123"}"#, Some(r#"{"token":"srh_","a":"srh_0123"}"#)),
        (FORM, "a=b&token=<H>&c=", Some("a=b&token=<E>&c=")),
        (FORM, "t%6fken=<H>", Some("t%6fken=<E>")),
        ("text/plain", "no handle: srh_0123 %73 \\u0073", Some("no handle: srh_0123 %73 \\u0073")),
        // In another place.
        (JSON, r#""<H>""#, None),
        (JSON, r#"["<H>"]"#, None),
        (JSON, r#"{"text":"<H>"}"#, None),
        (JSON, r#"{"token":{"a":"<H>"}}"#, None),
        (JSON, r#"{"token":1,"a":["<H>"]}"#, None),
        (JSON, r#"{"token":["x"],"a":{"b":"<H>"}}"#, None),
        (JSON, r#"{"<H>":"token"}"#, None),
        (JSON, r#"{"token":{"<H>":1}}"#, None),
        (FORM, "text=<H>", None),
        (FORM, "<H>=token", None),
        (FORM, "<H>", None),
        // Within a longer text, or two in one.
        (JSON, r#"{"token":"Bearer <H>"}"#, None),
        (JSON, r#"{"token":"<H> "}"#, None),
        (JSON, r#"{"token":"<H><H>"}"#, None),
        (JSON, r#"{"token":"<H>0"}"#, None),
        (FORM, "token=<H>+", None),
        (FORM, "token=<H>;a=b", None),
        // Spelt another way.
        (JSON, r#"{"token":"\u0073<S>"}"#, None),
        (FORM, "token=%73<S>", None),
        (FORM, "token=srh%5f<D>", None),
        // In what has no places.
        ("text/plain", "<H>", None),
        ("text/plain", "%73<S>", None),
        ("text/plain", "\"\\u0073<S>\"", None),
        ("application/x-ndjson", "{\"token\":\"<H>\"}\n", None),
        ("multipart/form-data; boundary=b", "--b\r\n\r\n<H>\r\n--b--", None),
        (JSON, "{\"token\":\"<H>\"}\n{\"token\":\"<H>\"}", None),
        (JSON, r#"{"token":"<H>","token":"x"}"#, None),
        (JSON, r#"{"token":"<H>""#, None),
        // Somebody else's.
        (JSON, r#"{"token":"<O>"}"#, None),
        (FORM, "token=<O>", None),
    ] {
        let body = body.replace("<H>", &handle).replace("<S>", &handle[1..]);
        let body = body.replace("<D>", &handle[4..]).replace("<O>", &other);
        let expected = expected.map(|text| text.replace("<Q>", &quoted).replace("<E>", &encoded));
        let expected = expected.ok_or(Code::PolicyDenied);
        assert_eq!(store.body(kind, &body), expected, "{kind} {body}");
    }
}

// PX-04
#[test]
fn targets_and_headers_have_places_too() {
    let store = Store::new();
    let handle = store.keep("minted-credential-0123456789+/=", Duration::ZERO);
    let encoded = "minted-credential-0123456789%2B%2F%3D";
    let swaps = |path: &str, header: Option<(&str, &str)>| {
        let fill = |text: &str| text.replace('H', &handle);
        let headers = header.into_iter().map(|(name, value)| (name.to_owned(), fill(value)));
        let raw =
            RawRequest { path: fill(path), headers: headers.collect(), ..RawRequest::default() };
        let request = request(&store.service, raw);
        let swaps = store.swapped(&request, Duration::ZERO)?;
        let target = String::from_utf8(swaps.target(request.target()).to_vec()).unwrap();
        let header = swaps.header(0).map(|value| value.to_str().unwrap().to_owned());
        Ok::<_, Code>((target, header))
    };
    let minted = "minted-credential-0123456789+/=";
    assert_eq!(
        swaps("/x?a=b&token=H&c=d", None),
        Ok((format!("/x?a=b&token={encoded}&c=d"), None))
    );
    assert_eq!(swaps("/x?%74oken=H", None), Ok((format!("/x?token={encoded}"), None)));
    // The query's one spelling is found, however the agent wrote it.
    assert_eq!(
        swaps(&format!("/x?token=%73{}", &handle[1..]), None).unwrap().0,
        format!("/x?token={encoded}")
    );
    assert_eq!(swaps("/x", Some(("X-Token", "H"))), Ok(("/x".into(), Some(minted.into()))));
    let bearer = Ok(("/x".into(), Some(format!("Bearer {minted}"))));
    assert_eq!(swaps("/x", Some(("X-Token", "Bearer H"))), bearer);
    for (path, header) in [
        ("/H", None),
        ("/a/H/b?token=x", None),
        ("/x?text=H", None),
        ("/x?H=token", None),
        ("/x?H", None),
        ("/x?token=aH", None),
        ("/x?token=H;b", None),
        ("/x", Some(("X-Other", "H"))),
        ("/x", Some(("Accept", "H"))),
        ("/x", Some(("X-Token", "Basic H"))),
        ("/x", Some(("X-Token", "bearer  H"))),
        ("/x", Some(("X-Token", "H, H"))),
    ] {
        assert_eq!(swaps(path, header), Err(Code::PolicyDenied), "{path} {header:?}");
    }
}

#[test]
fn a_credential_that_cannot_stand_in_a_header_is_not_sent_in_one() {
    let store = Store::new();
    for (minted, expected) in [
        ("minted-credential 0123456789", None),
        ("minted-credential\r\nX-Admin: 1", Some(Code::InvalidRequest)),
        ("minted-credential-\u{e9}", Some(Code::InvalidRequest)),
    ] {
        let headers = vec![("x-token".to_owned(), store.keep(minted, Duration::ZERO))];
        let raw = RawRequest { path: "/x".into(), headers, ..RawRequest::default() };
        let request = request(&store.service, raw);
        let swapped =
            store.handles.swap(store.whose(), &request, &store.credentials, Duration::ZERO);
        assert_eq!(swapped.err().map(|refusal| refusal.code), expected, "{minted}");
    }
}

// PX-04
#[test]
fn a_handle_is_good_for_its_principal_at_its_service_and_origin_for_its_time() {
    let mut store = Store::new();
    let handle = store.keep(MINTED, Duration::ZERO);
    assert_eq!(handle.len(), 36);
    let request = with_body(JSON, &format!("{{\"token\":\"{handle}\"}}"));
    let last = LIFE.checked_sub(Duration::from_nanos(1)).unwrap();
    assert!(store.swapped(&request, last).is_ok());
    assert_eq!(store.swapped(&request, LIFE).err(), Some(Code::PolicyDenied));

    // Seen again, it is the same and lives longer; another value has another.
    assert_eq!(store.keep(MINTED, last), handle);
    assert!(store.swapped(&request, LIFE).is_ok());
    assert_ne!(store.keep("minted-credential-other", last), handle);

    let (principal, origin) = (store.principal.clone(), store.service.origin.clone());
    store.principal = "other".parse().unwrap();
    assert_eq!(store.swapped(&request, last).err(), Some(Code::PolicyDenied));
    store.principal = principal;
    store.service.name = "other".parse().unwrap();
    assert_eq!(store.swapped(&request, last).err(), Some(Code::PolicyDenied));
    store.service.name = "acme".parse().unwrap();
    store.service.origin.port += 1;
    assert_eq!(store.swapped(&request, last).err(), Some(Code::PolicyDenied));
    store.service.origin = origin;
    assert!(store.swapped(&request, last).is_ok());
}

#[test]
fn the_oldest_handle_ends_where_there_are_too_many_and_expired_ones_are_gone() {
    let store = Store::new();
    let handle = |n: usize| store.keep(&format!("minted-credential-{n}"), Duration::ZERO);
    let handles: Vec<_> = (0..=MOST).map(handle).collect();
    let found = |handle: &str| {
        let request = with_body(JSON, &format!("{{\"token\":\"{handle}\"}}"));
        store.swapped(&request, Duration::ZERO).is_ok()
    };
    assert_eq!(
        (found(&handles[0]), found(&handles[1]), found(&handles[MOST])),
        (false, true, true)
    );
    assert_eq!(store.handles.lock().values().map(VecDeque::len).sum::<usize>(), MOST);
    store.keep(MINTED, LIFE);
    assert_eq!(store.handles.lock().values().map(VecDeque::len).sum::<usize>(), 1);
}

#[test]
fn a_request_holds_sixteen_handles_at_the_most() {
    let store = Store::new();
    let handle = store.keep(MINTED, Duration::ZERO);
    let body = |n: usize| format!("{{\"token\":[{}]}}", vec![format!("\"{handle}\""); n].join(","));
    assert!(store.body(JSON, &body(places::MOST)).is_ok());
    assert_eq!(store.body(JSON, &body(places::MOST + 1)), Err(Code::PolicyDenied));
}

#[test]
fn what_is_swapped_is_known_to_the_redactor_again() {
    let store = Store::new();
    let handle = store.keep(MINTED, Duration::ZERO);
    assert!(store.credentials.learned().is_empty());
    store.body(FORM, &format!("token={handle}")).unwrap();
    assert_eq!(store.credentials.learned().len(), 1);
    store.body(FORM, &format!("token={handle}")).unwrap();
    assert!(store.credentials.learned().is_empty(), "it is known");
}

#[test]
fn what_a_call_was_authenticated_with_is_nothing_new() {
    let secret = |text: &str| Arc::new(Secret::new(text.into()));
    let fields = vec![("token".to_owned(), secret("the-services-own-key"))];
    let own = Own {
        credential: Some(Arc::new(Credential::new(fields))),
        token: Some(secret("the-access-token-of-now")),
    };
    let is_own = |text: &str| own.is_in(&Secret::new(text.into()));
    assert!(is_own("the-services-own-key"));
    assert!(is_own("Bearer the-access-token-of-now"));
    assert!(!is_own("the-services-own-ke"));
    assert!(!Own::default().is_in(&Secret::new(b"anything".into())));
}

/// JSON in which `H` stands for a handle, at listed names only.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "srh_[0-9a-f]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner.clone(), 0..4)
                .prop_map(|map| map.into_iter().collect()),
            inner.clone().prop_map(|value| json!({ "a": value, "token": "HANDLE" })),
            inner.prop_map(|value| json!({ "Token": ["HANDLE"], "b": value })),
        ]
    })
}

/// How often `text` stands in `value`.
fn count(value: &Value) -> usize {
    match value {
        Value::String(text) => usize::from(text == "HANDLE"),
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

fn replaced(value: &Value, text: &str) -> Value {
    match value {
        Value::String(there) if there == "HANDLE" => text.into(),
        Value::Array(values) => values.iter().map(|value| replaced(value, text)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), replaced(value, text))).collect()
        }
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn swapping_in_json_changes_the_handles_and_nothing_else(
        tree in tree(), minted in "[ -~\\u{e9}\\u{1f600}\\n\\t]{16,60}", pretty in any::<bool>(),
    ) {
        let store = Store::new();
        let handle = store.keep(&minted, Duration::ZERO);
        let with_handles = replaced(&tree, &handle);
        let text = if pretty {
            serde_json::to_string_pretty(&with_handles).unwrap()
        } else {
            with_handles.to_string()
        };
        let swapped = store.body(JSON, &text);
        if count(&tree) > places::MOST {
            prop_assert_eq!(swapped, Err(Code::PolicyDenied));
        } else {
            let quoted = serde_json::to_string(&minted).unwrap();
            let swapped = swapped.unwrap();
            prop_assert_eq!(&swapped, &text.replace(&format!("\"{handle}\""), &quoted));
            let read: Value = serde_json::from_str(&swapped).unwrap();
            prop_assert_eq!(read, replaced(&tree, &minted));
        }
    }

    #[test]
    fn swapping_in_forms_changes_the_handles_and_nothing_else(
        pairs in prop::collection::vec(("[a-z%+.]{1,6}", "[a-z0-9%+._-]{0,9}"), 0..6),
        at in 0usize..6, minted in "[ -~\\u{e9}]{16,60}",
    ) {
        let store = Store::new();
        let handle = store.keep(&minted, Duration::ZERO);
        let mut pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.insert(at.min(pairs.len()), format!("token={handle}"));
        let text = pairs.join("&");
        let encoded = strongroom_seal::sign::escape::encode(minted.as_bytes());
        prop_assert_eq!(store.body(FORM, &text).unwrap(), text.replace(&handle, &encoded));
    }

    #[test]
    fn no_text_with_a_handle_in_it_goes_out_unchanged(
        before in "[ -~]{0,12}", after in "[ -~]{0,12}",
        kind in prop::sample::select(vec![JSON, FORM, "text/plain", "application/xml"]),
    ) {
        let store = Store::new();
        let handle = store.keep(MINTED, Duration::ZERO);
        let text = format!("{before}{handle}{after}");
        if let Ok(swapped) = store.body(kind, &text) {
            prop_assert!(!swapped.contains(&handle), "{text}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic(text in "[\\[\\]{}\",:\\\\us0-9a-f%&=srh_ ]{0,80}") {
        let store = Store::new();
        for kind in [JSON, FORM, "text/plain"] {
            let _ = store.body(kind, &text);
        }
    }
}
