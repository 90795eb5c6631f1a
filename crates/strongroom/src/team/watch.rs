//! What has changed for tenants whose servers run, or whose clients listen, whoever changed it and on
//! whichever node. All others see it with their next request.

use std::sync::Arc;
use std::time::Duration;

use strongroom_model::team::{Actor, TenantCtx, TenantId};
use strongroom_store::team::Change;
use tokio::sync::watch as stop;
use tokio::time::{MissedTickBehavior, interval};

use super::tenant::Tenant;
use super::tenants::Tenants;

/// How often is looked for what nobody has called for long.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// Watches until `stop` is gone, and then ends every server.
pub async fn watch(tenants: Arc<Tenants>, mut stop: stop::Receiver<()>) {
    let mut changes = tenants.team.changes();
    let mut tick = interval(TIDY_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            change = changes.changed() => match change {
                Change::Tenant(id) => {
                    if let Some(tenant) = tenants.opened(&id) {
                        look(&tenants, id, &tenant).await;
                    }
                }
                Change::All => {
                    for (id, tenant) in tenants.all() {
                        look(&tenants, id, &tenant).await;
                    }
                }
            },
            _ = tick.tick() => {
                for (_, tenant) in tenants.all() {
                    tenant.fleet.tidy();
                }
            }
            _ = stop.changed() => break,
        }
    }
    for (id, _) in tenants.all() {
        tenants.close(&id, "this server ends");
    }
}

/// Takes up what has changed. Where the store cannot be asked, what runs goes on; the next request asks.
async fn look(tenants: &Tenants, id: TenantId, tenant: &Tenant) {
    if !tenant.fleet.is_watched() {
        return;
    }
    let ctx = TenantCtx { tenant: id, actor: Actor::Operator };
    match tenants.team.still_lets_in(&ctx).await {
        Ok(true) => {
            drop(tenant.refresh(&tenants.team.tenant(&ctx), &tenants.rules).await);
        }
        Ok(false) => tenants.close(&id, "the tenant was suspended"),
        Err(_) => {}
    }
}
