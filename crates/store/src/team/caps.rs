//! How much one tenant may have, so that none fills the database or the memory of its nodes.
//!
//! Whoever adds something takes the tenant's row first: of two that add the last one at the same time one
//! is refused, on whichever nodes they are.

use strongroom_model::ports::BoxFuture;
use strongroom_model::team::TenantId;

use super::TeamError;
use super::credentials::rows::count;
use super::database::Tx;

/// How much one tenant may have. What is there already stays where a cap is lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Registered servers.
    pub servers: u32,
    /// HTTP services.
    pub services: u32,
    /// Stored credentials.
    pub credentials: u32,
    /// API keys, those that are disabled or have expired among them.
    pub keys: u32,
    /// Parts that the tenant itself has locked.
    pub locks: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Self { servers: 500, services: 200, credentials: 1_000, keys: 200, locks: 500 }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Counted {
    Servers,
    Services,
    Credentials,
    Keys,
    Locks,
}

impl Counted {
    /// What is over the cap, as a person reads it.
    fn what(self) -> &'static str {
        match self {
            Self::Servers => "servers",
            Self::Services => "services",
            Self::Credentials => "credentials",
            Self::Keys => "keys",
            Self::Locks => "locks",
        }
    }

    fn most(self, caps: Caps) -> u32 {
        match self {
            Self::Servers => caps.servers,
            Self::Services => caps.services,
            Self::Credentials => caps.credentials,
            Self::Keys => caps.keys,
            Self::Locks => caps.locks,
        }
    }

    /// Whether one transaction may add several.
    fn comes_in_batches(self) -> bool {
        matches!(self, Self::Credentials)
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Servers => "SELECT count(*) FROM tenant_mcp_servers WHERE tenant_id = $1",
            Self::Services => "SELECT count(*) FROM tenant_services WHERE tenant_id = $1",
            Self::Credentials => "SELECT count(*) FROM tenant_credentials WHERE tenant_id = $1",
            Self::Keys => "SELECT count(*) FROM api_keys WHERE tenant_id = $1",
            Self::Locks => "SELECT count(*) FROM tenant_locks WHERE tenant_id = $1",
        }
    }
}

/// Does what adds something that is counted. Where the tenant has more than it may have afterwards, and
/// more than before, it fails, and the transaction leaves no trace: what is there already can be replaced
/// also where the cap was lowered.
pub(super) async fn within<T>(
    tx: &mut Tx,
    (tenant, counted, caps): (TenantId, Counted, Caps),
    act: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, TeamError>>,
) -> Result<T, TeamError> {
    if let Tx::Postgres(_) = tx {
        // Others that add something to the tenant wait. On SQLite they do so anyway.
        let sql = "SELECT id FROM tenants WHERE id = $1 FOR NO KEY UPDATE";
        tx.query(sql, vec![tenant.into()]).await?;
    }
    let most = u64::from(counted.most(caps));
    let before = number(tx, tenant, counted).await?;
    let done = act(tx).await?;
    if before >= most || counted.comes_in_batches() {
        let after = number(tx, tenant, counted).await?;
        if after > most && after > before {
            return Err(TeamError::TooMany { what: counted.what(), most: counted.most(caps) });
        }
    }
    Ok(done)
}

async fn number(tx: &mut Tx, tenant: TenantId, counted: Counted) -> Result<u64, TeamError> {
    count(tx.first(counted.sql(), vec![tenant.into()]).await?.as_ref())
}
