//! Ids across tenants: what is another's is like what is not there.

use strongroom_model::lock::Part;
use strongroom_model::team::{KeyId, RawServer, ServerChange, Tenant};
use strongroom_store::team::{AuditQuery, Page, TenantStore};

use super::base::{Base, ctx, server};
use super::on_both;
use crate::home::name;

on_both! {
    ten_thousand_pairs_of_a_tenant_and_anothers_id_find_nothing,
}

const TENANTS: usize = 12;

async fn ten_thousand_pairs_of_a_tenant_and_anothers_id_find_nothing(base: &Base) {
    let mut all: Vec<(Tenant, KeyId, String)> = Vec::new();
    for n in 0..TENANTS {
        let tenant = base.tenant(&format!("t{n}")).await;
        let store = base.team.tenant(&ctx(&tenant));
        let own = format!("own-{n}-{}", &tenant.id.as_str()[..8]);
        store.register_server(server(&own, &format!("{own}."))).await.unwrap();
        store.put_service(&own, &serde_json::json!({})).await.unwrap();
        store.lock(&Part::Server(name(&own))).await.unwrap();
        let scopes = "use".parse().unwrap();
        let (key, _) = base.team.create_api_key(&tenant.id, "k", scopes, None).await.unwrap();
        all.push((tenant, key.id, own));
    }
    let nobodys = (KeyId::from_random([7; 8]), "nobodys".to_owned());
    let mut random: u64 = 7;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(random >> 33).unwrap() % below
    };
    for round in 0..10_000 {
        let (who, step) = (next(TENANTS), 1 + next(TENANTS - 1));
        let (tenant, _, _) = &all[who];
        let (_, key, own) = &all[(who + step) % TENANTS];
        let store = base.team.tenant(&ctx(tenant));
        // What changes something takes a transaction: fewer of those.
        if round % 20 == 0 {
            let (strange, none) = (
                attempt(base, &store, tenant, key, own).await,
                attempt(base, &store, tenant, &nobodys.0, &nobodys.1).await,
            );
            assert_eq!(strange, none);
        } else {
            assert_eq!(store.server(own).await.unwrap(), None);
        }
    }
    for (tenant, _, own) in &all {
        let store = base.team.tenant(&ctx(tenant));
        let servers = store.servers(&Page::default()).await.unwrap().servers;
        assert_eq!((servers.len(), &servers[0].server_id), (1, own));
        assert_eq!(store.services().await.unwrap().len(), 1);
        assert_eq!(store.locks().await.unwrap().len(), 1);
        assert_eq!(base.team.api_keys(&tenant.id).await.unwrap().len(), 1);
    }
}

/// What a tenant is told of an id.
async fn attempt(
    base: &Base,
    store: &TenantStore<'_>,
    tenant: &Tenant,
    key: &KeyId,
    id: &str,
) -> String {
    let raw = RawServer { enabled: Some(false), ..RawServer::default() };
    let change = ServerChange::new(raw).unwrap();
    let of_call = AuditQuery { audit_id: Some(id.to_owned()), ..AuditQuery::default() };
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        store.update_server(id, change).await,
        store.delete_server(id).await,
        store.delete_service(id).await,
        store.unlock(&Part::Server(name(id))).await,
        base.team.enable_api_key(&tenant.id, key, false).await,
        base.team.rotate_api_key(&tenant.id, key).await.map_err(|error| error.to_string()),
        base.team.delete_api_key(&tenant.id, key).await,
        store.audit(&of_call).await,
    )
}
