//! Organizations, tenants, services, locks: what there is, and who sees it.

use serde_json::json;
use strongroom_model::lock::Part;
use strongroom_store::team::{Page, TeamError};

use super::base::{Base, ctx, server};
use super::on_both;
use crate::home::name;

on_both! {
    names_are_unique_where_people_look_for_them,
    a_deleted_tenant_takes_all_that_is_its_own_along,
    a_service_is_stored_as_it_was_given_and_counts_its_revisions,
    what_is_locked_stays_locked_for_whom_it_was,
    two_tenants_may_have_the_same_and_see_only_their_own,
}

async fn names_are_unique_where_people_look_for_them(base: &Base) {
    let (a, b) = (base.organization("a").await, base.organization("b").await);
    let again = base.team.create_organization("a").await;
    assert!(matches!(again, Err(TeamError::Conflict { field: "name" })), "{again:?}");
    let first = base.team.create_tenant(&a.id, "shop").await.unwrap();
    let again = base.team.create_tenant(&a.id, "shop").await;
    assert!(matches!(again, Err(TeamError::Conflict { field: "name" })), "{again:?}");
    let other = base.team.create_tenant(&b.id, "shop").await.unwrap();
    assert_eq!(base.team.tenants(&a.id).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!(base.team.tenants_named("shop").await.unwrap().len(), 2);
    assert_eq!(base.team.find_tenant(&other.id).await.unwrap().unwrap(), other);
    assert_eq!(base.team.organizations().await.unwrap(), [a, b]);
    for bad in ["", " a", "a\n", &"x".repeat(201)] {
        let made = base.team.create_organization(bad).await;
        assert!(matches!(made, Err(TeamError::Invalid(_))), "{made:?}");
    }
}

/// TN-11, as far as the store goes.
async fn a_deleted_tenant_takes_all_that_is_its_own_along(base: &Base) {
    let tenant = base.tenant("shop").await;
    let store = base.team.tenant(&ctx(&tenant));
    store.register_server(server("a", "a.")).await.unwrap();
    store.put_service("github", &json!({})).await.unwrap();
    let token = base.key(&tenant, None).await;
    assert!(base.team.delete_tenant(&tenant.id).await.unwrap());
    assert!(!base.team.delete_tenant(&tenant.id).await.unwrap());
    assert!(base.team.authenticate_api_key(&token).await.unwrap().is_none());
    assert_eq!(store.servers(&Page::default()).await.unwrap().total, 0);
    let late = store.register_server(server("b", "b.")).await;
    assert!(matches!(late, Err(TeamError::NotFound)), "{late:?}");
    let again = base.team.create_tenant(&tenant.organization, "shop").await.unwrap();
    assert_ne!(again.id, tenant.id);
}

async fn a_service_is_stored_as_it_was_given_and_counts_its_revisions(base: &Base) {
    let (a, b) = (base.tenant("a").await, base.tenant("b").await);
    let store = base.team.tenant(&ctx(&a));
    let definition = json!({"base_url": "https://api.github.com", "allow": ["GET /**"], "z": 1});
    let first = store.put_service("github", &definition).await.unwrap();
    assert_eq!((first.revision, &first.definition), (1, &definition));
    let second = store.put_service("github", &json!({"a": []})).await.unwrap();
    assert_eq!((second.id, second.revision, second.created_at), (first.id, 2, first.created_at));
    assert_eq!(store.services().await.unwrap(), [second]);
    assert!(base.team.tenant(&ctx(&b)).services().await.unwrap().is_empty());
    assert!(!base.team.tenant(&ctx(&b)).delete_service("github").await.unwrap());
    assert!(store.delete_service("github").await.unwrap());
    assert!(store.put_service("../x", &json!({})).await.is_err());
}

async fn what_is_locked_stays_locked_for_whom_it_was(base: &Base) {
    let (a, b) = (base.tenant("a").await, base.tenant("b").await);
    let (a, b) = (base.team.tenant(&ctx(&a)), base.team.tenant(&ctx(&b)));
    let part = Part::Service(name("github"));
    assert!(a.lock(&part).await.unwrap() && !a.lock(&part).await.unwrap());
    assert!(a.locked().await.unwrap().stops_call(&name("x"), &name("github")).is_some());
    assert!(b.locked().await.unwrap().is_empty());
    assert!(!b.unlock(&part).await.unwrap() && a.unlock(&part).await.unwrap());
    assert!(a.locks().await.unwrap().is_empty());

    assert!(base.team.lock_all(&Part::Everything).await.unwrap());
    for store in [a, b] {
        assert!(store.locks().await.unwrap()[0].installation);
        assert!(store.locked().await.unwrap().stops_start(&name("any")).is_some());
        assert!(!store.unlock(&Part::Everything).await.unwrap());
    }
    assert!(base.team.unlock_all(&Part::Everything).await.unwrap());
    assert!(a.locked().await.unwrap().is_empty());
}

/// TN-06.
async fn two_tenants_may_have_the_same_and_see_only_their_own(base: &Base) {
    let (a, b) = (base.tenant("a").await, base.tenant("b").await);
    let (a, b) = (base.team.tenant(&ctx(&a)), base.team.tenant(&ctx(&b)));
    let first = a.register_server(server("amazon", "amazon.")).await.unwrap();
    assert_eq!(b.servers(&Page::default()).await.unwrap().servers, []);
    let second = b.register_server(server("amazon", "amazon.")).await.unwrap();
    assert_ne!(first.id, second.id);
    a.put_service("github", &json!({})).await.unwrap();
    b.put_service("github", &json!({})).await.unwrap();
    assert!(b.delete_server("amazon").await.unwrap());
    assert_eq!(a.servers(&Page::default()).await.unwrap().servers, [first]);
}
