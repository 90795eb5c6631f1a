//! Credentials of another store, from a dump of its table `tenant_credentials`.
//!
//! That store sealed every value under one master key as `IV (12) | ciphertext | tag (16)`, bound to
//! nothing. Everything is opened and checked before anything is stored: a wrong key, or a dump that
//! was cut off, changes nothing.

mod dump;

use std::collections::BTreeMap;
use std::time::SystemTime;

use strongroom_model::audit::{Draft, Kind};
use strongroom_model::team::{Actor, TenantCtx, TenantId};
use strongroom_seal::{LocalKek, open_unbound};

use super::credentials::check;
use super::{CredentialValues, NewCredential, Team, TeamError};

pub use dump::parse_dump;

/// A row of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpRow {
    /// The line that it stands on, from 1.
    pub line: usize,
    /// Whose it is, as the other store names it.
    pub tenant: String,
    /// What it is for.
    pub service: String,
    /// Which kind it is.
    pub credential_type: String,
    /// `IV | ciphertext | tag`.
    pub sealed: Vec<u8>,
    /// When it was first stored.
    pub created_at: Option<SystemTime>,
}

/// What an import has done, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Credentials that were stored.
    pub stored: u64,
    /// Those that were there already and stay as they are.
    pub kept: u64,
    /// Tenants that they belong to.
    pub tenants: u64,
}

/// How an import is made.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Which tenant has the name of the other store. Where a name is not here, it is the id of a
    /// tenant.
    pub tenants: BTreeMap<String, TenantId>,
    /// Whether what is there already is replaced.
    pub replace: bool,
    /// Everything is opened and checked, and nothing is stored.
    pub check_only: bool,
}

/// A dump is not imported, and nothing of it is. Lines are named and never quoted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It is in none of the forms that are read.
    #[error("line {line}: {problem}")]
    Form {
        /// Where, from 1.
        line: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// No row opens under the key.
    #[error("none of the {rows} rows opens under this key")]
    WrongKey {
        /// How many there are.
        rows: usize,
    },
    /// Some rows cannot be stored.
    #[error("{} of the rows cannot be imported; the first is on line {}: {}", .0.len(), .0[0].0, .0[0].1)]
    Rows(
        /// The lines, and what is wrong with each.
        Vec<(usize, &'static str)>,
    ),
    /// The store of the team does not do what it should.
    #[error(transparent)]
    Team(#[from] TeamError),
}

impl ImportError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Form { .. } => Some(
                "export the table as CSV with a header, as JSON lines, or by `pg_dump --table tenant_credentials`"
                    .to_owned(),
            ),
            Self::WrongKey { .. } => {
                Some("give the `CREDENTIAL_ENCRYPTION_KEY` of the store that the dump is of".to_owned())
            }
            Self::Rows(_) => Some("correct or remove these rows, and import the rest".to_owned()),
            Self::Team(error) => error.hint(),
        }
    }
}

/// Credentials that one transaction stores.
const BATCH: usize = 500;

impl Team {
    /// Imports `rows`, which were sealed under `key`. A tenant's credentials are stored some hundred
    /// at a time; run again after it was ended on the way, it goes on, because what is there stays.
    pub async fn import_credentials(
        &self,
        rows: &[DumpRow],
        key: &LocalKek,
        options: &ImportOptions,
    ) -> Result<Imported, ImportError> {
        let mut ids = BTreeMap::new();
        for row in rows {
            if !ids.contains_key(&row.tenant) {
                ids.insert(row.tenant.clone(), self.tenant_of(&row.tenant, options).await?);
            }
        }
        let mut by_tenant: BTreeMap<TenantId, Vec<NewCredential>> = BTreeMap::new();
        let mut bad = Vec::new();
        let mut closed = 0;
        for row in rows {
            let tenant = ids.get(&row.tenant).copied().flatten();
            match opened(row, key).and_then(|new| Ok((tenant.ok_or(NO_TENANT)?, new))) {
                Ok((tenant, new)) => by_tenant.entry(tenant).or_default().push(new),
                Err(problem) => {
                    closed += usize::from(problem == CLOSED);
                    bad.push((row.line, problem));
                }
            }
        }
        if closed > 0 && closed == rows.len() {
            return Err(ImportError::WrongKey { rows: rows.len() });
        }
        if !bad.is_empty() {
            return Err(ImportError::Rows(bad));
        }
        let tenants = by_tenant.len() as u64;
        let mut done = Imported { tenants, ..Imported::default() };
        for (tenant, mut new) in by_tenant {
            if options.check_only {
                continue;
            }
            let ctx = TenantCtx { tenant, actor: Actor::Operator };
            let store = self.tenant(&ctx);
            let record = Draft {
                kind: Kind::Admin,
                act: Some("credentials.import".to_owned()),
                count: Some(new.len() as u64),
                ..Draft::default()
            };
            store.append_audit(vec![record]).await?;
            while !new.is_empty() {
                let batch: Vec<NewCredential> = new.drain(..new.len().min(BATCH)).collect();
                let count = batch.len() as u64;
                let stored = store.store_credentials(batch, options.replace).await?.len() as u64;
                done.stored += stored;
                done.kept += count - stored;
            }
        }
        Ok(done)
    }

    async fn tenant_of(
        &self,
        name: &str,
        options: &ImportOptions,
    ) -> Result<Option<TenantId>, TeamError> {
        let id = options.tenants.get(name).copied().or_else(|| name.parse().ok());
        match id {
            Some(id) => Ok(self.find_tenant(&id).await?.map(|tenant| tenant.id)),
            None => Ok(None),
        }
    }
}

const CLOSED: &str = "it does not open under this key";
const NO_TENANT: &str = "there is no tenant of its name";

fn opened(row: &DumpRow, key: &LocalKek) -> Result<NewCredential, &'static str> {
    let json = open_unbound(key.key(), &row.sealed).map_err(|_| CLOSED)?;
    check(&row.service, &row.credential_type).map_err(|error| error.problem)?;
    let values = CredentialValues::new(json).map_err(|error| error.problem)?;
    Ok(NewCredential {
        service: row.service.clone(),
        credential_type: row.credential_type.clone(),
        values,
        created_at: row.created_at,
    })
}
