//! What stays loaded, and what the matcher knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_model::injection::{Credential, Target as _};
use strongroom_model::ports::{Credentials as _, ResolveError};
use strongroom_model::service::{Auth, Catalog, Service, Slots};
use strongroom_secrets::{Loaded, Resolver};
use strongroom_testkit::fakes;

use crate::script::Script;

#[tokio::test]
async fn the_first_call_loads_everything_in_one_batch_and_the_next_asks_nothing() {
    let (script, loaded) = loaded();
    let catalog = catalog(1, &["github", "stripe"]);
    let first = resolve(&loaded, &catalog, "github").await.unwrap();
    assert_eq!(token(&first), "canary-github");
    assert_eq!(script.asked(), [["github", "stripe"]]);

    let second = resolve(&loaded, &catalog, "github").await.unwrap();
    assert!(Arc::ptr_eq(&first, &second), "nothing is made anew");
    let matcher = loaded.redactor();
    assert_eq!(token(&resolve(&loaded, &catalog, "stripe").await.unwrap()), "canary-stripe");
    assert!(script.asked().is_empty());
    assert!(Arc::ptr_eq(&matcher, &loaded.redactor()), "nothing is built anew");
}

/// RR-14.
#[tokio::test]
async fn the_matcher_knows_the_secrets_of_services_that_were_never_called() {
    let (_script, loaded) = loaded();
    resolve(&loaded, &catalog(1, &["github", "stripe"]), "github").await.unwrap();
    assert!(is_matched(&loaded, "canary-github") && is_matched(&loaded, "canary-stripe"));
    assert!(!is_matched(&loaded, "canary-nobody-loaded-this"));
    assert_eq!(redacted(&loaded, "canary-stripe"), "[REDACTED:stripe]");
}

#[tokio::test]
async fn a_rotated_secret_is_used_at_the_next_call_and_the_old_one_stays_in_the_matcher() {
    let (script, loaded) = loaded();
    let catalog = catalog(1, &["github", "stripe"]);
    resolve(&loaded, &catalog, "github").await.unwrap();
    script.put("github", "canary-rotated");
    assert_eq!(token(&resolve(&loaded, &catalog, "github").await.unwrap()), "canary-rotated");
    assert!(is_matched(&loaded, "canary-rotated"));
    assert_eq!(redacted(&loaded, "canary-github"), "[REDACTED:github]");
}

#[tokio::test]
async fn a_secret_that_was_removed_is_not_used_again_and_is_still_matched() {
    let (script, loaded) = loaded();
    let catalog = catalog(1, &["github", "stripe"]);
    resolve(&loaded, &catalog, "github").await.unwrap();
    script.remove("github");
    let error = resolve(&loaded, &catalog, "github").await.unwrap_err();
    assert!(matches!(error, ResolveError::NotFound { .. }), "{error}");
    assert!(is_matched(&loaded, "canary-github"));
    assert_eq!(token(&resolve(&loaded, &catalog, "stripe").await.unwrap()), "canary-stripe");
}

#[tokio::test]
async fn a_failure_of_one_service_is_its_own_and_is_not_asked_again_until_something_changes() {
    let (script, loaded) = loaded();
    let catalog = catalog(1, &["github", "nothing"]);
    let error = resolve(&loaded, &catalog, "nothing").await.unwrap_err();
    assert!(matches!(error, ResolveError::NotFound { .. }), "{error}");
    assert_eq!(token(&resolve(&loaded, &catalog, "github").await.unwrap()), "canary-github");
    script.asked();
    assert!(resolve(&loaded, &catalog, "nothing").await.is_err());
    assert!(script.asked().concat().is_empty());
    script.put("nothing", "canary-now");
    assert_eq!(token(&resolve(&loaded, &catalog, "nothing").await.unwrap()), "canary-now");
}

#[tokio::test]
async fn a_failure_that_may_pass_is_asked_again_by_the_next_call() {
    let (script, loaded) = loaded();
    let catalog = catalog(1, &["github", "stripe"]);
    script.down(true);
    let error = resolve(&loaded, &catalog, "github").await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    script.down(false);
    assert_eq!(token(&resolve(&loaded, &catalog, "github").await.unwrap()), "canary-github");
}

#[tokio::test]
async fn without_stamps_the_own_references_are_asked_for_each_time() {
    let (script, loaded) = loaded();
    let catalog = catalog(1, &["github", "stripe"]);
    script.without_stamps();
    resolve(&loaded, &catalog, "github").await.unwrap();
    let matcher = loaded.redactor();
    script.asked();
    resolve(&loaded, &catalog, "github").await.unwrap();
    assert_eq!(script.asked(), [["github"]]);
    assert!(Arc::ptr_eq(&matcher, &loaded.redactor()), "the same value builds nothing anew");
}

