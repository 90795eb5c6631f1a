//! How much one tenant may have.

use serde_json::json;
use strongroom_model::lock::Part;
use strongroom_model::secret::Secret;
use strongroom_model::team::{Scopes, Tenant};
use strongroom_store::team::{Caps, CredentialValues, NewCredential, Team, TeamError};

use super::base::{Base, ctx, server};
use super::on_both;

on_both! {
    of_each_kind_a_tenant_has_as_many_as_it_may_and_can_replace_them,
    of_many_that_add_the_last_one_at_once_one_gets_in,
    a_large_organization_is_deleted_with_all_that_it_has,
}

const CAPS: Caps = Caps { servers: 2, services: 2, credentials: 2, keys: 2, locks: 2 };

#[expect(clippy::needless_pass_by_value, reason = "what a call gives is looked at and dropped")]
fn too_many<T>(done: Result<T, TeamError>) -> bool {
    matches!(done, Err(TeamError::TooMany { most: 2, .. }))
}

fn values() -> CredentialValues {
    CredentialValues::new(Secret::new(b"{\"api_key\":\"x\"}".to_vec())).unwrap()
}

async fn of_each_kind_a_tenant_has_as_many_as_it_may_and_can_replace_them(base: &Base) {
    let team = base.team.clone().with_caps(CAPS);
    let (full, other) = (base.tenant("full").await, base.tenant("other").await);
    let store = team.tenant(&ctx(&full));
    let key = async |team: &Team, tenant: &Tenant| {
        team.create_api_key(&tenant.id, "key", Scopes::NONE, None).await
    };
    for n in ["a", "b"] {
        store.register_server(server(n, &format!("{n}."))).await.unwrap();
        store.put_service(n, &json!({})).await.unwrap();
        store.store_credential(n, "api_key", values()).await.unwrap();
        assert!(store.lock(&Part::Service(n.parse().unwrap())).await.unwrap());
        key(&team, &full).await.unwrap();
    }
    assert!(too_many(store.register_server(server("c", "c.")).await));
    assert!(too_many(store.put_service("c", &json!({})).await));
    assert!(too_many(store.store_credential("c", "api_key", values()).await));
    assert!(too_many(store.lock(&Part::Everything).await));
    assert!(too_many(key(&team, &full).await));
    assert_eq!(store.credentials(None).await.unwrap().len(), 2);

    // What is there can be replaced, also where there may be less of it since.
    let lowered = base.team.clone().with_caps(Caps { credentials: 1, services: 1, ..CAPS });
    let store = lowered.tenant(&ctx(&full));
    assert_eq!(store.store_credential("a", "api_key", values()).await.unwrap().version, 2);
    assert_eq!(store.put_service("a", &json!({})).await.unwrap().revision, 2);
    // And others have their own number of them.
    let store = team.tenant(&ctx(&other));
    store.register_server(server("c", "c.")).await.unwrap();
    key(&team, &other).await.unwrap();
    // Several at once are all too many.
    let new = |service: &str| NewCredential {
        service: service.into(),
        credential_type: "api_key".into(),
        values: values(),
        created_at: None,
    };
    assert!(too_many(store.store_credentials(vec![new("x"), new("y"), new("z")], true).await));
    assert_eq!(store.store_credentials(vec![new("x"), new("y")], true).await.unwrap().len(), 2);
}

async fn of_many_that_add_the_last_one_at_once_one_gets_in(base: &Base) {
    let team = base.team.clone().with_caps(Caps { servers: 1, ..CAPS });
    let tenant = base.tenant("shop").await;
    let adding = (0..8).map(|n| {
        let (team, ctx) = (team.clone(), ctx(&tenant));
        tokio::spawn(async move {
            let new = server(&format!("s{n}"), &format!("s{n}."));
            team.tenant(&ctx).register_server(new).await
        })
    });
    let adding: Vec<_> = adding.collect();
    let mut added = 0;
    for one in adding {
        match one.await.unwrap() {
            Ok(_) => added += 1,
            Err(error) => assert!(matches!(error, TeamError::TooMany { most: 1, .. }), "{error}"),
        }
    }
    assert_eq!(added, 1);
}

async fn a_large_organization_is_deleted_with_all_that_it_has(base: &Base) {
    let (large, other) = (base.organization("large").await, base.tenant("other").await);
    for n in 0..150 {
        let tenant = base.team.create_tenant(&large.id, &format!("t{n}")).await.unwrap();
        if n % 50 == 0 {
            base.team.tenant(&ctx(&tenant)).register_server(server("a", "a.")).await.unwrap();
        }
    }
    let kernel = base.team.create_kernel_key(&large.id, "k", false).await.unwrap().1;
    assert!(base.team.delete_organization(&large.id).await.unwrap());
    assert!(!base.team.delete_organization(&large.id).await.unwrap());
    assert!(base.team.tenants(&large.id).await.unwrap().is_empty());
    assert!(base.team.authenticate_kernel_key(&kernel).await.unwrap().is_none());
    assert!(base.team.find_tenant(&other.id).await.unwrap().is_some());
}
