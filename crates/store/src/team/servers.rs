//! The servers that a tenant registered.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_model::team::{
    McpServer, NewServer, SecretField, ServerChange, ServerId, TenantId, advertised,
};

use super::caps::Counted;
use super::database::{Row, Tx, Value, micros};
use super::{TeamError, TenantStore, new_id};

/// Which servers are wanted.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Only those that are enabled.
    pub enabled_only: bool,
    /// At most so many; all where it is `None`.
    pub limit: Option<u32>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// Servers of a tenant, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// Those of this page.
    pub servers: Vec<McpServer>,
    /// How many there are on all pages.
    pub total: u64,
    /// What the next page goes on from; `None` where this is the last.
    pub next_cursor: Option<String>,
}

/// The columns, in the order in which [`server`] reads them.
const ALL: &str = "SELECT id, server_id, name, command, args, url, headers, secrets, tool_prefix, enabled, \
     created_at, updated_at, config_rev, tools FROM tenant_mcp_servers WHERE tenant_id = $1 \
     ORDER BY created_at, id";
const ONE: &str = "SELECT id, server_id, name, command, args, url, headers, secrets, tool_prefix, enabled, \
     created_at, updated_at, config_rev, tools FROM tenant_mcp_servers \
     WHERE tenant_id = $1 AND server_id = $2";
const ONE_LOCKED: &str = "SELECT id, server_id, name, command, args, url, headers, secrets, tool_prefix, enabled, \
     created_at, updated_at, config_rev, tools FROM tenant_mcp_servers \
     WHERE tenant_id = $1 AND server_id = $2 FOR UPDATE";

impl TenantStore<'_> {
    /// Registers a server. Its name and, in the form in which clients see it, its prefix are unique
    /// in the tenant.
    pub async fn register_server(&self, new: NewServer) -> Result<McpServer, TeamError> {
        let server = McpServer::new(new.spec(), new_id(ServerId::from_random)?, self.team.now());
        let (row, tenant) = (server.clone(), self.tenant());
        self.add(Counted::Servers, move |tx| {
            Box::pin(async move {
                tx.execute(
                    "INSERT INTO tenant_mcp_servers (tenant_id, id, server_id, name, command, \
                     args, url, headers, secrets, tool_prefix, advertised_prefix, enabled, \
                     created_at, updated_at, config_rev, tools) VALUES ($1, $2, $3, $4, $5, $6, \
                     $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
                    values(tenant, &row),
                )
                .await
            })
        })
        .await?;
        Ok(server)
    }

    /// The servers, page by page.
    pub async fn servers(&self, page: &Page) -> Result<Servers, TeamError> {
        let after = page.cursor.as_deref().map(|cursor| self.server_place(cursor)).transpose()?;
        let all = self.all_servers().await?;
        let shown = |server: &&McpServer| server.enabled || !page.enabled_only;
        let total = all.iter().filter(shown).count() as u64;
        let behind = |server: &&McpServer| after.is_none_or(|after| after < position(server));
        let mut rest = all.iter().filter(shown).filter(behind);
        let most = page.limit.map_or(usize::MAX, |limit| limit.max(1) as usize);
        let servers: Vec<McpServer> = rest.by_ref().take(most).cloned().collect();
        let more = rest.next().is_some();
        let next_cursor = servers.last().filter(|_| more).map(|last| self.after_server(last));
        Ok(Servers { servers, total, next_cursor })
    }

    /// One server, by the tenant's name for it.
    pub async fn server(&self, server_id: &str) -> Result<Option<McpServer>, TeamError> {
        let all = self.all_servers().await?;
        Ok(all.iter().find(|server| server.server_id == server_id).cloned())
    }

    /// Changes a server, and gives it as it is now.
    pub async fn update_server(
        &self,
        server_id: &str,
        change: ServerChange,
    ) -> Result<McpServer, TeamError> {
        let (tenant, server_id, now) = (self.tenant(), server_id.to_owned(), self.team.now());
        self.write(move |tx| {
            Box::pin(async move {
                let old = find(tx, tenant, &server_id).await?;
                let server = McpServer {
                    created_at: old.created_at,
                    config_rev: old.config_rev + 1,
                    ..McpServer::new(change.apply(&old)?.spec(), old.id, now.max(old.updated_at))
                };
                tx.execute(
                    "UPDATE tenant_mcp_servers SET server_id = $3, name = $4, command = $5, \
                     args = $6, url = $7, headers = $8, secrets = $9, tool_prefix = $10, \
                     advertised_prefix = $11, enabled = $12, created_at = $13, updated_at = $14, \
                     config_rev = $15, tools = $16 WHERE tenant_id = $1 AND id = $2",
                    values(tenant, &server),
                )
                .await?;
                Ok(server)
            })
        })
        .await
    }

    /// Deletes a server; says whether the tenant had it.
    pub async fn delete_server(&self, server_id: &str) -> Result<bool, TeamError> {
        let (tenant, server_id) = (self.tenant(), server_id.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                let sql = "DELETE FROM tenant_mcp_servers WHERE tenant_id = $1 AND server_id = $2";
                Ok(tx.execute(sql, vec![tenant.into(), server_id.into()]).await? == 1)
            })
        })
        .await
    }

    /// All of them, the oldest first. While nothing changes it is the same allocation.
    pub async fn all_servers(&self) -> Result<Arc<Vec<McpServer>>, TeamError> {
        let tenant = self.tenant();
        let load = self.read(move |tx| {
            Box::pin(async move {
                let rows = tx.query(ALL, vec![tenant.into()]).await?;
                rows.iter().map(server).collect()
            })
        });
        self.team.inner.kept.servers.get(tenant, |_| Some(tenant), load).await
    }

    fn server_place(&self, cursor: &str) -> Result<(i64, [u8; 16]), TeamError> {
        let place = self.read_cursor(LIST, cursor)?;
        let (at, id) = place.split_first_chunk().ok_or(TeamError::Cursor)?;
        let id = id.try_into().map_err(|_| TeamError::Cursor)?;
        Ok((i64::from_be_bytes(*at), id))
    }

    fn after_server(&self, last: &McpServer) -> String {
        let (at, id) = position(last);
        self.cursor(LIST, &[at.to_be_bytes().as_slice(), &id].concat())
    }
}

