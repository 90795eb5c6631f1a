//! Principals and their tokens.

use strongroom_model::secret::Secret;
use strongroom_store::VaultError;

use crate::home::{Home, name, secret};

#[test]
fn a_token_finds_its_principal_and_no_other_text_does() {
    let (home, vault) = Home::with_vault();
    let principals = vault.principals();
    let claude = principals.create(&name("claude")).unwrap();
    let cursor = principals.create(&name("cursor")).unwrap();
    assert!(claude.expose().starts_with(b"sr_") && claude.len() == 46);
    assert!(!claude.ct_eq(&cursor));

    let other = home.open().unwrap();
    for vault in [&vault, &other] {
        let find = |token: &Secret| vault.principals().find_by_token(token).unwrap();
        assert_eq!(find(&claude), Some(name("claude")));
        assert_eq!(find(&cursor), Some(name("cursor")));
        let longer = [claude.expose(), b"x"].concat();
        let shorter = claude.expose()[..45].to_vec();
        for wrong in [longer, shorter, vec![], vec![b'x'; 100_000]] {
            assert_eq!(find(&Secret::new(wrong)), None);
        }
    }
}

#[test]
fn a_principal_without_a_token_is_found_by_none() {
    let (_home, vault) = Home::with_vault();
    let principals = vault.principals();
    principals.ensure(&name("claude")).unwrap();
    principals.ensure(&name("claude")).unwrap();
    assert!(principals.exists(&name("claude")).unwrap());
    assert!(!principals.exists(&name("cursor")).unwrap());
    assert_eq!(principals.find_by_token(&secret("")).unwrap(), None);
    assert!(!principals.list().unwrap()[0].has_token);

    let token = principals.create(&name("claude")).unwrap();
    assert_eq!(principals.find_by_token(&token).unwrap(), Some(name("claude")));
    let error = principals.create(&name("claude")).unwrap_err();
    assert!(matches!(error, VaultError::PrincipalExists { .. }));
}

#[test]
fn a_disabled_principal_is_refused_at_once_in_every_process() {
    let (home, vault) = Home::with_vault();
    let other = home.open().unwrap();
    let token = vault.principals().create(&name("claude")).unwrap();
    let kept = vault.principals().create(&name("cursor")).unwrap();
    assert_eq!(other.principals().find_by_token(&token).unwrap(), Some(name("claude")));
    vault.principals().disable(&name("claude")).unwrap();
    assert_eq!(other.principals().find_by_token(&token).unwrap(), None);
    assert!(!other.principals().exists(&name("claude")).unwrap());
    assert_eq!(other.principals().find_by_token(&kept).unwrap(), Some(name("cursor")));

    let error = vault.principals().create(&name("claude")).unwrap_err();
    assert!(matches!(error, VaultError::PrincipalExists { .. }), "disabled is not gone");
    let error = vault.principals().disable(&name("nobody")).unwrap_err();
    assert!(matches!(error, VaultError::NoPrincipal { .. }));
}

#[test]
fn a_renewed_token_replaces_the_old_one() {
    let (_home, vault) = Home::with_vault();
    let principals = vault.principals();
    let old = principals.create(&name("claude")).unwrap();
    let new = principals.renew(&name("claude")).unwrap();
    assert_eq!(principals.find_by_token(&old).unwrap(), None);
    assert_eq!(principals.find_by_token(&new).unwrap(), Some(name("claude")));
    assert!(principals.renew(&name("nobody")).is_err());
}
