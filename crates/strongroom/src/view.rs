//! A service as `list`, `show`, `add` and `edit` print it. No key is in it, only where it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};
use strongroom_model::canonical::Grammar;
use strongroom_model::policy::{Rule, Verdict};
use strongroom_model::service::{Limits, Scheme, Service};

use crate::output::{Report, Style};

/// A service.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceView {
    name: String,
    base_url: String,
    auth: String,
    secrets: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    settings: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    request_headers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    redact_fields: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seal_fields: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unseal_fields: Vec<String>,
    allow: Vec<String>,
    ask: Vec<String>,
    deny: Vec<String>,
    allows_everything: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow_ips: Vec<String>,
    insecure_transport: bool,
    own_ca: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    principals: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_path: Option<String>,
    calls_per_minute: u32,
    /// How paths and methods are read, where it is not as usual: keys and values of the file.
    #[serde(flatten)]
    grammar: BTreeMap<&'static str, Value>,
    /// The limits that are not the usual ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    limits: BTreeMap<&'static str, u64>,
}

impl ServiceView {
    /// The view of `service`.
    pub fn new(service: &Service) -> Self {
        let rules = |verdict: Verdict| {
            let rules = service.policy.rules().iter().filter(|rule| rule.verdict() == verdict);
            rules.map(Rule::in_words).collect::<Vec<_>>()
        };
        let auth = &service.auth;
        Self {
            name: service.name.to_string(),
            base_url: format!("{}{}", service.origin, service.base_path),
            auth: auth.scheme.clone(),
            secrets: auth.secrets.iter().map(|(k, v)| (k.clone(), v.to_string())).collect(),
            settings: auth.settings.clone(),
            headers: service.fixed_headers.iter().cloned().collect(),
            request_headers: service.request_headers.clone(),
            redact_fields: service.redact_fields.clone(),
            seal_fields: service.seal_fields.clone(),
            unseal_fields: service.unseal_fields.clone(),
            allow: rules(Verdict::Allow),
            ask: rules(Verdict::Ask),
            deny: rules(Verdict::Deny),
            allows_everything: service.policy.allows_everything(),
            allow_ips: service.allow_ips.iter().map(ToString::to_string).collect(),
            insecure_transport: service.origin.scheme == Scheme::Http,
            own_ca: service.ca_pem.is_some(),
            principals: service
                .principals
                .as_ref()
                .map(|names| names.iter().map(ToString::to_string).collect()),
            test_path: service.test_path.clone(),
            calls_per_minute: service.limits.calls_per_minute,
            grammar: unusual_grammar(service.grammar),
            limits: unusual_limits(&service.limits),
        }
    }

    /// Its row in a list: name, URL, auth type, what is allowed in short.
    pub fn row(&self) -> Vec<String> {
        vec![self.name.clone(), self.base_url.clone(), self.auth.clone(), self.in_short()]
    }

    /// What most services do without, for a person.
    fn particulars(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        lines.extend(self.request_headers.iter().map(|name| ("agent sets", name.clone())));
        for key in self.grammar.keys() {
            let (label, meaning) = match *key {
                "encoded_slash" => ("paths", "`%2F` is part of its segment"),
                "path_params" => ("paths", "`;` may stand in a segment"),
                "case_insensitive" => ("rules", "match without regard to case"),
                "method_override" => ("methods", "`_method` is refused in query and form"),
                _ => ("agent sets", "range"),
            };
            lines.push((label, format!("{meaning} ({key})")));
        }
        for (label, names) in [
            ("redacts", &self.redact_fields),
            ("seals", &self.seal_fields),
            ("unseals", &self.unseal_fields),
        ] {
            if !names.is_empty() {
                lines.push((label, format!("fields {}", names.join(", "))));
            }
        }
        for (key, limit) in &self.limits {
            lines.push((
                "limit",
                format!("{} {}", key.trim_end_matches("_ms"), amount(key, *limit)),
            ));
        }
        lines
    }

    fn in_short(&self) -> String {
        let mut words = Vec::new();
        if self.allows_everything {
            words.push("everything (--allow-all)".to_owned());
        } else if self.allow.len() > 2 {
            words.push(format!("{} rules", self.allow.len()));
        } else if !self.allow.is_empty() {
            words.push(self.allow.join(", "));
        }
        for (rules, verb) in [(&self.ask, "asks for"), (&self.deny, "denies")] {
            if !rules.is_empty() {
                words.push(format!("{verb} {}", rules.len()));
            }
        }
        if self.allow.is_empty() && self.ask.is_empty() {
            "nothing".to_owned()
        } else {
            words.join("; ")
        }
    }
}

