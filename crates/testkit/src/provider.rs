//! What every provider promises, run against each of them.

use strongroom_model::ports::{Provider, ResolveError};
use strongroom_model::reference::SecretRef;

/// What a provider under test has.
#[derive(Debug)]
pub struct Holdings {
    /// References that resolve, with their values: at least two.
    pub found: Vec<(SecretRef, &'static str)>,
    /// One at which nothing is stored.
    pub missing: SecretRef,
    /// One at which something is stored that is not a secret, where the provider can have such.
    pub unusable: Option<SecretRef>,
}

/// Runs the contract. Panics with what is broken.
pub async fn holds_the_contract(provider: &dyn Provider, holdings: &Holdings) {
    let Holdings { found, missing, unusable } = holdings;
    assert!(found.len() >= 2, "the contract is about batches");

    assert!(provider.resolve(&[]).await.is_empty(), "nothing asked, nothing answered");
    for (reference, value) in found {
        assert_eq!(reference.scheme(), provider.scheme());
        assert_eq!(ask(provider, reference).await.as_deref(), Ok(*value), "{reference}");
        assert_eq!(
            provider.stamp(reference),
            provider.stamp(reference),
            "{reference}: the stamp changes though nothing did"
        );
    }
    assert_eq!(ask(provider, missing).await, Err("not found"), "{missing}");
    if let Some(unusable) = unusable {
        assert_eq!(ask(provider, unusable).await, Err("unusable"), "{unusable}");
    }

    // Order is kept, in both directions, with failures in between and one reference twice.
    let mut asked: Vec<SecretRef> = vec![missing.clone()];
    asked.extend(found.iter().map(|(reference, _)| reference.clone()));
    asked.extend(unusable.clone());
    asked.push(found[0].0.clone());
    for _ in 0..2 {
        asked.reverse();
        let answers = provider.resolve(&asked).await;
        assert_eq!(answers.len(), asked.len(), "one answer for each");
        for (reference, answer) in asked.iter().zip(answers) {
            let expected = found.iter().find(|(of, _)| of == reference).map(|(_, value)| *value);
            let answer = answer.ok().map(|secret| text(secret.expose()));
            assert_eq!(answer.as_deref(), expected, "{reference}");
        }
    }
}

/// A kind of trouble: a provider that has it, and the kind of error that is then due for every
/// reference; or why it cannot have it.
pub enum Can {
    /// It can.
    Have(Box<dyn Provider>, &'static str),
    /// It cannot, for this reason.
    Not(&'static str),
}

/// All the ways in which a provider fails as a whole.
pub struct Troubles {
    /// A person has to unlock it first.
    pub locked: Can,
    /// We may not have what is asked for.
    pub denied: Can,
    /// It cannot be reached.
    pub unreachable: Can,
    /// It does not answer in time.
    pub slow: Can,
    /// It answers something that is no answer.
    pub garbage: Can,
    /// It answers 10 MB.
    pub flood: Can,
}

/// Asks each provider of `troubles` for `asked`, which would be found but for the trouble. Panics
/// where one answers anything but the error that is due, or where an error repeats a canary.
pub async fn fails_closed(troubles: Troubles, asked: &[SecretRef]) {
    let Troubles { locked, denied, unreachable, slow, garbage, flood } = troubles;
    for (what, can) in [
        ("locked", locked),
        ("denied", denied),
        ("unreachable", unreachable),
        ("slow", slow),
        ("garbage", garbage),
        ("flood", flood),
    ] {
        match can {
            Can::Not(why) => assert!(!why.is_empty(), "{what}: say why not"),
            Can::Have(provider, due) => all_fail(what, &*provider, asked, due).await,
        }
    }
}

/// Panics where `provider` answers anything for any of `asked` but an error of the kind `due`.
pub async fn all_fail(what: &str, provider: &dyn Provider, asked: &[SecretRef], due: &str) {
    let answers = provider.resolve(asked).await;
    assert_eq!(answers.len(), asked.len(), "{what}: one answer for each");
    for (reference, answer) in asked.iter().zip(answers) {
        let Err(error) = answer else { panic!("{what}: {reference} resolved") };
        assert_eq!(error.kind(), due, "{what}: {reference}: {error}");
        let shown = format!("{error} {error:?} {:?}", error.hint());
        assert!(!shown.contains("canary"), "{what}: {shown}");
    }
}

async fn ask(provider: &dyn Provider, reference: &SecretRef) -> Result<String, &'static str> {
    let mut answers = provider.resolve(std::slice::from_ref(reference)).await;
    match answers.pop().expect("one answer for one question") {
        Ok(secret) => Ok(text(secret.expose())),
        Err(ResolveError::NotFound { .. }) => Err("not found"),
        Err(ResolveError::Unusable { .. }) => Err("unusable"),
        Err(_) => Err("something else"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
