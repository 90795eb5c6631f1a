//! Tenants with their servers, keys and credentials.

use std::{error::Error, fmt::Write as _};

use rusqlite::{Connection, params};
use strongroom_model::{
    secret::Secret,
    team::{Actor, Scope, TenantCtx, TenantId},
};
use strongroom_store::team::{CredentialValues, Team};
use tokio::{runtime, task::JoinSet};
use uuid::Uuid;

use super::place::{Database, Place};

/// A tenant, and who asks for it.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) tenant: TenantId,
    /// The text of its key.
    pub(super) key: String,
    /// What its credential says.
    pub(super) value: String,
}

/// The service that each has a credential for.
pub(super) const SERVICE: &str = "shop";

/// Tenants that are filled at once.
const AT_ONCE: usize = 5_000;
/// Keys and credentials that are made at once.
const MAKERS: usize = 48;

/// Adds tenants with so many servers each until there are `tenants`.
pub(super) fn up_to(
    place: &Place,
    servers: u32,
    tenants: usize,
    accounts: &mut Vec<Account>,
) -> Result<(), Box<dyn Error>> {
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let team = runtime.block_on(place.team())?;
    let organization = match runtime.block_on(team.organizations())?.pop() {
        Some(there) => there.id,
        None => runtime.block_on(team.create_organization("acme"))?.id,
    };
    while accounts.len() < tenants {
        let from = accounts.len();
        let count = (tenants - from).min(AT_ONCE);
        let new: Vec<TenantId> =
            (0..count).map(|_| TenantId::from_random(*Uuid::new_v4().as_bytes())).collect();
        match &place.database {
            Database::Sqlite(file) => {
                sqlite(&mut Connection::open(file)?, organization.as_str(), from, &new, servers)?;
            }
            Database::Postgres(server, database) => {
                server.sql(database, &postgres(organization.as_str(), from, &new, servers)?);
            }
        }
        accounts.extend(runtime.block_on(let_in(&team, &new, from))?);
    }
    if let Database::Postgres(server, database) = &place.database {
        server.sql(database, "VACUUM ANALYZE; CHECKPOINT;");
    }
    runtime.block_on(team.shutdown());
    Ok(())
}

/// Text that is the same in both databases: a server and what it has.
const SERVER: &str = "'s' || n, 'Server ' || n, 'node', ";
const REST: &str = "'{}', '{}', 's' || n || '.', 's' || n || '_', ";
const COLUMNS: &str = "tenant_id, id, server_id, name, command, args, headers, secrets, \
                       tool_prefix, advertised_prefix, created_at, updated_at, config_rev";

fn sqlite(
    db: &mut Connection,
    organization: &str,
    from: usize,
    new: &[TenantId],
    servers: u32,
) -> Result<(), Box<dyn Error>> {
    db.busy_timeout(std::time::Duration::from_mins(1))?;
    let transaction = db.transaction()?;
    {
        let mut tenant = transaction.prepare(
            "INSERT INTO tenants (id, organization_id, name, created_at) VALUES (?1, ?2, ?3, 1)",
        )?;
        let mut of_tenant = transaction.prepare(&format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?2) \
             INSERT INTO tenant_mcp_servers ({COLUMNS}) SELECT ?1, lower(format('%s-%s-4%s-8%s-%s', \
             hex(randomblob(4)), hex(randomblob(2)), substr(hex(randomblob(2)), 2), \
             substr(hex(randomblob(2)), 2), hex(randomblob(6)))), {SERVER} '[\"server.js\"]', {REST} \
             n, n, 1 FROM numbers"
        ))?;
        for (number, id) in (from..).zip(new) {
            tenant.execute(params![id.as_str(), organization, format!("tenant {number}")])?;
            of_tenant.execute(params![id.as_str(), servers])?;
        }
    }
    Ok(transaction.commit()?)
}

/// References are not looked up for each row: both sides are written here.
fn postgres(
    organization: &str,
    from: usize,
    new: &[TenantId],
    servers: u32,
) -> Result<String, std::fmt::Error> {
    let mut script =
        "SET search_path = strongroom; SET session_replication_role = replica; BEGIN;\n\
                      CREATE TEMPORARY TABLE new (id UUID, name TEXT);\nCOPY new FROM stdin;\n"
            .to_owned();
    for (number, id) in (from..).zip(new) {
        writeln!(script, "{id}\ttenant {number}")?;
    }
    write!(
        script,
        "\\.\nINSERT INTO tenants (id, organization_id, name, created_at) \
         SELECT id, '{organization}', name, now() FROM new;\n\
         INSERT INTO tenant_mcp_servers ({COLUMNS}) SELECT id, gen_random_uuid(), {SERVER} \
         ARRAY['server.js'], {REST} now(), now(), 1 FROM new, generate_series(1, {servers}) AS n;\n\
         COMMIT;\n",
    )?;
    Ok(script)
}

/// A key and a credential for each.
async fn let_in(
    team: &Team,
    tenants: &[TenantId],
    from: usize,
) -> Result<Vec<Account>, Box<dyn Error>> {
    let mut makers = JoinSet::new();
    let share = tenants.len().div_ceil(MAKERS).max(1);
    for (part, tenants) in tenants.chunks(share).enumerate() {
        let (team, tenants, from) = (team.clone(), tenants.to_vec(), from + part * share);
        makers.spawn(async move {
            let mut made = Vec::with_capacity(tenants.len());
            for (number, tenant) in (from..).zip(tenants) {
                made.push(account(&team, tenant, number).await.map_err(|it| it.to_string())?);
            }
            Ok::<_, String>((from, made))
        });
    }
    let mut parts = Vec::new();
    while let Some(made) = makers.join_next().await {
        parts.push(made??);
    }
    parts.sort_by_key(|(from, _)| *from);
    Ok(parts.into_iter().flat_map(|(_, made)| made).collect())
}

async fn account(team: &Team, tenant: TenantId, number: usize) -> Result<Account, Box<dyn Error>> {
    let scopes = [Scope::Use, Scope::Executor, Scope::Register].into_iter().collect();
    let (_, key) = team.create_api_key(&tenant, "bench", scopes, None).await?;
    let value = format!("value-of-tenant-{number}");
    let fields = format!("{{\"api_key\":\"{value}\"}}");
    let values = CredentialValues::new(Secret::new(fields.into_bytes()))?;
    let ctx = TenantCtx { tenant, actor: Actor::Operator };
    team.tenant(&ctx).store_credential(SERVICE, "api_key", values).await?;
    let key = String::from_utf8(key.expose().to_vec())?;
    Ok(Account { tenant, key, value })
}
