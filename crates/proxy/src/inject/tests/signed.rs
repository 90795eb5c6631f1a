//! Known answers of the schemes that sign. The signatures were computed with Python's `hmac`.

use http::header::{AUTHORIZATION, CONTENT_TYPE};

use super::*;

const KEYS: [(&str, &str); 3] =
    [("key", "canary-key"), ("secret", "canary-signing-secret"), ("passphrase", "canary-phrase")];

fn post(target: &str, kind: &'static str, body: &'static str) -> Outgoing {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Outgoing::new(Method::POST, target, headers, Bytes::from_static(body.as_bytes()))
}

fn get(target: &str) -> Outgoing {
    Outgoing::new(Method::GET, target, HeaderMap::new(), Bytes::new())
}

/// The target, and the values of `names` behind each other.
fn sent(auth: &Auth, outgoing: Outgoing, names: &[&str]) -> (String, String) {
    let (target, headers) = inject_into(auth, &KEYS, outgoing).unwrap();
    let values: Vec<&str> = names.iter().map(|name| headers[*name].to_str().unwrap()).collect();
    (target, values.join(" "))
}

#[test]
fn bybit_gets_time_key_window_and_query_or_body_signed() {
    let auth = |settings: &[(&str, &str)]| {
        auth("hmac", &["key", "secret"], &[&[("preset", "bybit")], settings].concat())
    };
    let names = ["x-bapi-api-key", "x-bapi-timestamp", "x-bapi-recv-window", "x-bapi-sign"];
    for (settings, outgoing, values) in [
        (
            &[][..],
            get("/v5/order/realtime?category=option&symbol=BTC-29JUL22"),
            "canary-key 1773570225123 5000 \
             5d14ab246abd0ac6ef12955b4ec63a70b567bec5dc9aff42b040606de16571e5",
        ),
        (
            &[],
            post("/v5/order/create", "application/json", r#"{"category":"option"}"#),
            "canary-key 1773570225123 5000 \
             f8a6b6a6fe00671c4d195c29751af092e075d3e874b3beaab203536a36def4d7",
        ),
        (
            &[("recv_window", "20000")],
            get("/v5/user/query-api"),
            "canary-key 1773570225123 20000 \
             fb34d503d351093c095075df2932faff9c9715d4f6b6e8b345e3dd95eb29c503",
        ),
    ] {
        let target = String::from_utf8(outgoing.target.to_vec()).unwrap();
        assert_eq!(sent(&auth(settings), outgoing, &names), (target, values.to_owned()));
    }
}

#[test]
fn okx_gets_time_method_target_and_body_signed() {
    let auth = auth("hmac", &["key", "secret", "passphrase"], &[("preset", "okx")]);
    let names = ["ok-access-key", "ok-access-passphrase", "ok-access-timestamp", "ok-access-sign"];
    let balance = get("/api/v5/account/balance?ccy=BTC");
    let order = post("/api/v5/trade/order", "application/json", r#"{"instId":"BTC-USDT"}"#);
    for (outgoing, signature) in [
        (balance, "SzQ/8vGVML9QUijFAfPKY7n35X4tdy5k1xb2t27fJpM="),
        (order, "8FWIjPwCe5MRxz6iboDUTy+2o1C5bOAdGG6gxYRAA3w="),
    ] {
        let (_, values) = sent(&auth, outgoing, &names);
        let expected = format!("canary-key canary-phrase 2026-03-15T10:23:45.123Z {signature}");
        assert_eq!(values, expected);
    }
}

#[test]
fn mexc_gets_query_and_body_signed_with_the_time_in_the_query() {
    let auth = auth("hmac", &["key", "secret"], &[("preset", "mexc")]);
    let form = "application/x-www-form-urlencoded";
    for (outgoing, target) in [
        (
            get("/api/v3/openOrders?symbol=BTCUSDT"),
            "/api/v3/openOrders?symbol=BTCUSDT&timestamp=1773570225123&signature=\
             b3bdfdbce8cd86f04f7bc6e1f8c41400ffbb1c4b0e6a09445e83ec1057d046b7",
        ),
        (
            get("/api/v3/account"),
            "/api/v3/account?timestamp=1773570225123&signature=\
             a979170cebe4d23128c2ed2ec409cc1660eb5908b61d4646f0e159fadf45c9a8",
        ),
        (
            post("/api/v3/order?symbol=BTCUSDT", form, "quantity=1&price=11"),
            "/api/v3/order?symbol=BTCUSDT&timestamp=1773570225123&signature=\
             6357d4fff1737ad7c6e2bf26826d6b36f768236508891db90237b9d8dd99f356",
        ),
    ] {
        let expected = (target.to_owned(), "canary-key".to_owned());
        assert_eq!(sent(&auth, outgoing, &["x-mexc-apikey"]), expected);
    }
}

#[test]
fn a_service_can_lay_down_its_own_text() {
    let own = auth(
        "hmac",
        &["secret"],
        &[
            ("algorithm", "sha512"),
            ("encoding", "base64"),
            ("sign", "{method}\n{path}\n{timestamp}\n{nonce}\n{body}"),
            ("timestamp", "s"),
            ("timestamp_header", "X-Time"),
            ("nonce_header", "X-Nonce"),
            ("signature_header", "Authorization"),
        ],
    );
    let names = ["x-time", "x-nonce", "authorization"];
    let (_, values) = sent(&own, post("/v1/x?a=1", "text/plain", "hi"), &names);
    assert_eq!(
        values,
        "1773570225 abababababababababababababababab \
         YLqyW7cHmqPbRPB65ddPa96/RZMJbdjwIhnXfw1YMNWN7tXXQLgfhB2h0dbEmdmtLyGy3//2diy6lWoQxdzfKA=="
    );
    let old = auth(
        "hmac",
        &["secret"],
        &[
            ("algorithm", "sha1"),
            ("sign", "v0:{timestamp}:{body}"),
            ("timestamp", "s"),
            ("timestamp_query", "t"),
            ("signature_query", "s"),
        ],
    );
    let (target, _) = sent(&old, post("/v1/x", "text/plain", "hi"), &[]);
    assert_eq!(target, "/v1/x?t=1773570225&s=a0469e5e9e2abe35ef97c882a85b5f559ba3b121");
}

#[test]
fn what_a_scheme_fills_the_agent_may_not_send() {
    let mexc = auth("hmac", &["key", "secret"], &[("preset", "mexc")]);
    let slots_of = |auth: &Auth| slots(auth).unwrap();
    assert_eq!(slots_of(&mexc).headers, ["x-mexc-apikey"]);
    assert_eq!(slots_of(&mexc).query, ["timestamp", "signature"]);
    let okx = auth("hmac", &["key", "secret", "passphrase"], &[("preset", "okx")]);
    let names = ["ok-access-key", "ok-access-passphrase", "ok-access-timestamp", "ok-access-sign"];
    assert_eq!(slots_of(&okx).headers, names);
    let oauth = slots_of(&auth("oauth1a", &["consumer_key", "consumer_secret"], &[]));
    assert_eq!(oauth.headers, ["authorization"]);
    assert!(oauth.query.contains(&"oauth_signature".to_owned()));
}

#[test]
fn what_cannot_be_signed_is_an_error_that_says_why() {
    const HEADER: (&str, &str) = ("signature_header", "X-Sign");
    let both = ["key", "secret"];
    for (secrets, settings, message) in [
        (&["secret"][..], &[HEADER][..], "auth type `hmac` needs `sign`"),
        (&["key"], &[("sign", "{key}"), HEADER], "auth type `hmac` needs `secret`"),
        (&["secret"], &[("sign", "{key}"), HEADER], "auth type `hmac` needs `key`"),
        (
            &["secret"],
            &[("sign", "{path}")],
            "auth type `hmac` needs `signature_header` or `signature_query`",
        ),
        (
            &["secret"],
            &[("sign", "{timestamp}"), HEADER],
            "auth type `hmac` needs `timestamp_header` or `timestamp_query`",
        ),
        (
            &["secret"],
            &[("sign", "{nonce}"), HEADER],
            "auth type `hmac` needs `nonce_header` or `nonce_query`",
        ),
        (&["secret"], &[("sign", "{recv_window}"), HEADER], "auth type `hmac` needs `recv_window`"),
        (&["secret"], &[("preset", "bybit")], "auth type `hmac` needs `key`"),
        (&both, &[("preset", "okx")], "auth type `hmac` needs `passphrase`"),
        (
            &both,
            &[("preset", "canary")],
            "`preset` of auth type `hmac` is not one of `bybit`, `okx`, `mexc`",
        ),
        (
            &both,
            &[("preset", "mexc"), ("sign", "{body}")],
            "`sign` of auth type `hmac` stands beside `preset`, which lays it down",
        ),
        (
            &["key", "secret", "passphrase"],
            &[("preset", "mexc")],
            "`passphrase` of auth type `hmac` is neither signed nor sent",
        ),
        (
            &["secret"],
            &[("sign", "canary"), HEADER],
            "`sign` of auth type `hmac` has no part of the request in it",
        ),
        (
            &["secret"],
            &[("sign", "{canary}"), HEADER],
            "`sign` of auth type `hmac` has a part that is not one of {method}, {path}, {query}, \
             {target}, {body}, {payload}, {timestamp}, {nonce}, {key}, {recv_window}",
        ),
        (
            &["secret"],
            &[("sign", "{path}}"), HEADER],
            "`sign` of auth type `hmac` has a brace without its counterpart",
        ),
        (
            &["secret"],
            &[("sign", "{path}"), HEADER, ("timestamp_header", "x-sign")],
            "`signature_header` of auth type `hmac` names what another one names",
        ),
        (
            &["secret"],
            &[("sign", "{path}"), HEADER, ("signature_query", "s")],
            "`signature_query` of auth type `hmac` stands beside that of a header: one is enough",
        ),
        (
            &["secret"],
            &[("sign", "{path}"), ("signature_header", "Host")],
            "`signature_header` of auth type `hmac` frames or routes the request and cannot carry \
             a credential",
        ),
        (
            &["secret"],
            &[("sign", "{path}"), HEADER, ("algorithm", "md5")],
            "`algorithm` of auth type `hmac` is not one of `sha256`, `sha512`, `sha1`",
        ),
        (
            &["secret"],
            &[("sign", "{recv_window}"), HEADER, ("recv_window", "canary")],
            "`recv_window` of auth type `hmac` is not a number of milliseconds",
        ),
    ] {
        let error = slots(&auth("hmac", secrets, settings)).unwrap_err().to_string();
        assert_eq!(error, message);
    }
}

const OAUTH: [(&str, &str); 4] = [
    ("consumer_key", "canary-ck"),
    ("consumer_secret", "canary-cs&"),
    ("token", "canary-t"),
    ("token_secret", "canary-ts"),
];

#[test]
fn oauth_1_signs_query_and_form_and_leaves_other_bodies_alone() {
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    let whole = auth("oauth1a", &OAUTH.map(|(name, _)| name), &[("realm", "Photos")]);
    let outgoing = post("/v1/x?a=1&b=x%20y", form, "b=&status=Hello+Ladies%20%2b+Gentlemen");
    let (target, headers) = inject_into(&whole, &OAUTH, outgoing).unwrap();
    assert_eq!(target, "/v1/x?a=1&b=x%20y");
    assert_eq!(
        headers[AUTHORIZATION],
        "OAuth realm=\"Photos\", oauth_consumer_key=\"canary-ck\", \
         oauth_nonce=\"abababababababababababababababab\", oauth_signature_method=\"HMAC-SHA1\", \
         oauth_timestamp=\"1773570225\", oauth_version=\"1.0\", oauth_token=\"canary-t\", \
         oauth_signature=\"FhiR2gk01qEiiHTvC9yB4iiPggo%3D\""
    );
    assert!(headers[AUTHORIZATION].is_sensitive());
    let two_legged = auth("oauth1a", &["consumer_key", "consumer_secret"], &[]);
    let outgoing = post("/v1/x?a=1", "application/json", "b=&oauth_token=x");
    let (_, headers) = inject_into(&two_legged, &OAUTH, outgoing).unwrap();
    let value = headers[AUTHORIZATION].to_str().unwrap();
    assert!(value.starts_with("OAuth oauth_consumer_key="), "{value}");
    assert!(value.ends_with("oauth_signature=\"ru5eJhXT3j%2BZP9YO1VUclTZSEj8%3D\""), "{value}");
    assert!(!value.contains("oauth_token"), "{value}");
}

#[test]
fn a_form_cannot_bring_its_own_parameters_of_oauth() {
    let whole = auth("oauth1a", &OAUTH.map(|(name, _)| name), &[]);
    for body in ["a=1&oauth_token=x", "oauth%5Ftoken=x", "OAUTH_signature[]=x"] {
        let outgoing = post("/v1/x", "Application/X-WWW-Form-URLencoded", body);
        let refusal = inject_into(&whole, &OAUTH, outgoing).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidRequest, "{body}");
    }
}

#[test]
fn half_a_credential_of_oauth_1_is_an_error() {
    for (secrets, message) in [
        (&["consumer_secret"][..], "auth type `oauth1a` needs `consumer_key`"),
        (&["consumer_key"], "auth type `oauth1a` needs `consumer_secret`"),
        (
            &["consumer_key", "consumer_secret", "token"],
            "auth type `oauth1a` needs `token_secret` beside `token`",
        ),
        (
            &["consumer_key", "consumer_secret", "token_secret"],
            "auth type `oauth1a` needs `token` beside `token_secret`",
        ),
    ] {
        assert_eq!(slots(&auth("oauth1a", secrets, &[])).unwrap_err().to_string(), message);
    }
    let realm = [("realm", "a\"b")];
    let quoted = auth("oauth1a", &["consumer_key", "consumer_secret"], &realm);
    assert!(slots(&quoted).unwrap_err().to_string().contains("`realm` of auth type `oauth1a`"));
}

const AWS: [(&str, &str); 3] = [
    ("access_key_id", "AKIDCANARY"),
    ("secret_access_key", "canary-secret-access-key"),
    ("session_token", "canary-session-token/+="),
];

fn aws(service: &str, secrets: &[&str]) -> Auth {
    auth("aws-sigv4", secrets, &[("region", "eu-central-1"), ("service", service)])
}

fn aws_request(
    method: Method,
    target: &str,
    own: &[(&'static str, &'static str)],
    body: &'static str,
) -> Outgoing {
    let mut headers = HeaderMap::new();
    for (name, value) in own {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    for (name, value) in [("host", "api.test"), ("user-agent", "x/1"), ("accept-encoding", "gzip")]
    {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Outgoing::new(method, target, headers, Bytes::from_static(body.as_bytes()))
}

// The signatures are those of botocore, AWS's own library for Python.
#[test]
fn aws_requests_are_signed_as_awss_own_library_signs_them() {
    let keys = ["access_key_id", "secret_access_key"];
    let target = ("x-amz-target", "AmazonSQS.SendMessage");
    for (auth, outgoing, scope, signed) in [
        (
            aws("sqs", &keys),
            aws_request(
                Method::POST,
                "/v1/x",
                &[("content-type", "application/x-amz-json-1.0"), target],
                r#"{"QueueUrl":"q"}"#,
            ),
            "sqs",
            "content-type;host;x-amz-date;x-amz-target, \
             Signature=ef912c90330441e6abdafa70997bd85918ea8fd3f601f29a7f23b3aec89e7726",
        ),
        (
            aws("execute-api", &AWS.map(|(name, _)| name)),
            aws_request(Method::GET, "/v1/a%20b%2Fc?b=x%20y&a=%2F&a=", &[], ""),
            "execute-api",
            "host;x-amz-date;x-amz-security-token, \
             Signature=d69f6f1f0124fc3f3b171556ffbb6535eb4bc9b62f785d75606a7c00d2245fe9",
        ),
        (
            aws("s3", &keys),
            aws_request(
                Method::PUT,
                "/v1/a%20b?x-id=PutObject",
                &[("content-type", "text/plain")],
                "hi",
            ),
            "s3",
            "content-type;host;x-amz-content-sha256;x-amz-date, \
             Signature=beabdb533e2e71f189f747ddd00fc6b77069868f693d930ff9d7b8ee851301e5",
        ),
    ] {
        let before = String::from_utf8(outgoing.target.to_vec()).unwrap();
        let (after, headers) = inject_into(&auth, &AWS, outgoing).unwrap();
        assert_eq!(before, after);
        assert_eq!(headers["x-amz-date"], "20260315T102345Z");
        assert_eq!(
            headers[AUTHORIZATION].to_str().unwrap(),
            format!(
                "AWS4-HMAC-SHA256 Credential=AKIDCANARY/20260315/eu-central-1/{scope}/aws4_request, \
                 SignedHeaders={signed}"
            )
        );
        let token = headers.get("x-amz-security-token").map(HeaderValue::as_bytes);
        assert_eq!(token.is_some(), scope == "execute-api");
        let hash = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
        let payload = headers.get("x-amz-content-sha256").map(|value| value.to_str().unwrap());
        assert_eq!(payload, (scope == "s3").then_some(hash));
    }
}

#[test]
fn a_file_that_is_streamed_goes_to_s3_without_its_hash_where_the_service_says_so() {
    let keys = ["access_key_id", "secret_access_key"];
    let mut auth = aws("s3", &keys);
    assert!(scheme("aws-sigv4").unwrap().reads_body(&auth));
    auth.settings.insert("large_files".into(), "unsigned".into());
    assert!(!scheme("aws-sigv4").unwrap().reads_body(&auth));
    let own = [("content-type", "text/plain")];
    let put = || aws_request(Method::PUT, "/v1/a%20b?x-id=PutObject", &own, "");
    let (_, headers) = inject_into(&auth, &AWS, put().streamed()).unwrap();
    assert_eq!(headers["x-amz-content-sha256"], "UNSIGNED-PAYLOAD");
    let value = headers[AUTHORIZATION].to_str().unwrap();
    let signature = "Signature=d1d98e92ccad98e323613212ba810d89ecaa8a6071f7c98e33b35dd0a9d74077";
    assert!(value.ends_with(signature), "{value}");
    // What is in memory is hashed all the same.
    let (_, headers) = inject_into(&auth, &AWS, put()).unwrap();
    assert_ne!(headers["x-amz-content-sha256"], "UNSIGNED-PAYLOAD");
    for (service, word) in [("sqs", "unsigned"), ("s3", "signed")] {
        auth.settings.insert("service".into(), service.into());
        auth.settings.insert("large_files".into(), word.into());
        let error = slots(&auth).unwrap_err().to_string();
        assert!(error.ends_with("can be `unsigned` with S3, and nothing else"), "{error}");
    }
}

#[test]
fn an_aws_credential_without_its_scope_is_an_error() {
    let keys = ["access_key_id", "secret_access_key"];
    for (secrets, settings, message) in [
        (&keys[..1], &[][..], "auth type `aws-sigv4` needs `secret_access_key`"),
        (&keys[1..], &[], "auth type `aws-sigv4` needs `access_key_id`"),
        (&keys, &[("service", "s3")], "auth type `aws-sigv4` needs `region`"),
        (&keys, &[("region", "eu-central-1")], "auth type `aws-sigv4` needs `service`"),
        (
            &keys,
            &[("region", "eu/canary"), ("service", "s3")],
            "`region` of auth type `aws-sigv4` is not lower-case letters, digits and `-`, as in \
             `eu-central-1`",
        ),
    ] {
        let error = slots(&auth("aws-sigv4", secrets, settings)).unwrap_err().to_string();
        assert_eq!(error, message);
    }
    let slots = slots(&aws("s3", &keys)).unwrap();
    for name in ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "authorization"] {
        assert!(slots.headers.contains(&name.to_owned()), "{name}");
    }
    assert!(slots.query.contains(&"X-Amz-Signature".to_owned()));
}
