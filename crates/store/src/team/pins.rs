//! What is approved of the tools of a tenant's servers: the same on every node.
//!
//! A row is believed only with its tag, which follows from the installation's secret; one that others
//! wrote approves nothing. The rows of a server go with it.

use std::collections::HashMap;

use strongroom_model::pin::{self, Checked, DefinitionHash, Look, Offered, Pin, Pins, PinsError};
use strongroom_model::ports::BoxFuture;
use strongroom_model::team::{ServerId, TenantCtx, TenantId};

use super::database::{Row, Tx};
use super::{Team, TeamError, TenantStore};
use crate::pins::known;
use crate::pins::record::{self, Record};

/// What is kept of a tool, and of which server it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamPin {
    /// The tenant's name for the server.
    pub server_id: String,
    /// The tool.
    pub pin: Pin,
}

/// What is approved of one server, for its mount.
pub struct TenantPins {
    team: Team,
    ctx: TenantCtx,
    server: ServerId,
}

/// Whose rows, and how they are tagged.
#[derive(Clone)]
struct Owner {
    team: Team,
    tenant: TenantId,
    server: ServerId,
}

const OF_SERVER: &str =
    "SELECT tool, record, tag FROM tenant_tool_pins WHERE tenant_id = $1 AND server = $2";
const OF_ALL: &str = "SELECT p.tool, p.record, p.tag, p.server, s.server_id \
     FROM tenant_tool_pins p JOIN tenant_mcp_servers s \
     ON s.tenant_id = p.tenant_id AND s.id = p.server \
     WHERE p.tenant_id = $1 ORDER BY s.server_id, p.tool";
const SERVER: &str = "SELECT id FROM tenant_mcp_servers WHERE tenant_id = $1 AND id = $2";
/// Of all who write rows of one server, one at a time does.
const SERVER_LOCKED: &str =
    "SELECT id FROM tenant_mcp_servers WHERE tenant_id = $1 AND id = $2 FOR UPDATE";

impl Team {
    /// What is approved of a server of the tenant of `ctx`, for its mount.
    pub fn pins(&self, ctx: &TenantCtx, server: ServerId) -> TenantPins {
        TenantPins { team: self.clone(), ctx: *ctx, server }
    }
}

impl TenantStore<'_> {
    /// Every tool that is kept, by server and name.
    pub async fn pins(&self) -> Result<Vec<TeamPin>, TeamError> {
        let (team, tenant) = (self.team.clone(), self.tenant());
        self.read(move |tx| {
            Box::pin(async move {
                let rows = tx.query(OF_ALL, vec![tenant.into()]).await?;
                let pin = |row: &Row| {
                    let owner = Owner { team: team.clone(), tenant, server: row.get(3)? };
                    Ok(TeamPin { server_id: row.get(4)?, pin: owner.read(row)? })
                };
                rows.iter().map(pin).collect()
            })
        })
        .await
    }

    /// Approves the definition `hash` of a tool for a person who has seen it; says whether it was the one
    /// that waits. `NotFound` where the tenant has no such server or tool.
    pub async fn approve_pin(
        &self,
        server: ServerId,
        tool: &str,
        hash: DefinitionHash,
    ) -> Result<bool, TeamError> {
        let (tool, now) = (tool.to_owned(), self.team.now());
        let owner = Owner { team: self.team.clone(), tenant: self.tenant(), server };
        self.write(move |tx| {
            Box::pin(async move {
                owner.lock(tx).await?;
                let pin = owner.rows(tx).await?.remove(&*tool).ok_or(TeamError::NotFound)?;
                let waits = pin.known().waiting == Some(hash);
                if waits {
                    owner.put(tx, &pin.approve(now)).await?;
                }
                Ok(waits)
            })
        })
        .await
    }

    async fn check_pins(
        &self,
        server: ServerId,
        offered: Vec<Offered>,
    ) -> Result<Checked, TeamError> {
        let owner = Owner { team: self.team.clone(), tenant: self.tenant(), server };
        let reader = owner.clone();
        let kept = self.read(move |tx| Box::pin(async move { reader.rows(tx).await })).await?;
        let look = pin::look(&known(&kept), &offered);
        if look.first.is_empty() && look.waiting.is_empty() {
            return Ok(Checked { standings: look.standings, news: Vec::new() });
        }
        let now = self.team.now();
        self.write(move |tx| {
            Box::pin(async move {
                // Another node may have been faster.
                owner.lock(tx).await?;
                let kept = owner.rows(tx).await?;
                let look = pin::look(&known(&kept), &offered);
                for pin in record::changed(&kept, &look, now) {
                    owner.put(tx, &pin).await?;
                }
                let news = record::news(&look);
                let Look { standings, .. } = look;
                Ok(Checked { standings, news })
            })
        })
        .await
    }
}

impl Owner {
    async fn lock(&self, tx: &mut Tx) -> Result<(), TeamError> {
        // On SQLite nobody else writes meanwhile.
        let sql = tx.either(SERVER, SERVER_LOCKED);
        let found = tx.first(sql, vec![self.tenant.into(), self.server.into()]).await?;
        found.map(drop).ok_or(TeamError::NotFound)
    }

    async fn rows(&self, tx: &mut Tx) -> Result<HashMap<Box<str>, Pin>, TeamError> {
        let rows = tx.query(OF_SERVER, vec![self.tenant.into(), self.server.into()]).await?;
        let pin = |row: &Row| {
            let pin = self.read(row)?;
            Ok((pin.tool.as_str().into(), pin))
        };
        rows.iter().map(pin).collect()
    }

    fn read(&self, row: &Row) -> Result<Pin, TeamError> {
        let (tool, text, tag): (String, String, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let server = self.server.to_string();
        let owner = [self.tenant.as_str(), "", &server];
        Ok(record::read(&self.team.inner.secrets.approvals, &owner, tool, &text, &tag))
    }

    async fn put(&self, tx: &mut Tx, pin: &Pin) -> Result<(), TeamError> {
        let text = Record::of(pin).text();
        let server = self.server.to_string();
        let owner = [self.tenant.as_str(), "", &server];
        let key = &self.team.inner.secrets.approvals;
        let tag = record::tag(key, &owner, &pin.tool, &text).to_vec();
        let values = vec![
            self.tenant.into(),
            self.server.into(),
            pin.tool.as_str().into(),
            text.into(),
            tag.into(),
        ];
        tx.execute(
            "INSERT INTO tenant_tool_pins (tenant_id, server, tool, record, tag) \
             VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (tenant_id, server, tool) DO UPDATE SET record = $4, tag = $5",
            values,
        )
        .await?;
        Ok(())
    }
}

impl Pins for TenantPins {
    fn version(&self) -> Option<u64> {
        Some(self.team.inner.feed.number(self.ctx.tenant))
    }

    fn check<'a>(&'a self, offered: &'a [Offered]) -> BoxFuture<'a, Result<Checked, PinsError>> {
        Box::pin(async move {
            let store = self.team.tenant(&self.ctx);
            let checked = store.check_pins(self.server, offered.to_vec()).await;
            checked.map_err(|error| PinsError(Box::new(error)))
        })
    }
}