fn unusual_grammar(grammar: Grammar) -> BTreeMap<&'static str, Value> {
    let Grammar { encoded_slash, path_params, case_insensitive, method_override, range } = grammar;
    let known = [
        ("encoded_slash", encoded_slash, json!("segment")),
        ("path_params", path_params, json!("allow")),
        ("case_insensitive", case_insensitive, json!(true)),
        ("method_override", method_override, json!(true)),
        ("range", range, json!(true)),
    ];
    known
        .into_iter()
        .filter(|(_, is_set, _)| *is_set)
        .map(|(key, _, as_set)| (key, as_set))
        .collect()
}

fn unusual_limits(limits: &Limits) -> BTreeMap<&'static str, u64> {
    let all = |limits: &Limits| {
        [
            ("request_bytes", limits.request_bytes as u64),
            ("response_bytes", limits.response_bytes as u64),
            ("upload_bytes", limits.upload_bytes.unwrap_or_default()),
            ("file_bytes", limits.file_bytes),
            ("events", u64::from(limits.events)),
            ("connect_ms", limits.connect_ms),
            ("first_byte_ms", limits.first_byte_ms),
            ("idle_ms", limits.idle_ms),
            ("total_ms", limits.total_ms),
            ("calls_per_minute", u64::from(limits.calls_per_minute)),
        ]
    };
    let pairs = all(limits).into_iter().zip(all(&Limits::default()));
    pairs.filter(|(ours, usual)| ours != usual).map(|(ours, _)| ours).collect()
}

/// A limit in the largest unit of the file that says it exactly.
fn amount(key: &str, limit: u64) -> String {
    let units: &[(u64, &str)] = if key.ends_with("_ms") {
        &[(60_000, "m"), (1000, "s"), (1, "ms")]
    } else if key.ends_with("_bytes") {
        &[(1 << 20, "MiB"), (1_000_000, "MB"), (1 << 10, "KiB"), (1000, "kB"), (1, "B")]
    } else {
        &[(1, "")]
    };
    let exact = units.iter().find(|(unit, _)| limit.is_multiple_of(*unit));
    exact.map_or_else(|| limit.to_string(), |(unit, name)| format!("{}{name}", limit / unit))
}

/// A service that was just added or changed: long lists are only counted.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Brief(pub ServiceView);

/// Rules of one kind that are still listed.
const FEW: usize = 4;

impl Report for Brief {
    fn text(&self, style: Style) -> String {
        let mut view = self.0.clone();
        view.headers.clear();
        for rules in [&mut view.allow, &mut view.ask, &mut view.deny] {
            if rules.len() > FEW {
                *rules = vec![format!("{} rules: `strongroom show {}`", rules.len(), view.name)];
            }
        }
        view.text(style)
    }
}

impl Report for ServiceView {
    fn text(&self, style: Style) -> String {
        let mut text = format!("{}\n", style.bold(&self.name));
        let mut line = |key: &str, value: &str| {
            writeln!(text, "  {key:<10} {value}").expect("writing to a String cannot fail");
        };
        line("base url", &self.base_url);
        line("auth", &self.auth);
        for (field, value) in &self.settings {
            // What is signed may have line ends in it.
            line(field, &value.escape_debug().to_string());
        }
        for (field, reference) in &self.secrets {
            line("secret", &format!("{field} at {reference}"));
        }
        for (name, value) in &self.headers {
            line("header", &format!("{name}: {value}"));
        }
        for (key, value) in self.particulars() {
            line(key, &value);
        }
        if self.allows_everything {
            line("allow", &style.yellow("everything (--allow-all)"));
        }
        for rule in self.allow.iter().filter(|_| !self.allows_everything) {
            line("allow", rule);
        }
        for rule in &self.ask {
            line("ask", rule);
        }
        for rule in &self.deny {
            line("deny", rule);
        }
        for range in &self.allow_ips {
            line("reaches", range);
        }
        if self.insecure_transport {
            line("transport", &style.yellow("plain http: the network can read the key"));
        }
        if self.own_ca {
            line("trust", "its own certificate authorities");
        }
        if let Some(names) = &self.principals {
            line("only for", &names.join(", "));
        }
        if let Some(path) = &self.test_path {
            line("test path", path);
        }
        text
    }
}
