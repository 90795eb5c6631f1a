//! References of several schemes at once.

use std::ffi::OsString;

use strongroom_model::ports::ResolveError;
use strongroom_model::reference::SecretRef;
use strongroom_secrets::{EnvProvider, Resolver};

use crate::script::Script;

#[tokio::test]
async fn every_provider_is_asked_once_and_the_answers_come_in_order() {
    let script = Script::default();
    script.put("a", "canary-a");
    script.put("b", "canary-b");
    let env = EnvProvider::new(|name| (name == "E").then(|| OsString::from("canary-e")));
    let resolver = Resolver::new(vec![Box::new(script.clone()), Box::new(env)]);
    let refs: Vec<SecretRef> = ["local://b", "env://E", "local://no", "file:///x", "local://a"]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();

    let answers = resolver.resolve(&refs).await;
    let text = |n: usize| answers[n].as_ref().unwrap().expose();
    assert_eq!((text(0), text(1), text(4)), (&b"canary-b"[..], &b"canary-e"[..], &b"canary-a"[..]));
    assert!(matches!(answers[2], Err(ResolveError::NotFound { .. })));
    assert!(matches!(answers[3], Err(ResolveError::NoProvider { .. })));
    assert_eq!(script.asked(), [["b", "no", "a"]]);
    assert!(resolver.resolve(&[]).await.is_empty());
}
