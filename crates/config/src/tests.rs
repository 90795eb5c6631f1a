use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::*;

const GOOD: &str = r#"
headless = true
calls_at_once = 8

[machine_key]
source = "file"

[services.github]
base_url = "https://API.GitHub.com./v3/"
auth = { type = "bearer", token = "local://github/token" }
headers = { "Accept" = "application/json" }
allow = ["GET /**", "HEAD /**"]
deny = ["* /user/keys/**"]
policies = [{ path = "/gists", methods = ["POST"] }]
redact_fields = ["access_token"]
allow_ips = ["127.0.0.1/32"]
principals = ["claude-code"]
limits = { response_bytes = "2MiB", total = "500ms", calls_per_minute = 60 }
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse_with("strongroom.toml", text, &|_| Err(ErrorKind::NotFound.into()))
}

/// A service with a line more.
fn with(line: &str) -> String {
    format!(
        "[services.x]\nbase_url = \"https://x.example\"\n\
         auth = {{ type = \"bearer\", token = \"local://x/token\" }}\n{line}\n"
    )
}

#[test]
fn a_service_is_read_as_it_stands() {
    let config = parse(GOOD).unwrap();
    assert!(config.headless);
    assert_eq!(config.calls_at_once, 8);
    let service = config.service("github").unwrap();
    assert_eq!(service.origin.to_string(), "https://api.github.com");
    assert_eq!(service.base_path, "/v3");
    assert_eq!(service.auth.secrets["token"].as_str(), "local://github/token");
    assert_eq!(service.slots.headers, ["authorization"]);
    assert_eq!(service.fixed_headers, [("accept".to_owned(), "application/json".to_owned())]);
    assert_eq!(service.policy.rules().len(), 4);
    assert_eq!(service.redact_fields, ["access_token"]);
    assert_eq!(service.limits.response_bytes, 2 << 20);
    assert_eq!(service.limits.total_ms, 500);
    assert_eq!(service.principals, Some(vec!["claude-code".parse().unwrap()]));
}

#[test]
fn what_is_not_said_is_the_default() {
    let config = parse(&with("")).unwrap();
    assert_eq!(config.calls_at_once, 64);
    let limits = config.service("x").unwrap().limits;
    assert_eq!((limits.request_bytes, limits.response_bytes), (10 << 20, 10 << 20));
    assert_eq!(
        (limits.connect_ms, limits.first_byte_ms, limits.total_ms),
        (5_000, 30_000, 120_000)
    );
    assert_eq!(limits.calls_per_minute, 600);
    assert!(!config.headless && config.service("x").unwrap().policy.rules().is_empty());
    for bad in ["0", "10001", "-1", "\"many\""] {
        assert!(parse(&format!("calls_at_once = {bad}\n")).is_err(), "{bad}");
    }
}

#[test]
fn the_schemes_that_sign_are_read_with_their_settings() {
    let auth = |words: &str| {
        let text =
            format!("[services.x]\nbase_url = \"https://x.example\"\nauth = {{ {words} }}\n");
        parse(&text).map(|config| config.service("x").unwrap().auth.clone())
    };
    let keys = "key = \"local://x/k\", secret = \"local://x/s\"";
    let bybit = auth(&format!("type = \"hmac\", preset = \"bybit\", {keys}")).unwrap();
    assert_eq!((bybit.secrets.len(), &*bybit.settings["preset"]), (2, "bybit"));
    let aws = "type = \"aws-sigv4\", access_key_id = \"local://x/a\", \
               secret_access_key = \"local://x/s\", service = \"s3\"";
    assert!(auth(&format!("{aws}, region = \"eu-central-1\"")).is_ok());
    for (words, message) in [
        (format!("type = \"hmac\", {keys}"), "auth type `hmac` needs `sign`"),
        (
            format!("type = \"hmac\", preset = \"canary\", {keys}"),
            "`preset` of auth type `hmac` is not one of `bybit`, `okx`, `mexc`",
        ),
        (aws.to_owned(), "auth type `aws-sigv4` needs `region`"),
        (
            "type = \"mtls\", certificate = \"local://x/c\"".to_owned(),
            "auth type `mtls` needs `key`",
        ),
        (
            "type = \"oauth1a\", consumer_key = \"local://x/k\"".to_owned(),
            "auth type `oauth1a` needs `consumer_secret`",
        ),
    ] {
        assert_eq!(auth(&words).unwrap_err().problem, message);
    }
    let mtls = "type = \"mtls\", certificate = \"local://x/c\", key = \"local://x/k\"";
    assert!(auth(mtls).is_ok());
    let plain = format!(
        "[services.x]\nbase_url = \"http://x.example\"\ninsecure_transport = true\n\
         auth = {{ {mtls} }}\n"
    );
    let problem = parse(&plain).unwrap_err().problem;
    assert!(problem.contains("plain http has no place"), "{problem}");
}

