//! Keys of callers, and who they let in.

use std::sync::Arc;
use std::time::Duration;

use strongroom_model::ports::Clock as _;
use strongroom_model::secret::Secret;
use strongroom_model::team::{Actor, KeyKind, Scope, Scopes};
use strongroom_seal::{Key, LocalKek};
use strongroom_store::team::TeamError;

use super::base::{Base, ctx};
use super::on_both;

on_both! {
    a_key_lets_its_holder_in_for_its_tenant,
    a_key_that_is_wrong_expired_or_off_lets_nobody_in,
    a_rotated_key_lets_in_by_its_new_text_only,
    a_kernel_acts_for_the_tenants_of_its_organization_and_no_other,
    a_kernel_that_signs_is_not_let_in_by_its_secret,
    a_signature_is_used_once,
    another_kek_opens_nothing_and_starts_nothing,
}

fn copy(secret: &Secret) -> Secret {
    Secret::new(secret.expose().to_vec())
}

async fn a_key_lets_its_holder_in_for_its_tenant(base: &Base) {
    let tenant = base.tenant("a").await;
    let scopes: Scopes = "use,credentials:write".parse().unwrap();
    let (key, token) = base.team.create_api_key(&tenant.id, "ci", scopes, None).await.unwrap();
    let (found, ctx) = base.team.authenticate_api_key(&token).await.unwrap().unwrap();
    assert_eq!(found, key);
    assert_eq!((ctx.tenant, ctx.actor), (tenant.id, Actor::ApiKey(key.id)));
    assert!(found.scopes.contains(Scope::CredentialsWrite) && !found.scopes.contains(Scope::Admin));
    assert_eq!(base.team.api_keys(&tenant.id).await.unwrap(), [key]);
    assert_eq!(base.another().await.authenticate_api_key(&token).await.unwrap().unwrap().1, ctx);
}

/// AU-01.
async fn a_key_that_is_wrong_expired_or_off_lets_nobody_in(base: &Base) {
    let (tenant, other) = (base.tenant("a").await, base.tenant("b").await);
    let soon = base.clock.now() + Duration::from_mins(1);
    let lasting = base.key(&tenant, None).await;
    let short = base.key(&tenant, Some(soon)).await;
    let theirs = base.key(&other, None).await;
    let lets_in =
        async |token: &Secret| base.team.authenticate_api_key(token).await.unwrap().is_some();
    for token in [&lasting, &short, &theirs] {
        assert!(lets_in(token).await);
    }
    let (id, secret) = (&lasting.expose()[..21], &theirs.expose()[21..]);
    let unknown = b"mcp_0000000000000000_".as_slice();
    let mut flipped = lasting.expose().to_vec();
    flipped[30] = if flipped[30] == b'A' { b'B' } else { b'A' };
    for wrong in [[id, secret].concat(), [unknown, secret].concat(), flipped] {
        assert!(KeyKind::Api.parse(&wrong).is_some(), "it has the form of a key");
        assert!(!lets_in(&Secret::new(wrong)).await);
    }
    for wrong in ["", "mcp_", "mcp_' OR '1'='1"] {
        assert!(!lets_in(&Secret::new(wrong.as_bytes().to_vec())).await);
    }
    base.clock.advance(Duration::from_mins(1));
    assert!(!lets_in(&short).await && lets_in(&lasting).await);

    let id = KeyKind::Api.parse(lasting.expose()).unwrap().id;
    assert!(!base.team.enable_api_key(&other.id, &id, false).await.unwrap());
    assert!(base.team.enable_api_key(&tenant.id, &id, false).await.unwrap());
    assert!(!lets_in(&lasting).await);
    assert!(base.team.enable_api_key(&tenant.id, &id, true).await.unwrap());
    assert!(lets_in(&lasting).await);
    base.team.enable_tenant(&tenant.id, false).await.unwrap();
    assert!(!lets_in(&lasting).await && lets_in(&theirs).await);
    base.team.enable_tenant(&tenant.id, true).await.unwrap();
    assert!(lets_in(&lasting).await);
    assert!(!base.team.delete_api_key(&other.id, &id).await.unwrap());
    assert!(base.team.delete_api_key(&tenant.id, &id).await.unwrap());
    assert!(!lets_in(&lasting).await);
}

async fn a_rotated_key_lets_in_by_its_new_text_only(base: &Base) {
    let tenant = base.tenant("a").await;
    let old = base.key(&tenant, None).await;
    let id = KeyKind::Api.parse(old.expose()).unwrap().id;
    let (key, new) = base.team.rotate_api_key(&tenant.id, &id).await.unwrap();
    assert_ne!(key.id, id);
    assert!(base.team.authenticate_api_key(&old).await.unwrap().is_none());
    assert_eq!(base.team.authenticate_api_key(&new).await.unwrap().unwrap().0, key);
    let again = base.team.rotate_api_key(&tenant.id, &id).await;
    assert!(matches!(again, Err(TeamError::NotFound)), "{again:?}");
}

