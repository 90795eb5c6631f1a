use super::*;
use crate::service::{Limits, Slots};
use crate::testing::service;

fn path_of(service: &Service, path: &str) -> Result<String, Code> {
    let raw = RawRequest { method: "GET".into(), path: path.into(), ..RawRequest::default() };
    canonicalize(service, raw).map(|request| request.target().to_owned()).map_err(|r| r.code)
}

fn refused(service: &Service, paths: &[&str]) {
    for path in paths {
        assert_eq!(path_of(service, path), Err(Code::InvalidRequest), "{path:?}");
    }
}

fn read_as(service: &Service, table: &[(&str, &str)]) {
    for (path, target) in table {
        assert_eq!(path_of(service, path).as_deref(), Ok(*target), "{path:?}");
    }
}

fn headers_of(service: &Service, headers: &[(&str, &str)]) -> Result<CanonicalRequest, Refusal> {
    let headers = headers.iter().map(|&(name, value)| (name.into(), value.into())).collect();
    let raw = RawRequest { method: "GET".into(), path: "/x".into(), headers, ..Default::default() };
    canonicalize(service, raw)
}

// PB-01, PB-02
#[test]
fn a_dot_segment_is_refused_in_every_spelling() {
    refused(
        &service(),
        &[
            "/public/../admin",
            "/public/..",
            "/public/./x",
            "/public/a/../../../etc",
            "/public/.",
            "/..",
            "/public/%2e%2e/admin",
            "/public/%2E%2e/admin",
            "/public/.%2e/admin",
            "/public/%2e./admin",
            "/public/%2e/admin",
            "/public/..%20/admin",
            "/public/%20..",
        ],
    );
    read_as(
        &service(),
        &[
            ("/public/...", "/v1/public/..."),
            ("/public/.well-known", "/v1/public/.well-known"),
            ("/public/a..b", "/v1/public/a..b"),
        ],
    );
}

// PB-03
#[test]
fn what_is_encoded_twice_is_refused_where_it_would_separate_or_climb() {
    refused(
        &service(),
        &[
            "/public/%252e%252e/admin",
            "/public/%25252e%25252E/admin",
            "/public/a%252fb",
            "/public/a%252Fb",
            "/public/a%255cb",
            "/public/a%2500",
            "/public/a%250a",
            "/public/%25%32%65%25%32%65/admin", // decodes to %252e first
            "/public/%%32%65",
        ],
    );
    read_as(&service(), &[("/public/100%25", "/v1/public/100%25"), ("/a%2541", "/v1/a%2541")]);
}

// PB-04
#[test]
fn an_encoded_slash_is_refused_unless_it_is_part_of_a_segment() {
    let all = ["/public/..%2fadmin", "/public%2f..%2fadmin", "/public/a%2Fb", "/%2fx"];
    refused(&service(), &all);

    let mut gitlab = service();
    gitlab.grammar.encoded_slash = true;
    read_as(&gitlab, &[("/projects/a%2fb/issues", "/v1/projects/a%2Fb/issues")]);
    refused(
        &gitlab,
        &["/public/..%2fadmin", "/public%2f..%2fadmin", "/%2fx", "/a%2F%2Fb", "/a%252fb", "/a%2F."],
    );
}

// PB-05, PB-06
#[test]
fn backslashes_and_control_characters_are_refused_raw_and_encoded() {
    refused(
        &service(),
        &[
            "/public/..\\admin",
            "\\admin",
            "/public/..%5cadmin",
            "/public/..%5Cadmin",
            "/public/.\t./admin",
            "/pub\nlic/x",
            "/public/x%0a",
            "/public/x%00",
            "/public/x%0d%0aX: y",
            "/public/x%0d%0aX:%20y",
            "/public/\x7f",
            "/public/%7f",
            "/public/\u{85}",
            "/public/%C2%85",
            "/public/\0",
            "/public/a b",
        ],
    );
    read_as(&service(), &[("/public/a%20b", "/v1/public/a%20b")]);
}