#[test]
fn a_minted_field_is_redacted_or_sealed_and_handles_need_something_sealed() {
    let first = |text: &str| Arc::clone(parse(text).unwrap().services.values().next().unwrap());
    let both = first(&with(
        "redact_fields = [\"pem\"]\nseal_fields = [\"token\"]\nunseal_fields = [\"X-Session\"]",
    ));
    assert_eq!(
        (&*both.seal_fields, &*both.unseal_fields),
        (&["token".into()][..], &["X-Session".into()][..])
    );
    for (name, expected) in [("TOKEN", true), ("x-session", true), ("pem", false), ("", false)] {
        assert_eq!(both.unseals(name), expected, "{name}");
    }
    for (lines, message) in [
        (
            "redact_fields = [\"a\", \"Token\"]\nseal_fields = [\"token\"]",
            "`seal_fields` has a name that stands in `redact_fields` too",
        ),
        (
            "unseal_fields = [\"token\"]",
            "`unseal_fields` without `seal_fields`: there are no handles to swap",
        ),
        ("seal_fields = [\"\"]", "`seal_fields` has a name that is empty or too long"),
    ] {
        assert_eq!(parse(&with(lines)).unwrap_err().problem, message);
    }
}

#[test]
fn what_streams_and_goes_through_files_has_limits_of_its_own() {
    let first = |text: &str| Arc::clone(parse(text).unwrap().services.values().next().unwrap());
    let usual = first(&with("")).limits;
    assert_eq!((usual.upload_bytes, usual.file_bytes), (None, 1 << 30));
    assert_eq!((usual.events, usual.idle_ms), (1000, 30_000));
    let said = first(&with(
        "limits = { upload_bytes = \"2GiB\", file_bytes = \"1TiB\", events = 5, idle = \"5s\" }",
    ));
    assert_eq!((said.limits.upload_bytes, said.limits.file_bytes), (Some(2 << 30), 1 << 40));
    assert_eq!((said.limits.events, said.limits.idle_ms), (5, 5_000));
    for (http, expected) in [("", true), ("http = \"auto\"", true), ("http = \"1.1\"", false)] {
        assert_eq!(first(&with(http)).http2, expected, "{http}");
    }
    for bad in [
        "http = \"3\"",
        "limits = { upload_bytes = \"2TiB\" }",
        "limits = { file_bytes = 0 }",
        "limits = { events = 0 }",
        "limits = { idle = 5 }",
    ] {
        assert!(parse(&with(bad)).is_err(), "{bad}");
    }
}

#[test]
fn exchange_folders_are_kept_as_the_file_says() {
    let keeping = |text: &str| parse(text).map(|config| (config.files.keep, config.files.bytes));
    assert_eq!(keeping("").unwrap(), (Duration::from_hours(24), 10 << 30));
    let said = keeping("[files]\nkeep = \"2h\"\nbytes = \"100MiB\"\n");
    assert_eq!(said.unwrap(), (Duration::from_hours(2), 100 << 20));
    for bad in ["keep = 5", "keep = \"400d\"", "bytes = \"2TiB\"", "kep = \"2h\""] {
        assert!(keeping(&format!("[files]\n{bad}\n")).is_err(), "{bad}");
    }
}

