//! What a change of a service lets agents do that they could not do before.

use strongroom_model::policy::{Rule, Verdict};
use strongroom_model::service::{Scheme, Service};

/// Each thing that is wider in `new`, in words; empty where nothing is.
pub fn of(old: &Service, new: &Service) -> Vec<String> {
    let mut wider = Vec::new();
    if (&old.origin, &old.base_path) != (&new.origin, &new.base_path) {
        wider.push(format!(
            "sends the key to {}{} and no longer to {}{}",
            new.origin, new.base_path, old.origin, old.base_path
        ));
    }
    if new.origin.scheme == Scheme::Http && old.origin.scheme == Scheme::Https {
        wider.push("shows the key to the network (plain http)".to_owned());
    }
    for range in new.allow_ips.iter().filter(|range| !old.allow_ips.contains(range)) {
        wider.push(format!("reaches addresses in {range}"));
    }
    if old.ca_pem != new.ca_pem {
        wider.push("trusts other certificate authorities".to_owned());
    }
    rules(old, new, &mut wider);
    // A header can choose another account, or another method than the one that is judged.
    for (name, _) in new.fixed_headers.iter().filter(|header| !old.fixed_headers.contains(header)) {
        wider.push(format!("sends another `{name}` with every request"));
    }
    if old.auth.scheme != new.auth.scheme {
        wider.push(format!("sends the key as `{}`", new.auth.scheme));
    }
    let settings = |service: &Service| {
        let mut settings = service.auth.settings.clone();
        settings.remove("user");
        settings
    };
    if old.auth.scheme == new.auth.scheme && settings(old) != settings(new) {
        wider.push("signs requests in another way".to_owned());
    }
    if old.grammar != new.grammar {
        wider.push("reads paths in another way".to_owned());
    }
    minted(old, new, &mut wider);
    match (&old.principals, &new.principals) {
        (Some(_), None) => wider.push("serves every principal".to_owned()),
        (Some(old), Some(new)) => {
            for name in new.iter().filter(|name| !old.contains(name)) {
                wider.push(format!("serves `{name}`"));
            }
        }
        (None, _) => {}
    }
    for reference in new.auth.secrets.values().filter(|reference| {
        reference.scheme() == "local"
            && !old.auth.secrets.values().any(|there| there == *reference)
            && !reference.path().starts_with(&format!("{}/", new.name))
    }) {
        wider.push(format!("uses the stored secret `{reference}`"));
    }
    wider
}

/// What is shown, or can be used, of the credentials that the API makes.
fn minted(old: &Service, new: &Service, wider: &mut Vec<String>) {
    let has = |names: &[String], name: &str| names.iter().any(|own| own.eq_ignore_ascii_case(name));
    let shown = |name: &str| !has(&new.redact_fields, name) && !has(&new.seal_fields, name);
    for name in old.redact_fields.iter().filter(|name| shown(name)) {
        wider.push(format!("no longer redacts `{name}` in answers"));
    }
    for name in old.seal_fields.iter().filter(|name| shown(name)) {
        wider.push(format!("no longer seals `{name}` in answers"));
    }
    for name in new.seal_fields.iter().filter(|name| has(&old.redact_fields, name)) {
        wider.push(format!("gives handles for `{name}` in answers, which was redacted"));
    }
    // Where nothing was sealed, agents had the credentials themselves.
    if !old.seal_fields.is_empty() {
        let places = new.seal_fields.iter().chain(&new.unseal_fields);
        for name in places.filter(|name| !old.unseals(name)) {
            wider.push(format!("swaps handles in `{name}`"));
        }
    }
}

/// An allow rule that is new, a deny or ask rule that is gone.
fn rules(old: &Service, new: &Service, wider: &mut Vec<String>) {
    let (before, after) = (old.policy.rules(), new.policy.rules());
    for rule in after.iter().filter(|rule| !before.iter().any(|there| lets_pass(there, rule))) {
        let words = rule.in_words();
        match rule.verdict() {
            Verdict::Allow => wider.push(format!("allows `{words}`")),
            // An ask rule is a grant in waiting.
            Verdict::Ask => wider.push(format!("asks for `{words}` instead of denying it")),
            Verdict::Deny => {}
        }
    }
    for rule in before.iter().filter(|rule| !after.iter().any(|there| holds_back(there, rule))) {
        let words = rule.in_words();
        match rule.verdict() {
            Verdict::Deny => wider.push(format!("no longer denies `{words}`")),
            Verdict::Ask => wider.push(format!("no longer asks for `{words}`")),
            Verdict::Allow => {}
        }
    }
    if old.policy.judge_bytes() < new.policy.judge_bytes() {
        wider.push("looks at larger bodies before it allows them".to_owned());
    }
}

/// Whether the rule that was `there` let pass what the new one does, and demanded no more.
fn lets_pass(there: &Rule, new: &Rule) -> bool {
    there.verdict() == new.verdict() && there.covers(new) && new.terms().are_within(there.terms())
}

