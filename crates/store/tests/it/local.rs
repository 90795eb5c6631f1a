//! `local://`.

use std::sync::Arc;

use strongroom_model::ports::Purpose;
use strongroom_model::ports::{Provider as _, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_store::{LocalProvider, SecretUse};
use strongroom_testkit::provider::{Holdings, holds_the_contract};

use crate::home::{Home, github, name, secret};

#[tokio::test]
async fn the_vault_holds_the_contract_of_providers() {
    let (_home, vault) = Home::with_vault();
    vault.put("a", &github(), &secret("canary-a")).unwrap();
    vault.put("b/c", &SecretUse::Any, &secret("canary-b")).unwrap();
    let holdings = Holdings {
        found: vec![(reference("local://a"), "canary-a"), (reference("local://b/c"), "canary-b")],
        missing: reference("local://b"),
        unusable: None,
    };
    holds_the_contract(&LocalProvider::new(Arc::new(vault)), &holdings).await;
}

#[test]
fn a_stored_secret_is_for_the_service_that_it_was_stored_for() {
    let (_home, vault) = Home::with_vault();
    vault.put("github/token", &github(), &secret("canary")).unwrap();
    vault.put("any", &SecretUse::Any, &secret("canary")).unwrap();
    vault.put("launch", &SecretUse::Launch(name("github")), &secret("canary")).unwrap();
    let provider = LocalProvider::new(Arc::new(vault));
    let permits = |text: &str, service: &str| {
        provider.permits(&reference(text), Purpose::Service(&name(service)))
    };

    permits("local://github/token", "github").unwrap();
    permits("local://any", "github").unwrap();
    permits("local://any", "stripe").unwrap();
    permits("local://nothing", "stripe").unwrap();
    for (text, service) in [("local://github/token", "stripe"), ("local://launch", "github")] {
        let error = permits(text, service).unwrap_err();
        assert!(matches!(error, ResolveError::Denied { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_damaged_vault_is_an_integrity_error_and_not_an_empty_one() {
    let (home, vault) = Home::with_vault();
    vault.put("a", &SecretUse::Any, &secret("canary")).unwrap();
    let provider = LocalProvider::new(Arc::new(vault));
    let before = provider.stamp(&reference("local://a"));
    let db = rusqlite::Connection::open(home.path().join("vault.db")).unwrap();
    db.execute_batch("DELETE FROM secrets").unwrap();
    assert_ne!(provider.stamp(&reference("local://a")), before);
    let answer = provider.resolve(&[reference("local://a")]).await.pop().unwrap();
    assert!(matches!(answer, Err(ResolveError::Integrity { .. })));
}

fn reference(text: &str) -> SecretRef {
    text.parse().unwrap()
}