#[test]
fn the_revision_of_a_service_follows_its_own_words_only() {
    let revision = |text: &str| parse(text).unwrap().services.values().next().unwrap().revision;
    let one = revision(&with(""));
    assert_eq!(one, revision(&format!("# a comment\nheadless = true\n{}", with(""))));
    assert_ne!(one, revision(&with("test_path = \"/me\"")));
}

#[test]
fn a_mistake_is_named_with_its_place_and_a_remedy() {
    let table = [
        ("allw = []", "4:1: unknown key `allw`", "did you mean `allow`?"),
        ("allow = \"GET /\"", "4:9: `allow` is not a list", "write it between `[` and `]`"),
        ("range = \"yes\"", "4:9: `range` is not `true` or `false`", ""),
        (
            "limits = { total = 5 }",
            "4:20: `total` is not a duration of at most an hour",
            "write a number and a unit: `500ms`, `30s`, `2m`",
        ),
        (
            "limits = { request_bytes = \"1\" }",
            "4:28: `request_bytes` is not a size of at most 1 GiB",
            "write a number and a unit: `512KiB`, `10MiB`",
        ),
        (
            "headers = { Authorization = \"x\" }",
            "4:13: `authorization` cannot be a fixed header",
            "a credential belongs in `auth`",
        ),
        ("encoded_slash = \"yes\"", "4:17: `encoded_slash` is not one of `deny`, `segment`", ""),
        ("ca_file = \"/absent.pem\"", "4:11: `ca_file` cannot be read: entity not found", ""),
        ("test_path = \"me\"", "4:13: `test_path` does not start with `/`", ""),
        (
            "i_understand = \"nothing\"",
            "4:16: `i_understand` says something else",
            "write `i_understand = \"allow-all\"`, or remove it",
        ),
    ];
    for (line, problem, hint) in table {
        let error = parse(&with(line)).unwrap_err();
        assert_eq!(error.to_string(), format!("strongroom.toml:{problem}"));
        assert_eq!(error.hint.as_deref().unwrap_or_default(), hint, "{line}");
    }
}

#[test]
fn what_is_missing_is_named() {
    for (text, problem) in [
        ("[services.x]\n", "the service has no `base_url`"),
        ("[services.x]\nbase_url = \"https://x.example\"\n", "the service has no `auth`"),
        ("[services.x]\nbase_url = \"https://x.example\"\nauth = {}\n", "`auth` has no `type`"),
        (
            "[services.x]\nbase_url = \"https://x.example\"\nauth = { type = \"bearer\" }\n",
            "auth type `bearer` needs `token`",
        ),
        (
            "[machine_key]\nsource = \"keychian\"\n",
            "`source` is not one of the places for a machine key",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err().problem, problem);
    }
}

#[test]
fn allowing_everything_must_be_said_twice() {
    let error = parse(&with("allow = [\"* /**\"]")).unwrap_err();
    assert_eq!(error.problem, "a rule allows everything");
    assert!(parse(&with("allow = [\"* /**\"]\ni_understand = \"allow-all\"")).is_ok());
}

#[test]
fn plain_http_must_be_asked_for() {
    let text = with("").replace("https://", "http://");
    assert!(parse(&text).unwrap_err().problem.contains("plain http"));
    assert!(parse(&format!("{text}insecure_transport = true\n")).is_ok());
}

// PB-24, SS-03, SS-07: what `model::base_url` says of it is what the file says.
#[test]
fn a_base_url_has_one_reading() {
    let at = |url: &str| parse(&with("").replace("https://x.example", url));
    let config = at("https://A.example:8443/v1/").unwrap();
    let service = config.service("x").unwrap();
    assert_eq!(service.origin.to_string(), "https://a.example:8443");
    assert_eq!(service.base_path, "/v1");
    for (url, problem) in [
        ("https://u:p@a.example", "`base_url`: it has a user name or a password in it"),
        ("https://a.example:0443", "`base_url`: its port is not a number from 1 to 65535"),
        ("https://127.1", "`base_url`: its host is an address in an unusual spelling"),
        ("https://ex\u{e4}mple.com", "`base_url`: its host has characters beyond ASCII"),
        (
            "https://a.example/../x",
            "`base_url`: its path cannot be used: there is a dot segment in the path",
        ),
    ] {
        assert_eq!(at(url).unwrap_err().problem, problem, "{url}");
    }
}