// PB-07
#[test]
fn path_parameters_are_refused_unless_allowed_and_never_hide_a_dot_segment() {
    let all = [
        "/public/..;/admin",
        "/public/..;a=b/admin",
        "/public/x;jsessionid=1",
        "/public;/../admin",
        "/public/x%3bjsessionid=1",
        "/public/..%3B/admin",
    ];
    refused(&service(), &all);

    let mut lenient = service();
    lenient.grammar.path_params = true;
    read_as(
        &lenient,
        &[
            ("/public/x;jsessionid=1", "/v1/public/x;jsessionid=1"),
            ("/public/x%3ba", "/v1/public/x%3Ba"),
        ],
    );
    refused(
        &lenient,
        &["/public/..;/admin", "/public/..;a=b/admin", "/public;/../admin", "/a/;x/b", "/..%3b/a"],
    );
}

// PB-08
#[test]
fn an_empty_segment_may_only_be_the_last() {
    refused(&service(), &["//public/x", "/public//secret/a", "/public///", "/public//", "//"]);
    read_as(&service(), &[("/", "/v1/"), ("/public/", "/v1/public/")]);
}

// PB-10
#[test]
fn a_path_starts_with_exactly_one_slash() {
    refused(
        &service(),
        &[
            "",
            "x",
            "https://evil.test/x",
            "//evil.test/x",
            "/\\evil.test",
            "\t//evil.test",
            "http:foo",
            "api.test:8443/v1/x",
            "?x=1",
            "*",
            "/%2Fevil.test",
        ],
    );
}

// PB-11
#[test]
fn the_query_is_never_part_of_the_path_and_a_fragment_is_refused() {
    let raw = |path: &str| RawRequest {
        method: "GET".into(),
        path: path.into(),
        ..RawRequest::default()
    };
    let request = canonicalize(&service(), raw("/public/x?/../../admin")).unwrap();
    assert_eq!(request.path(), "/public/x");
    assert_eq!(request.target(), "/v1/public/x?/../../admin");
    let request = canonicalize(&service(), raw("/admin?x=/public/y")).unwrap();
    assert_eq!(request.path(), "/admin");
    refused(&service(), &["/public/x?a=b#/../admin", "/public/x#frag", "/public/x?#"]);
}

// PB-14
#[test]
fn unreserved_octets_are_decoded_and_other_triplets_are_upper_case() {
    read_as(
        &service(),
        &[
            ("/public/%73ecret/x", "/v1/public/secret/x"),
            ("/%70ublic/x", "/v1/public/x"),
            ("/%7Eme/%2D%5f", "/v1/~me/-_"),
            ("/a%3ab/%c3%a9", "/v1/a%3Ab/%C3%A9"),
            ("/a:b@c!$&'()*+,=", "/v1/a:b@c!$&'()*+,="),
        ],
    );
}

// PB-15
#[test]
fn what_is_not_ascii_and_not_utf8_is_refused() {
    refused(
        &service(),
        &[
            "/public/％2e％2e/admin",
            "/public/．．/admin",
            "/public/é",
            "/public/%c0%ae%c0%ae",
            "/public/%zz",
            "/public/%",
            "/public/%f",
            "/public/%ff",
            "/public/%ed%a0%80", // a surrogate
        ],
    );
}

// PB-16
#[test]
fn a_method_is_an_exact_token_of_the_closed_set() {
    let long = "A".repeat(4096);
    for method in
        ["get", "GeT", "GET ", "GET\r\nX:", "TRACE", "CONNECT", "PRI", "M-SEARCH", "", &long]
    {
        let raw = RawRequest { method: method.into(), path: "/x".into(), ..Default::default() };
        assert_eq!(canonicalize(&service(), raw).unwrap_err().code, Code::InvalidRequest);
    }
    for method in Method::ALL {
        let raw = RawRequest {
            method: method.as_str().into(),
            path: "/x".into(),
            ..RawRequest::default()
        };
        assert_eq!(canonicalize(&service(), raw).unwrap().method(), method);
    }
}