#[tokio::test]
async fn a_service_that_is_added_is_loaded_and_matched_and_one_that_is_removed_stays_matched() {
    let (script, loaded) = loaded();
    resolve(&loaded, &catalog(1, &["github"]), "github").await.unwrap();
    assert!(!is_matched(&loaded, "canary-stripe"));
    script.asked();
    let catalog = catalog(2, &["stripe"]);
    assert_eq!(token(&resolve(&loaded, &catalog, "stripe").await.unwrap()), "canary-stripe");
    assert_eq!(script.asked(), [["stripe"]]);
    assert!(is_matched(&loaded, "canary-stripe") && is_matched(&loaded, "canary-github"));
}

#[tokio::test]
async fn a_secret_that_is_not_for_this_service_is_not_given_to_it() {
    let (script, loaded) = loaded();
    let catalog = catalog(1, &["github", "stripe"]);
    script.forbid("stripe");
    let error = resolve(&loaded, &catalog, "stripe").await.unwrap_err();
    assert!(matches!(error, ResolveError::Denied { .. }), "{error}");
    assert!(resolve(&loaded, &catalog, "github").await.is_ok());
    assert!(is_matched(&loaded, "canary-stripe"), "it is matched all the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_given_out_before_the_matcher_knows_it() {
    for _ in 0..50 {
        let (_script, loaded) = loaded();
        let (loaded, catalog) = (Arc::new(loaded), Arc::new(catalog(1, &["github", "stripe"])));
        let calls: Vec<_> = (0..8)
            .map(|n| {
                let (loaded, catalog) = (Arc::clone(&loaded), Arc::clone(&catalog));
                tokio::spawn(async move {
                    let service = ["github", "stripe"][n % 2];
                    let credential = resolve(&loaded, &catalog, service).await.unwrap();
                    assert!(is_matched(&loaded, &token(&credential)), "{service}");
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_load_that_is_dropped_midway_changes_nothing() {
    let (script, loaded) = loaded();
    let catalog = catalog(1, &["github"]);
    let service = Arc::clone(&catalog.services[&"github".parse().unwrap()]);
    let mut load = loaded.resolve(&catalog, service.keys());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(load.as_mut().poll(&mut context).is_pending());
    drop(load);
    assert_eq!(script.asked().len(), 1);
    assert!(!is_matched(&loaded, "canary-github"));
    assert_eq!(token(&resolve(&loaded, &catalog, "github").await.unwrap()), "canary-github");
}

#[tokio::test]
async fn the_basic_pair_is_matched_as_it_goes_over_the_wire() {
    let (_script, loaded) = loaded();
    let mut catalog = Catalog { revision: 1, ..Catalog::default() };
    let service = Service {
        auth: Auth {
            scheme: "basic".into(),
            secrets: BTreeMap::from([("password".into(), "local://github".parse().unwrap())]),
            settings: BTreeMap::from([("user".into(), "octo".into())]),
        },
        ..service("github")
    };
    catalog.services.insert(service.name.clone(), Arc::new(service));
    resolve(&loaded, &catalog, "github").await.unwrap();
    // base64 of `octo:canary-github`
    assert!(is_matched(&loaded, "b2N0bzpjYW5hcnktZ2l0aHVi"));
}

fn loaded() -> (Script, Loaded) {
    let script = Script::default();
    script.put("github", "canary-github");
    script.put("stripe", "canary-stripe");
    let loaded = Loaded::new(Resolver::new(vec![Box::new(script.clone())]));
    (script, loaded)
}

/// Services that have one secret each, under their own name.
fn catalog(revision: u64, names: &[&str]) -> Catalog {
    let mut catalog = Catalog { revision, ..Catalog::default() };
    for name in names {
        let service = service(name);
        catalog.services.insert(service.name.clone(), Arc::new(service));
    }
    catalog
}

fn service(name: &str) -> Service {
    let reference = format!("local://{name}").parse().unwrap();
    Service {
        auth: Auth {
            scheme: "bearer".into(),
            secrets: BTreeMap::from([("token".into(), reference)]),
            settings: BTreeMap::new(),
        },
        ..bare(name)
    }
}

fn bare(name: &str) -> Service {
    let address = "127.0.0.1:9".parse().unwrap();
    fakes::service(name, address, Auth::default(), Slots::default(), "allow GET /**")
}

async fn resolve(
    loaded: &Loaded,
    catalog: &Catalog,
    service: &str,
) -> Result<Arc<Credential>, ResolveError> {
    let service = Arc::clone(&catalog.services[&service.parse().unwrap()]);
    loaded.resolve(catalog, service.keys()).await
}

fn token(credential: &Credential) -> String {
    String::from_utf8(credential.get("token").unwrap().expose().to_vec()).unwrap()
}

fn is_matched(loaded: &Loaded, text: &str) -> bool {
    redacted(loaded, text) != text
}

fn redacted(loaded: &Loaded, text: &str) -> String {
    loaded.redactor().clean_text(text).0.into_inner()
}