async fn a_kernel_acts_for_the_tenants_of_its_organization_and_no_other(base: &Base) {
    let (ours, theirs) = (base.tenant("a").await, base.tenant("b").await);
    let (key, token) = base.team.create_kernel_key(&ours.organization, "k", false).await.unwrap();
    let (found, ctx) = base.team.authenticate_kernel(&token, &ours.id).await.unwrap().unwrap();
    assert_eq!((&found, ctx.tenant, ctx.actor), (&key, ours.id, Actor::Kernel(key.id)));
    let nobody = "2f1c3a4e-0b5d-4c6e-8f70-112233445566".parse().unwrap();
    for other in [theirs.id, nobody] {
        assert!(base.team.authenticate_kernel(&token, &other).await.unwrap().is_none());
    }
    base.team.enable_tenant(&ours.id, false).await.unwrap();
    assert!(base.team.authenticate_kernel(&token, &ours.id).await.unwrap().is_none());
    base.team.enable_tenant(&ours.id, true).await.unwrap();
    let (_, new) = base.team.rotate_kernel_key(&key.id).await.unwrap();
    assert!(base.team.authenticate_kernel(&token, &ours.id).await.unwrap().is_none());
    assert!(base.team.authenticate_kernel(&new, &ours.id).await.unwrap().is_some());
    let id = KeyKind::Kernel.parse(new.expose()).unwrap().id;
    assert!(base.team.enable_kernel_key(&id, false).await.unwrap());
    assert!(base.team.authenticate_kernel(&new, &ours.id).await.unwrap().is_none());
    assert!(base.team.delete_kernel_key(&id).await.unwrap());
    assert!(base.team.kernel_keys(&ours.organization).await.unwrap().is_empty());
}

async fn a_kernel_that_signs_is_not_let_in_by_its_secret(base: &Base) {
    let (ours, theirs) = (base.tenant("a").await, base.tenant("b").await);
    let (key, token) = base.team.create_kernel_key(&ours.organization, "k", true).await.unwrap();
    assert!(base.team.authenticate_kernel(&token, &ours.id).await.unwrap().is_none());
    let signed = base.team.signed_kernel(&key.id, &ours.id).await.unwrap().unwrap();
    let secret = KeyKind::Kernel.parse(token.expose()).unwrap().secret;
    assert!(signed.signing_key.ct_eq(&Secret::new(secret.to_vec())));
    assert_eq!(signed.ctx.unwrap().tenant, ours.id);
    let signed = base.team.signed_kernel(&key.id, &theirs.id).await.unwrap().unwrap();
    assert!(signed.ctx.is_none());

    let (plain, _) = base.team.create_kernel_key(&ours.organization, "p", false).await.unwrap();
    assert!(base.team.signed_kernel(&plain.id, &ours.id).await.unwrap().is_none());
    let (rotated, token) = base.team.rotate_kernel_key(&key.id).await.unwrap();
    assert!(base.team.signed_kernel(&key.id, &ours.id).await.unwrap().is_none());
    let signed = base.team.signed_kernel(&rotated.id, &ours.id).await.unwrap().unwrap();
    let secret = KeyKind::Kernel.parse(token.expose()).unwrap().secret;
    assert!(signed.signing_key.ct_eq(&Secret::new(secret.to_vec())));
}

async fn a_signature_is_used_once(base: &Base) {
    let another = base.another().await;
    let later = base.clock.now() + Duration::from_mins(10);
    assert!(base.team.use_signature([7; 32], later).await.unwrap());
    assert!(!another.use_signature([7; 32], later).await.unwrap());
    assert!(another.use_signature([8; 32], later).await.unwrap());
    base.clock.advance(Duration::from_secs(601));
    let later = base.clock.now() + Duration::from_mins(10);
    assert!(base.team.use_signature([7; 32], later).await.unwrap());
}

/// CR-07.
async fn another_kek_opens_nothing_and_starts_nothing(base: &Base) {
    let tenant = base.tenant("a").await;
    let token = base.key(&tenant, None).await;
    let other = base.connect(Arc::new(LocalKek::new(Key::generate().unwrap()))).await;
    assert!(matches!(other, Err(TeamError::Kek(_))), "{:?}", other.err());
    base.team.ready().await.unwrap();
    let again = base.another().await;
    assert!(again.authenticate_api_key(&copy(&token)).await.unwrap().is_some());
    assert_eq!(again.api_keys(&tenant.id).await.unwrap().len(), 1);
    assert_eq!(ctx(&tenant).tenant, tenant.id);
}