// PB-17
#[test]
fn an_api_that_honours_method_overrides_never_gets_one() {
    let request = |flag: bool, path: &str, kind: &str, body: &str| {
        let mut service = service();
        service.grammar.method_override = flag;
        let raw = RawRequest {
            method: "POST".into(),
            path: path.into(),
            headers: vec![("Content-Type".into(), kind.into())],
            body: body.into(),
            ..RawRequest::default()
        };
        canonicalize(&service, raw)
    };
    let form = "application/x-www-form-urlencoded";
    let multipart = "multipart/form-data; boundary=b";
    for (path, kind, body) in [
        ("/items?_method=DELETE", "application/json", "{}"),
        ("/items?%5Fmethod=DELETE", "application/json", "{}"),
        ("/items?a=1;_METHOD=DELETE", "application/json", "{}"),
        ("/items", form, "_method=DELETE"),
        ("/items", form, "a=1&%5fmethod=DELETE"),
        ("/items", "text/plain", "a=1&_method=DELETE"),
        ("/items", multipart, "--b\r\nContent-Disposition: form-data; name=\"_method\"\r\n"),
    ] {
        assert!(request(true, path, kind, body).is_err(), "{path} {kind}");
        assert!(request(false, path, kind, body).is_ok(), "{path} {kind}");
    }
    assert!(request(true, "/items?method=x", form, "method=x&a=_method").is_ok());
    assert!(request(true, "/items", "application/json", "{\"_method\":1}").is_ok());

    let headers = [
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-HTTP-Method", "DELETE"),
        ("X-Method-Override", "DELETE"),
    ];
    let request = headers_of(&service(), &headers).unwrap();
    assert_eq!(request.headers(), []);
    assert_eq!(
        request.dropped_headers(),
        ["x-http-method-override", "x-http-method", "x-method-override"]
    );
}

// PB-19
#[test]
fn the_agent_cannot_send_the_parameter_that_carries_the_credential() {
    let mut qry = service();
    qry.slots = Slots { query: vec!["api_key".into()], ..Slots::default() };
    let queries = [
        "api_key=x",
        "API_KEY=x",
        "api%5Fkey=x",
        "%61pi_key",
        "a=1;api_key=x",
        "api_key[]=x",
        "api_key%5B0%5D=x",
        "api_key[a][b]=x",
        "&&api_key",
        "api%255Fkey=x",
        "+api_key=x",
        "api_key%20=x",
        "api.key=x",
        "api-key=x",
        "api%20key=x",
        "a=1&api_key",
    ];
    for query in queries {
        refused(&qry, &[&format!("/x?{query}")]);
        assert!(path_of(&service(), &format!("/x?{query}")).is_ok(), "{query}");
    }
    read_as(
        &qry,
        &[
            ("/x?key=1&api=2", "/v1/x?key=1&api=2"),
            ("/x?a=api_key", "/v1/x?a=api_key"),
            ("/x?api_keys=1", "/v1/x?api_keys=1"),
        ],
    );
    for name in ["api_key", "API_KEY", "api_key[]", " api_key", "api%5Fkey"] {
        let raw = RawRequest {
            method: "GET".into(),
            path: "/x".into(),
            query: vec![(name.into(), "x".into())],
            ..RawRequest::default()
        };
        assert_eq!(canonicalize(&qry, raw).unwrap_err().code, Code::InvalidRequest, "{name}");
    }
}