// HI-01, HI-02, HI-05
#[test]
fn no_configuration_gives_the_agent_a_header_that_is_not_its_to_set() {
    let with_header = |name: &str| parse(&with(&format!("request_headers = [\"{name}\"]")));
    let config = with_header("X-Trace").unwrap();
    assert_eq!(config.service("x").unwrap().request_headers, ["x-trace"]);
    for name in
        ["Authorization", "Host", "X-Forwarded-For", "Connection", "Referer", "Range", "X_A", "a b"]
    {
        let problem = with_header(name).unwrap_err().problem;
        assert_eq!(problem, "`request_headers` has a name that is not the agent's to set");
    }
}

// SC-06
#[test]
fn what_a_parser_could_read_in_two_ways_or_not_bear_is_an_error() {
    parse(&with("allow = [\"GET /**\"]\nrange = true")).unwrap();
    for hostile in [
        with("range = true\nrange = false"),
        with("limits = { total = \"5s\", total = \"9s\" }"),
        with("[services.x]\nbase_url = \"https://y.example\""),
        with("auth.type = \"basic\""),
        with("\u{feff}range = true"),
        with("range = !!python/object true"),
        with(&format!("allow = {}{}", "[".repeat(100_000), "]".repeat(100_000))),
        with(&format!("headers = {}{}", "{ a = ".repeat(10_000), "}".repeat(10_000))),
    ] {
        assert!(parse(&hostile).is_err(), "{}", &hostile[..hostile.len().min(200)]);
    }
}

#[test]
fn no_message_repeats_what_stands_in_the_file() {
    let mut texts = vec![
        "canary = 1".to_owned(),
        "headless = \"canary\"".to_owned(),
        "headless = canary".to_owned(),
        "\"canary\"".to_owned(),
        "x = \"canary".to_owned(),
        "[canary".to_owned(),
        "[services.\"canary canary\"]".to_owned(),
        "[services.canary-]".to_owned(),
        "services = \"canary\"".to_owned(),
        "[machine_key]\nsource = \"canary\"".to_owned(),
        "canary = 1\ncanary = 2".to_owned(),
        "\"canary\\q\" = 1".to_owned(),
        "a.canary = 1\n[a.canary.b]\n".to_owned(),
        "[services.x]\nbase_url = \"https://user:canary@x.example\"".to_owned(),
        "[services.x]\nbase_url = \"canary\"".to_owned(),
        with("").replace("local://x/token", "sk-canary"),
        with("").replace("bearer", "canary"),
        with("").replace("token =", "canary ="),
        with("")
            .replace("type = \"bearer\", token", "type = \"headers\", headers.\"canary canary\""),
        with("").replace("type = \"bearer\", token", "type = \"headers\", headers.host-canary.x"),
    ];
    for key in [
        "headers",
        "allow",
        "ask",
        "deny",
        "policies",
        "request_headers",
        "redact_fields",
        "seal_fields",
        "unseal_fields",
        "allow_ips",
        "ca_file",
        "encoded_slash",
        "path_params",
        "case_insensitive",
        "range",
        "principals",
        "test_path",
        "limits",
        "i_understand",
        "canary",
    ] {
        texts.push(with(&format!("{key} = \"canary canary\"")));
        texts.push(with(&format!("{key} = [\"canary canary\"]")));
        texts.push(with(&format!("{key} = [\"canary /x\"]")));
        texts.push(with(&format!("{key} = {{ canary = \"canary\" }}")));
        texts.push(with(&format!("{key} = {{ \"canary canary\" = 1 }}")));
        texts.push(with(&format!("{key} = canary")));
        texts.push(with(&format!("{key} = 1canary")));
        texts.push(with(&format!("{key} = 0xcanary")));
        texts.push(with(&format!("{key} = 2026-01-canary")));
        texts.push(with(&format!("{key} canary")));
    }
    for text in texts {
        if let Err(error) = parse(&text) {
            assert!(!format!("{error} {error:?}").contains("canary"), "{text}\n{error:?}");
        }
    }
}