/// Whether the rule that is `there` now holds back what the old one did.
fn holds_back(there: &Rule, old: &Rule) -> bool {
    there.covers(old)
        && match old.verdict() {
            Verdict::Allow => true,
            Verdict::Ask if there.verdict() == Verdict::Ask => {
                there.terms().are_within(old.terms())
            }
            Verdict::Ask | Verdict::Deny => there.verdict() == Verdict::Deny,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn service(lines: &str) -> std::sync::Arc<Service> {
        let text = format!(
            "[services.x]\nauth = {{ type = \"bearer\", token = \"local://x/token\" }}\n{lines}\n"
        );
        Config::parse("t", &text).unwrap().service("x").unwrap().clone()
    }

    const OLD: &str = "base_url = \"https://a.example\"\nallow = [\"GET /**\"]\ndeny = [\"* /k\"]";

    #[test]
    fn whatever_lets_agents_do_more_is_named() {
        for (from, to, expected) in [
            (
                "a.example",
                "b.example",
                "sends the key to https://b.example and no longer to https://a.example",
            ),
            ("[\"GET /**\"]", "[\"GET /**\", \"POST /x\"]", "allows `POST /x`"),
            ("deny = [\"* /k\"]", "", "no longer denies `* /k`"),
            ("deny = ", "ask = ", "no longer denies `* /k`"),
            ("deny = ", "ask = [\"* /z\"]\ndeny = ", "asks for `* /z` instead of denying it"),
            (
                "deny = ",
                "allow_ips = [\"127.0.0.1/32\"]\ndeny = ",
                "reaches addresses in 127.0.0.1/32",
            ),
            ("[\"* /k\"]", "[{ rule = \"* /k\", body = [\"a > 1\"] }]", "no longer denies `* /k`"),
            ("deny = ", "range = true\ndeny = ", "reads paths in another way"),
            (
                "deny = ",
                "headers = { X-HTTP-Method-Override = \"DELETE\" }\ndeny = ",
                "sends another `x-http-method-override` with every request",
            ),
        ] {
            let wider = of(&service(OLD), &service(&OLD.replace(from, to)));
            assert!(wider.contains(&expected.to_owned()), "{expected}: {wider:?}");
        }
        let signs = |region: &str| {
            let text = format!(
                "[services.x]\nbase_url = \"https://a.example\"\n\
                 auth = {{ type = \"aws-sigv4\", access_key_id = \"local://x/a\", \
                 secret_access_key = \"local://x/s\", region = \"{region}\", service = \"s3\" }}\n"
            );
            Config::parse("t", &text).unwrap().service("x").unwrap().clone()
        };
        assert_eq!(of(&signs("a"), &signs("b")), ["signs requests in another way"]);
        let some = service(&format!("{OLD}\nprincipals = [\"a\"]"));
        assert_eq!(of(&some, &service(OLD)), ["serves every principal"]);
    }

    #[test]
    fn what_is_shown_or_usable_of_minted_credentials_is_named() {
        let with = |lines: &str| service(&format!("{OLD}\n{lines}"));
        let none: [&str; 0] = [];
        for (from, to, expected) in [
            ("redact_fields = [\"a\"]", "", &["no longer redacts `a` in answers"][..]),
            ("seal_fields = [\"a\"]", "", &["no longer seals `a` in answers"]),
            (
                "redact_fields = [\"a\"]",
                "seal_fields = [\"A\"]",
                &["gives handles for `A` in answers, which was redacted"],
            ),
            (
                "seal_fields = [\"a\"]",
                "seal_fields = [\"a\"]\nunseal_fields = [\"text\"]",
                &["swaps handles in `text`"],
            ),
            (
                "seal_fields = [\"a\"]",
                "seal_fields = [\"a\", \"text\"]",
                &["swaps handles in `text`"],
            ),
            ("", "redact_fields = [\"a\"]", &none),
            ("", "seal_fields = [\"a\"]\nunseal_fields = [\"b\"]", &none),
            ("seal_fields = [\"a\"]", "redact_fields = [\"A\"]", &none),
            ("seal_fields = [\"a\"]\nunseal_fields = [\"b\"]", "seal_fields = [\"a\"]", &none),
        ] {
            assert_eq!(of(&with(from), &with(to)), expected, "{from} to {to}");
        }
    }

    #[test]
    fn conditions_and_terms_that_go_let_agents_do_more() {
        let old = "base_url = \"https://a.example\"\nallow = [{ rule = \"POST /c\", \
                   body = [\"amount <= 5\"], rate = \"2/min\", reason = \"required\" }]\n\
                   ask = [{ rule = \"PUT /c\", method = \"dialog\" }]";
        for (from, to, expected) in [
            ("amount <= 5", "amount <= 6", "allows `POST /c where amount <= 6, at most 2"),
            ("body = [\"amount <= 5\"], ", "", "allows `POST /c, at most 2"),
            ("2/min", "3/min", "allows `POST /c where amount <= 5, at most 3"),
            (
                ", reason = \"required\"",
                "",
                "allows `POST /c where amount <= 5, at most 2 a minute`",
            ),
            (", method = \"dialog\"", "", "asks for `PUT /c` instead"),
        ] {
            let wider = of(&service(old), &service(&old.replace(from, to)));
            assert!(wider[0].starts_with(expected), "{to}: {wider:?}");
        }
        for (from, to) in [
            ("amount <= 5\"", "amount <= 5\", \"currency == eur\""),
            ("2/min", "1/min"),
            ("ask = [{ rule = \"PUT /c\", method = \"dialog\" }]", "deny = [\"PUT /c\"]"),
        ] {
            let wider = of(&service(old), &service(&old.replace(from, to)));
            assert!(wider.is_empty(), "{to}: {wider:?}");
        }
    }

    #[test]
    fn what_lets_them_do_less_or_the_same_is_not() {
        for (from, to) in [
            ("a.example", "a.example"),
            ("[\"GET /**\"]", "[]"),
            ("[\"* /k\"]", "[\"* /k\", \"* /l\"]"),
            ("\"GET /**\"", "{ rule = \"GET /**\", query = [\"a == 1\"], rate = \"2/min\" }"),
            ("deny = ", "principals = [\"a\"]\ndeny = "),
            ("deny = ", "test_path = \"/me\"\ndeny = "),
        ] {
            let wider = of(&service(OLD), &service(&OLD.replace(from, to)));
            assert!(wider.is_empty(), "{to}: {wider:?}");
        }
    }
}