#[test]
fn the_query_argument_is_encoded_and_appended() {
    let request = |path: &str, query: &[(&str, &str)]| {
        let query = query.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let raw =
            RawRequest { method: "GET".into(), path: path.into(), query, ..Default::default() };
        canonicalize(&service(), raw)
    };
    let made = request("/x?a=1", &[("b", "ä &=+#"), ("b", "2"), ("expand[]", "")]).unwrap();
    assert_eq!(made.target(), "/v1/x?a=1&b=%C3%A4%20%26%3D%2B%23&b=2&expand%5B%5D=");
    let pairs = [("a", "1"), ("b", "ä &=+#"), ("b", "2"), ("expand[]", "")];
    assert_eq!(made.query(), pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(request("/x", &[("a", "1")]).unwrap().target(), "/v1/x?a=1");
    assert_eq!(request("/x?", &[("a", "1")]).unwrap().target(), "/v1/x?a=1");
    for (path, query) in
        [("/x?a=1", ("a", "2")), ("/x?%61", ("a", "")), ("/x", ("", "1")), ("/x", ("a\0", "1"))]
    {
        assert!(request(path, &[query]).is_err(), "{path} {query:?}");
    }
    assert!(request("/x", &[("a", &"é".repeat(4000))]).is_err(), "longer than 16 KiB");
}

// RX-07
#[test]
fn a_name_that_is_encoded_a_million_times_over_is_read_in_one_pass() {
    let mut service = service();
    service.slots.query = vec!["key".into()];
    service.grammar.method_override = true;
    service.limits.request_bytes = 10 << 20;
    let nested = |letter: &str| format!("%{}{letter}ey", "25".repeat(1_000_000));
    let post = |query: Vec<(String, String)>, body: String| {
        let (method, path) = ("POST".into(), "/x".into());
        let raw = RawRequest { method, path, query, body: body.into(), ..Default::default() };
        canonicalize(&service, raw)
    };
    assert!(post(vec![(nested("6B"), String::new())], String::new()).is_err());
    assert!(post(Vec::new(), nested("6B")).is_ok());
    let form = format!("%{}5Fmethod=DELETE", "25".repeat(1_000_000));
    assert!(post(Vec::new(), form).is_err());

    let twice = [("%256Bey", true), ("%25256bEY", true), ("%%36%42ey", true), ("%256Aey", false)];
    for (name, reserved) in twice {
        let refused = post(vec![(name.into(), String::new())], String::new()).is_err();
        assert_eq!(refused, reserved, "{name}");
    }
}

// RX-07
#[test]
fn a_query_of_a_million_parameters_is_refused_before_any_of_them_is_looked_at() {
    let path = format!("/x?{}", "a&".repeat(4000));
    let query = (0..1_000_000).map(|n| (format!("b{n}"), String::new())).collect();
    let raw = RawRequest { method: "GET".into(), path, query, ..Default::default() };
    assert!(canonicalize(&service(), raw).is_err());
}

#[test]
fn a_query_has_the_byte_rules_of_a_path() {
    refused(
        &service(),
        &[
            "/x?a=é",
            "/x?a=%zz",
            "/x?a=%00",
            "/x?a=%0a",
            "/x?a b",
            "/x?a=\\",
            "/x?%ff",
            "/x?a=\"b\"",
        ],
    );
    read_as(
        &service(),
        &[
            ("/x?", "/v1/x?"),
            ("/x?expand[]=a&b=/?:@", "/v1/x?expand%5B%5D=a&b=/?:@"),
            ("/x?q=%61%2fb+c%C3%A9", "/v1/x?q=a%2Fb+c%C3%A9"),
        ],
    );
}

// HI-01, HI-02, HI-04, HI-05, HI-06, HI-07, HI-08, HI-09
#[test]
fn only_listed_headers_go_through_and_the_others_are_named() {
    let mut service = service();
    service.slots.headers = vec!["x-api-key".into()];
    service.fixed_headers = vec![("accept-version".into(), "1".into())];
    service.request_headers = ["x-trace", "authorization", "x-api-key", "range", "host", "x-hop"]
        .map(str::to_owned)
        .to_vec();
    let dropped = [
        ("Authorization", "Bearer x"),
        ("authorization", "Bearer y"),
        ("Host", "evil.test"),
        ("X-Forwarded-Host", "evil.test"),
        ("Forwarded", "for=evil"),
        ("X-Host", "evil.test"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "5, 5"),
        ("TE", "trailers"),
        ("Trailer", "Authorization"),
        ("Connection", "X-Api-Key, X-Hop"),
        ("X-Hop", "1"),
        ("Proxy-Connection", "close"),
        ("Keep-Alive", "1"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "x"),
        ("Cookie", "session=x"),
        ("Proxy-Authorization", "Basic x"),
        ("X-Api-Key", "x"),
        ("Accept-Encoding", "gzip, zstd"),
        ("Accept-Version", "2"),
        ("Range", "bytes=0-9"),
        ("If-Range", "x"),
        ("Expect", "100-continue"),
        ("Prefer", "respond-async"),
        ("X-Broker-Agent-Id", "admin"),
        ("X-Request-Id", "1"),
    ];
    let sent = [
        ("accept", "application/json"),
        ("accept-language", "en"),
        ("content-type", "application/json; charset=utf-8"),
        ("if-none-match", "\"x\""),
        ("idempotency-key", "1"),
        ("x-trace", "1"),
    ];
    let all: Vec<_> = dropped.iter().chain(&sent).copied().collect();
    let request = headers_of(&service, &all).unwrap();
    assert_eq!(request.headers(), sent.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let mut names: Vec<String> = dropped.map(|(name, _)| name.to_ascii_lowercase()).to_vec();
    names.dedup();
    assert_eq!(request.dropped_headers(), names);

    service.grammar.range = true;
    let request = headers_of(&service, &[("Range", "bytes=0-9"), ("If-Range", "x")]).unwrap();
    assert_eq!(request.headers().len(), 2);
}

// HI-01, HI-07, HI-09, HI-10, HI-11
#[test]
fn a_header_that_is_none_refuses_the_whole_request() {
    let long = "x".repeat(70_000);
    for (name, value) in [
        ("", "x"),
        ("a b", "x"),
        ("a b:", "x"),
        (":authority", "x"),
        ("AUTHORIZATION ", "x"),
        ("X-Api-Key ", "x"),
        ("x_api_key", "x"),
        ("é", "x"),
        ("x-a", "a\r\nb: c"),
        ("x-a", "a\r\n folded"),
        ("x-a", "a\0"),
        ("x-a", "\"\n{}\""),
        ("x-a", "é"),
        ("accept", " x"),
        ("x-a", &long),
        ("content-type", "multipart/form-data; boundary=\"\r\n\""),
        ("content-type", "json"),
        ("content-type", "a/b; c"),
        ("content-type", "a/b; c=\"d"),
        ("content-type", "a/b, c/d"),
        ("content-type", ""),
    ] {
        assert!(headers_of(&service(), &[(name, value)]).is_err(), "{name:?}: {value:?}");
    }
    assert!(headers_of(&service(), &[("Accept", "a/b"), ("accept", "c/d")]).is_err());
    assert!(headers_of(&service(), &[("x-a", "1"); 101]).is_err());
    assert!(headers_of(&service(), &[("x-a", "1"); 100]).is_ok());
    for good in [
        "a/b",
        "application/vnd.api+json;a=b",
        "multipart/form-data; boundary=\"a \\\" b\"; charset=utf-8",
        "text/plain;",
    ] {
        let request = headers_of(&service(), &[("Content-Type", good)]).unwrap();
        assert_eq!(request.headers()[0].1, good);
    }
}

// HI-05, HI-07, RD-08
#[test]
fn no_configuration_lets_framing_routing_or_authentication_through() {
    for never in [
        "host",
        "authorization",
        "proxy-authorization",
        "cookie",
        "content-length",
        "transfer-encoding",
        "x-forwarded-for",
        "x-http-method-override",
        "accept-encoding",
        "referer",
        "te",
        "range",
        "X-Foo",
        "x_foo",
        "",
    ] {
        assert!(!may_be_allowed(never), "{never}");
    }
    for fine in ["x-foo", "accept", "openai-organization", "prefer", "notion-version"] {
        assert!(may_be_allowed(fine), "{fine}");
    }
}

#[test]
fn bodies_are_capped_and_belong_to_methods_that_have_one() {
    let mut small = service();
    small.limits = Limits { request_bytes: 3, ..Limits::default() };
    let request = |method: &str, body: &str| {
        let raw = RawRequest {
            method: method.into(),
            path: "/x".into(),
            body: body.into(),
            ..RawRequest::default()
        };
        canonicalize(&small, raw).is_ok()
    };
    assert!(request("POST", "abc"));
    assert!(!request("POST", "abcd"));
    assert!(!request("GET", "a"));
    assert!(!request("HEAD", "a"));
    assert!(request("GET", ""));
}

// RX-07
#[test]
fn a_path_is_at_most_8_kib() {
    assert!(path_of(&service(), &format!("/{}", "a".repeat(8191))).is_ok());
    refused(&service(), &[&format!("/{}", "a".repeat(8192)), &"/a".repeat(40_000)]);
}

// RD-02, RD-03
#[test]
fn a_redirect_stays_at_its_origin_below_the_base_path_and_in_the_usual_spelling() {
    let service = service();
    let first = headers_of(&service, &[("Accept", "a/b"), ("If-Match", "x")]).unwrap();
    let go = |location: &str| first.redirected(&service, Method::Get, location.as_bytes());

    for (location, target) in [
        ("/v1/new?a=1", "/v1/new?a=1"),
        ("https://api.test:8443/v1/new", "/v1/new"),
        ("/v1/%6eew", "/v1/new"),
    ] {
        let next = go(location).unwrap();
        assert_eq!(next.target(), target);
        assert_eq!(next.headers(), [("accept".to_owned(), "a/b".to_owned())]);
        assert_eq!(next.body(), b"");
    }
    assert_eq!(go("/v1/admin").unwrap().path(), "/admin", "and the policy judges it again");

    for location in [
        "https://evil.test/v1/x",
        "http://api.test:8443/v1/x",
        "https://api.test/v1/x",
        "https://api.test:84430/v1/x",
        "https://api.test:8443.evil.test/v1/x",
        "https://api.test.:8443/v1/x",
        "https://API.TEST:8443/v1/x",
        "https://u:p@api.test:8443/v1/x",
        "https://api.test:8443@evil.test/v1/x",
        "//evil.test",
        "//api.test:8443/v1/x",
        "https:/\\evil.test",
        "/\\evil.test",
        "data:text/plain,x",
        "file:///etc/passwd",
        "https://api.test:8443",
        "https://api.test:8443//v1/x",
        "/v2/x",
        "/v1",
        "/v1admin",
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/v1//x",
        "/v1/x#y",
        "v1/x",
        "../x",
        "?x",
        "",
        " /v1/x",
    ] {
        assert_eq!(go(location).unwrap_err().code, Code::RedirectDenied, "{location:?}");
    }
    assert!(first.redirected(&service, Method::Get, b"/v1/\xff").is_err());
    assert!(first.redirected(&service, Method::Post, b"/v1/x").is_err());
}

#[test]
fn no_refusal_quotes_what_was_sent() {
    for path in ["canary", "/canary//", "/canary\0", "/canary/..", "/x?canary=%zz", "/canary#"] {
        let raw = RawRequest { method: "GET".into(), path: path.into(), ..Default::default() };
        assert!(!format!("{:?}", canonicalize(&service(), raw).unwrap_err()).contains("canary"));
    }
    for header in [("canary_x", "1"), ("x", "canary\n"), ("content-type", "canary")] {
        let refusal = headers_of(&service(), &[header]).unwrap_err();
        assert!(!format!("{refusal:?}").contains("canary"));
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn spiced() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[a-z/.]{0,4}",
            2 => "%[0-9a-fA-F]{2}",
            1 => "(%25){1,3}(2e|2F|5c|41|)",
            1 => "[;?&=%#\\\\\\[\\]+ :@]",
            1 => any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    fn grammar() -> impl Strategy<Value = Grammar> {
        any::<(bool, bool)>().prop_map(|(encoded_slash, path_params)| Grammar {
            encoded_slash,
            path_params,
            ..Grammar::default()
        })
    }

    proptest! {
        #[test]
        fn the_canonical_target_is_a_fixed_point(path in spiced(), grammar in grammar()) {
            let mut service = service();
            service.grammar = grammar;
            if let Ok(target) = path_of(&service, &path) {
                let again = target.strip_prefix("/v1").unwrap();
                prop_assert_eq!(path_of(&service, again), Ok(target.clone()));
            }
        }

        #[test]
        fn what_comes_out_holds_nothing_that_is_refused(path in spiced()) {
            let raw = RawRequest { method: "GET".into(), path, ..RawRequest::default() };
            if let Ok(request) = canonicalize(&service(), raw) {
                let target = request.target();
                prop_assert!(target.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(!target.contains(['\\', '#', '<', '>', '"', '[', ']']));
                let path = request.path();
                prop_assert!(target.starts_with(&format!("/v1{path}")), "judged is sent");
                // However often an upstream decodes, it never sees a dot segment.
                let mut seen = path.to_owned();
                for _ in 0..5 {
                    prop_assert!(!seen.split(['/', '\\']).any(|part| matches!(part, "." | "..")));
                    prop_assert!(!seen.contains("//"));
                    seen = String::from_utf8_lossy(&path::decode(&seen)).into_owned();
                }
            }
        }

        #[test]
        fn headers_that_come_out_are_listed_and_clean(
            headers in prop::collection::vec(("[A-Za-z-]{1,12}|accept-[a-z]{1,9}|host|te", ".{0,9}"), 0..6),
        ) {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            if let Ok(request) = headers_of(&service(), &headers) {
                for (name, value) in request.headers() {
                    prop_assert!(may_be_allowed(name));
                    prop_assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
                }
            }
        }
    }
}