#[test]
fn the_published_schema_knows_the_same_keys() {
    let text = include_str!("../../../docs/reference/strongroom.schema.json");
    let schema: serde_json::Value = serde_json::from_str(text).unwrap();
    let keys = |pointer: &str| -> BTreeSet<&str> {
        let properties = schema.pointer(pointer).unwrap().as_object().unwrap();
        properties.keys().map(String::as_str).collect()
    };
    let set = |known: &[&'static str]| -> BTreeSet<&str> { known.iter().copied().collect() };
    assert_eq!(keys("/properties"), set(ROOT_KEYS));
    assert_eq!(keys("/$defs/service/properties"), set(service::KEYS));
    assert_eq!(keys("/$defs/rule/oneOf/1/properties"), set(rules::KEYS));
    assert_eq!(keys("/$defs/program/properties"), set(command::KEYS));
    assert_eq!(keys("/$defs/program/properties/limits/properties"), set(command::LIMITS_KEYS));
    assert_eq!(keys("/$defs/program/properties/askpass/properties"), set(command::ASKPASS_KEYS));
    assert_eq!(keys("/$defs/command_rule/oneOf/1/properties"), set(rules::PROGRAM_KEYS));
    let block = "/$defs/service/properties/policies/items/properties";
    assert_eq!(keys(block), set(rules::BLOCK_KEYS));
    assert_eq!(keys("/$defs/server/properties"), set(strongroom_gateway::registry::KEYS));
    let rules = "/$defs/tool_rule/oneOf/1/properties";
    assert_eq!(keys(rules), set(strongroom_gateway::registry::RULE_KEYS));
    assert_eq!(keys("/properties/catalog/properties"), set(servers::CATALOG_KEYS));
    assert_eq!(keys("/$defs/service/properties/limits/properties"), set(limits::KEYS));
    for (index, shape) in SHAPES.iter().enumerate() {
        let at = format!("/$defs/service/properties/auth/oneOf/{index}/properties");
        let mut known = set(shape.settings);
        known.insert("type");
        known.extend(shape.secrets.keys());
        assert_eq!(schema.pointer(&format!("{at}/type/const")).unwrap(), shape.name);
        assert_eq!(keys(&at), known);
    }
}

#[test]
fn a_principal_may_be_held_to_less_than_its_services_allow() {
    let text = with("")
        + "\n[principals.ci]\nservices = [\"x\"]\ncalls_per_minute = 5\ncalls_at_once = 2\n\
           bytes_per_day = \"10MB\"\n";
    let catalog = parse(&text).unwrap().into_catalog(1);
    let (ci, other) = ("ci".parse().unwrap(), "other".parse().unwrap());
    let own = &catalog.principals[&ci];
    assert_eq!((own.calls_per_minute, own.calls_at_once), (Some(5), Some(2)));
    assert_eq!(own.bytes_per_day, Some(10_000_000));
    let service = |name: &str| name.parse().unwrap();
    assert!(catalog.serves(&ci, &service("x"), None));
    assert!(!catalog.serves(&ci, &service("y"), None));
    assert!(catalog.serves(&other, &service("y"), None));
    assert!(!catalog.serves(&ci, &service("x"), Some(std::slice::from_ref(&other))));
    for bad in ["calls_per_minute = 0", "services = [\"X\"]", "bytes_per_day = -1", "servces = []"]
    {
        let error = parse(&format!("{}\n[principals.ci]\n{bad}\n", with(""))).unwrap_err();
        assert!(!error.problem.contains('X'), "{error}");
    }
}
