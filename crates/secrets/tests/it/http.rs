//! Providers that are HTTP APIs, against stand-ins that speak what is documented.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use strongroom_model::ports::{BoxFuture, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_secrets::settings::{Context, Settings, Tokens};
use strongroom_secrets::{EnvProvider, Resolver, providers};
use strongroom_testkit::ca::TestCa;
use strongroom_testkit::fakes::FakeClock;
use strongroom_testkit::provider::{
    Can, Holdings, Troubles, all_fail, fails_closed, holds_the_contract,
};
use strongroom_testkit::standins::{self, Mood, StandIn};
use strongroom_testkit::upstream::{Reply, Upstream};

mod aws;
mod clouds;
mod connect;
#[cfg(unix)]
pub(crate) mod moto;
#[cfg(unix)]
mod rusty_vault;
mod vault;

/// A provider, and what keeps its tokens.
struct Kept {
    provider: Box<dyn Provider>,
    _tokens: Arc<Resolver>,
}

impl Provider for Kept {
    fn scheme(&self) -> &str {
        self.provider.scheme()
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        self.provider.resolve(refs)
    }
}

/// Settings: what begins with `env://` is a reference.
fn settings(pairs: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::default();
    for (key, value) in pairs {
        match value.parse::<SecretRef>() {
            Ok(reference) if value.starts_with("env://") => {
                settings.secrets.insert((*key).to_owned(), reference);
            }
            _ => drop(settings.texts.insert((*key).to_owned(), (*value).to_owned())),
        }
    }
    settings
}

/// The provider of `scheme` with these settings and this environment.
fn provider(scheme: &str, pairs: &[(&str, &str)], variables: &[(&str, &str)]) -> Kept {
    at_home(scheme, settings(pairs), variables, std::path::Path::new("/nonexistent"))
}

fn at_home(
    scheme: &str,
    settings: Settings,
    variables: &[(&str, &str)],
    home: &std::path::Path,
) -> Kept {
    let variables: BTreeMap<String, OsString> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();
    let variable = Arc::new(move |name: &str| variables.get(name).cloned());
    let own = Arc::clone(&variable);
    let tokens = Tokens::default();
    let keeper = Arc::new(Resolver::new(vec![Box::new(EnvProvider::new(move |name| own(name)))]));
    tokens.use_resolver(&keeper);
    let clock = Arc::new(FakeClock::default());
    let context = Context { variable, home: home.to_owned(), tokens, clock };
    let all = BTreeMap::from([(scheme.to_owned(), settings)]);
    let built = providers::build(&all, &context).unwrap();
    let provider = built.into_iter().find(|provider| provider.scheme() == scheme).unwrap();
    Kept { provider, _tokens: keeper }
}

/// A file of a server that `cargo xtask test` installs.
#[cfg(unix)]
fn backend(path: &str) -> std::path::PathBuf {
    let target = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let file = target.join("backends").join(path);
    assert!(file.exists(), "{} is missing: run `cargo xtask test`", file.display());
    file
}

fn reference(text: &str) -> SecretRef {
    text.parse().unwrap()
}

fn references(texts: &[&str]) -> Vec<SecretRef> {
    texts.iter().map(|text| reference(text)).collect()
}

/// What is answered, as text, or the kind of the error.
async fn answers(provider: &dyn Provider, texts: &[&str]) -> Vec<String> {
    let answers = provider.resolve(&references(texts)).await;
    let shown = |answer: Result<Secret, ResolveError>| match answer {
        Ok(secret) => String::from_utf8_lossy(secret.expose()).into_owned(),
        Err(error) => error.kind().to_owned(),
    };
    answers.into_iter().map(shown).collect()
}

/// Every way in which an API fails as a whole; `make` builds its provider for an address.
async fn every_trouble(stand_in: &StandIn, make: impl Fn(&str) -> Kept, asked: &[SecretRef]) {
    let silent = standins::silent().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let slow = make(&format!("http://{}", silent.address()));
    let gone = make(&format!("http://{closed}"));
    let garbage = Upstream::http(|_| Reply::ok("canary {")).await;
    let flood = Upstream::http(|_| Reply::ok("").repeat("c".repeat(1 << 16), 320, false)).await;
    let denied = Upstream::http(|_| Reply::status(500).body("canary")).await;
    let have = |upstream: &Upstream, due| {
        Can::Have(Box::new(make(&format!("http://{}", upstream.address()))), due)
    };
    let troubles = Troubles {
        locked: Can::Not("an API is open, or refuses; sealed Vaults have a test of their own"),
        denied: have(&denied, "unreachable"),
        unreachable: Can::Have(Box::new(gone), "unreachable"),
        slow: Can::Not("time has to pass for it: below"),
        garbage: have(&garbage, "unreachable"),
        flood: have(&flood, "unreachable"),
    };
    fails_closed(troubles, asked).await;
    let (answers, ()) = tokio::join!(slow.resolve(asked), async {
        silent.wait_for_requests(1).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_mins(1)).await;
    });
    tokio::time::resume();
    for answer in answers {
        assert_eq!(answer.unwrap_err().kind(), "unreachable");
    }
    let whole = make(&stand_in.url());
    for (mood, due) in [
        (Mood::Status(429), "limited"),
        (Mood::Status(502), "unreachable"),
        (Mood::Redirect, "unreachable"),
        (Mood::Garbage, "unreachable"),
        (Mood::Flood, "unreachable"),
    ] {
        stand_in.behave(mood);
        all_fail(&format!("{mood:?}"), &whole, asked, due).await;
    }
    stand_in.behave(Mood::Well);
}

#[tokio::test]
async fn an_own_authority_is_trusted_where_it_is_named_and_no_other_ever_is() {
    let ca = TestCa::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, ca.pem()).unwrap();
    let answer = |_: &_| Reply::ok(r#"{"A":"canary-a"}"#);
    let good = Upstream::https(ca.issue(&["localhost", "127.0.0.1"]), answer).await;
    let expired = Upstream::https(ca.issue_expired(&["127.0.0.1"]), answer).await;
    let other = Upstream::https(ca.issue(&["elsewhere.example"]), answer).await;
    let url = |upstream: &Upstream| format!("https://{}", upstream.address());
    let named = format!("https://localhost:{}", good.address().port());
    let file = file.to_str().unwrap();
    for (url, ca_file, expected) in [
        (url(&good), Some(file), "canary-a"),
        (named, Some(file), "canary-a"),
        (url(&good), None, "unreachable"),
        (url(&expired), Some(file), "unreachable"),
        (url(&other), Some(file), "unreachable"),
        (url(&good), Some("/nonexistent/ca.pem"), "absent"),
    ] {
        let mut pairs = vec![("endpoint", url.as_str()), ("token", "env://T")];
        pairs.extend(ca_file.map(|file| ("ca_file", file)));
        let variables =
            [("T", "canary-token"), ("SSL_CERT_FILE", file), ("HTTPS_PROXY", "http://127.0.0.1:1")];
        let provider = provider("doppler", &pairs, &variables);
        assert_eq!(answers(&provider, &["doppler://p/c/A"]).await, [expected], "{url} {ca_file:?}");
    }
    assert_eq!((expired.requests(), other.requests()), (0, 0), "no token went out");
}