const LIST: &str = "servers";

async fn find(tx: &mut Tx, tenant: TenantId, server_id: &str) -> Result<McpServer, TeamError> {
    // On SQLite nobody else writes meanwhile.
    let sql = tx.either(ONE, ONE_LOCKED);
    let row = tx.first(sql, vec![tenant.into(), server_id.into()]).await?;
    server(&row.ok_or(TeamError::NotFound)?)
}

/// In which order servers are listed.
fn position(server: &McpServer) -> (i64, [u8; 16]) {
    (micros(server.created_at), server.id.bytes())
}

/// About how many bytes of memory a server takes.
pub(super) fn weight(server: &McpServer) -> usize {
    let McpServer {
        server_id, name, command, args, url, headers, secrets, tools, tool_prefix, ..
    } = server;
    let maps = 250 * (headers.len() + secrets.len());
    let headers: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let text = [server_id, name, tool_prefix]
        .into_iter()
        .chain(args)
        .chain(tools)
        .chain(command)
        .chain(url);
    400 + maps + headers + text.map(|text| text.len() + 40).sum::<usize>()
}

fn values(tenant: TenantId, server: &McpServer) -> Vec<Value> {
    let json = |value: Result<String, _>| value.expect("maps of texts are JSON");
    vec![
        tenant.into(),
        server.id.into(),
        server.server_id.clone().into(),
        server.name.clone().into(),
        server.command.clone().into(),
        server.args.clone().into(),
        server.url.clone().into(),
        json(serde_json::to_string(&server.headers)).into(),
        // No secrets in so many words, and nothing said of them.
        json(serde_json::to_string(&(!server.bare).then_some(&server.secrets))).into(),
        server.tool_prefix.clone().into(),
        advertised(&server.tool_prefix).into(),
        server.enabled.into(),
        server.created_at.into(),
        server.updated_at.into(),
        i64::try_from(server.config_rev).unwrap_or(i64::MAX).into(),
        json(serde_json::to_string(&server.tools)).into(),
    ]
}

fn server(row: &Row) -> Result<McpServer, TeamError> {
    let damaged = |_| TeamError::damaged("a server's headers, secrets or rules");
    let secrets: Option<BTreeMap<String, SecretField>> =
        serde_json::from_str(&row.get::<String>(7)?).map_err(damaged)?;
    Ok(McpServer {
        id: row.get(0)?,
        server_id: row.get(1)?,
        name: row.get(2)?,
        command: row.get(3)?,
        args: row.get(4)?,
        url: row.get(5)?,
        headers: serde_json::from_str(&row.get::<String>(6)?).map_err(damaged)?,
        bare: secrets.is_none(),
        secrets: secrets.unwrap_or_default(),
        tools: serde_json::from_str(&row.get::<String>(13)?).map_err(damaged)?,
        tool_prefix: row.get(8)?,
        enabled: row.get(9)?,
        created_at: row.get(10)?,
        updated_at: row.get(11)?,
        config_rev: u64::try_from(row.get::<i64>(12)?).unwrap_or_default(),
    })
}
