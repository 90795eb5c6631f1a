//! A KEK in a true gnome-keyring.

use strongroom_testkit::secret_service::SecretService;

use super::*;

#[tokio::test]
async fn a_key_in_the_keychain_holds_the_contract() {
    let session = SecretService::start();
    let variables = session.variables();
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let create = |pairs: &[(&str, &str)]| made_by(kek::create, "keychain", pairs, &variables);
    let kek = create(&[]).unwrap();
    let other = create(&[("account", "team-kek-2")]).unwrap();
    let same = open("keychain", &[("account", "team-kek")], &variables).unwrap();
    holds_the_contract(&kek, &same, &other).await;

    let error = create(&[]).err().unwrap();
    assert!(matches!(error, KekSetupError::Source(KekSourceError::Exists { .. })), "{error}");
    session.store(&["service", "strongroom", "username", "bad"], "canary");
    let error = open("keychain", &[("account", "bad")], &variables).err().unwrap();
    assert!(matches!(error, KekSetupError::Source(KekSourceError::Malformed { .. })), "{error}");
    assert!(!error.to_string().contains("canary"));
    let error = open("keychain", &[("account", "none")], &variables).err().unwrap();
    assert!(matches!(error, KekSetupError::Source(KekSourceError::Missing { .. })), "{error}");
    session.lock();
    for failed in [open("keychain", &[], &variables), create(&[])] {
        let error = failed.err().unwrap();
        let KekSetupError::Source(KekSourceError::Unavailable { place, why }) = &error else {
            panic!("{error}")
        };
        assert_eq!(place, "keychain://strongroom/team-kek");
        assert!(why.contains("locked"), "{why}");
    }
}
