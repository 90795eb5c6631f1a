//! What a tenant's servers and services authenticate with: sealed, and covered by one head (CR-11).
//!
//! A credential is a JSON object of fields. It is sealed under the tenant's key, bound to its row,
//! its service, its type and its version (decision 2). The head of a tenant is a count and a sum
//! over all of its rows; a row that was changed, removed or taken back fits no head, and then nothing
//! of the tenant is given out.

pub(super) mod head;
pub(super) mod keys;
mod known;
pub(super) mod rows;
mod used;
mod values;

use std::sync::Arc;
use std::time::SystemTime;

use strongroom_model::team::{CredentialId, FieldError, TenantId, is_label};
use strongroom_seal::{open as unseal, seal};

use super::caps::Counted;
use super::database::Tx;
use super::{TeamError, TenantStore, new_id};
use head::Head;
use keys::TenantKey;
use known::{Kept, Known};
use rows::{Found, HeadRow};

pub use values::CredentialValues;

/// The type of a credential that says none.
pub const DEFAULT_TYPE: &str = "api_key";

/// A stored credential, without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its row; stays where the credential is replaced.
    pub id: CredentialId,
    /// What it is for.
    pub service: String,
    /// Which kind it is; with the service, unique in the tenant.
    pub credential_type: String,
    /// Grows with every change.
    pub version: u64,
    /// The tenant's key that it is sealed under.
    pub key_id: String,
    /// When it was first stored.
    pub created_at: SystemTime,
    /// When it was last replaced.
    pub updated_at: SystemTime,
    /// When it was last retrieved.
    pub last_used_at: Option<SystemTime>,
}

/// A credential to be stored.
#[derive(Debug)]
pub struct NewCredential {
    /// What it is for.
    pub service: String,
    /// Which kind it is; [`DEFAULT_TYPE`] where nobody says.
    pub credential_type: String,
    /// Its fields.
    pub values: CredentialValues,
    /// When it was first stored, where that was elsewhere.
    pub created_at: Option<SystemTime>,
}

/// Which credential is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// That of this id.
    Id(CredentialId),
    /// The one of this service and type.
    Named {
        /// The service.
        service: &'a str,
        /// The type.
        credential_type: &'a str,
    },
}

/// What a process remembers of tenants' credentials: opened keys, verified states, uses to be written
/// down. Never a value.
#[derive(Default)]
pub(super) struct Memory {
    keys: keys::Opened,
    known: Kept<TenantId, Arc<Known>>,
    used: used::Used,
}

impl Memory {
    /// Forgets a tenant, its keys above all: it was deleted.
    pub(super) fn forget(&self, tenant: &TenantId) {
        self.keys.forget(|(of, _)| of == tenant);
        self.known.forget(|of| of == tenant);
    }

    /// Forgets all: what was deleted had many tenants.
    pub(super) fn forget_all(&self) {
        self.keys.forget(|_| true);
        self.known.forget(|_| true);
    }
}

/// How often a read or a write begins anew when somebody else was faster.
const TRIES: usize = 16;

impl TenantStore<'_> {
    /// Stores a credential, in the place of what had its service and type: then the id stays, and
    /// the version grows.
    pub async fn store_credential(
        &self,
        service: &str,
        credential_type: &str,
        values: CredentialValues,
    ) -> Result<Credential, TeamError> {
        let (service, credential_type) = (service.to_owned(), credential_type.to_owned());
        let new = NewCredential { service, credential_type, values, created_at: None };
        let mut stored = self.store_credentials(vec![new], true).await?;
        stored.pop().ok_or_else(busy)
    }

    /// Stores all of these or none, in one transaction: in the place of what was there where
    /// `replace`; otherwise what is there stays, and is not among those that are given back.
    pub async fn store_credentials(
        &self,
        new: Vec<NewCredential>,
        replace: bool,
    ) -> Result<Vec<Credential>, TeamError> {
        for one in &new {
            check(&one.service, &one.credential_type)?;
        }
        let (now, tenant, new) = (self.team.now(), self.tenant(), Arc::new(new));
        for _ in 0..TRIES {
            let (key, new) = (self.current_key().await?, Arc::clone(&new));
            let stored = self
                .add(Counted::Credentials, move |tx| {
                    Box::pin(async move {
                        let Some((row, mut head)) = rows::lock_head(tx, tenant, &key).await? else {
                            return Ok(None);
                        };
                        let mut stored = Vec::new();
                        for one in new.iter() {
                            let found = store(tx, tenant, (&key, &mut head), one, (now, replace));
                            stored.extend(found.await?);
                        }
                        if !stored.is_empty() {
                            rows::store_head(tx, tenant, &key, row, &mut head).await?;
                        }
                        Ok(Some(stored))
                    })
                })
                .await?;
            if let Some(stored) = stored {
                return Ok(stored);
            }
        }
        Err(busy())
    }

    /// The credentials, or those of one service: never their values.
    pub async fn credentials(&self, service: Option<&str>) -> Result<Vec<Credential>, TeamError> {
        let Some(known) = self.known(None).await? else { return Ok(Vec::new()) };
        let mut found: Vec<Credential> = known
            .rows()
            .filter(|row| service.is_none_or(|service| row.service == service))
            .cloned()
            .collect();
        found.sort_by_key(|row| (row.created_at, row.id));
        // When they were used is not part of what is verified, and not remembered.
        let used = self.last_uses().await?;
        for row in &mut found {
            let noted = self.team.memory().used.last(self.tenant(), row.id);
            row.last_used_at = used.get(&row.id).copied().max(noted);
        }
        Ok(found)
    }

    /// Changes with every credential of the tenant, and is cheap to ask for.
    pub async fn credentials_generation(&self) -> Result<i64, TeamError> {
        let tenant = self.tenant();
        let load = self.read(move |tx| {
            Box::pin(async move {
                let head = rows::head(tx, tenant).await?;
                Ok(head.map_or(0, |head| head.generation))
            })
        });
        let of = |_: &i64| Some(tenant);
        self.team.inner.kept.generations.get(tenant, of, load).await.map(|kept| *kept)
    }

    /// A credential with its values; that it was used is written down later, with others.
    pub async fn retrieve_credential(
        &self,
        which: Which<'_>,
    ) -> Result<Option<(Credential, CredentialValues)>, TeamError> {
        let tenant = self.tenant();
        for _ in 0..TRIES {
            let wanted = Found::from(which);
            let read =
                self.read(move |tx| Box::pin(rows::head_and_one(tx, tenant, wanted))).await?;
            let Some((head, found)) = read else { return Ok(None) };
            let Some(known) = self.known(Some(head)).await? else { continue };
            let Some((row, sealed)) = found else {
                return match known.find(which) {
                    None => Ok(None),
                    Some(_) => Err(TeamError::damaged("a credential was removed")),
                };
            };
            if !known.has(&row) {
                return Err(TeamError::damaged("a credential was changed or taken back"));
            }
            let key = self.team.tenant_key(tenant, &row.key_id).await?;
            let opened = unseal(&key.key, &rows::place(&tenant, &row), &sealed)
                .map_err(|_| TeamError::damaged("a credential"))?;
            let now = self.team.now();
            self.team.memory().used.note(tenant, row.id, now);
            let values = CredentialValues::of_store(opened)?;
            return Ok(Some((Credential { last_used_at: Some(now), ..row }, values)));
        }
        Err(busy())
    }

    /// Deletes a credential for good, and says which it was.
    pub async fn delete_credential(
        &self,
        which: Which<'_>,
    ) -> Result<Option<CredentialId>, TeamError> {
        let tenant = self.tenant();
        for _ in 0..TRIES {
            let wanted = Found::from(which);
            let Some(head) = self.read(move |tx| Box::pin(rows::head(tx, tenant))).await? else {
                return Ok(None);
            };
            let key = self.team.tenant_key(tenant, &head.key_id).await?;
            let deleted = self
                .write(move |tx| {
                    Box::pin(async move {
                        let Some((row, mut head)) = rows::lock_head(tx, tenant, &key).await? else {
                            return Ok(None);
                        };
                        let Some((old, _)) = rows::one(tx, tenant, wanted).await? else {
                            return Ok(Some(None));
                        };
                        head.replace(Some(&old), None);
                        rows::delete(tx, tenant, old.id).await?;
                        rows::store_head(tx, tenant, &key, row, &mut head).await?;
                        Ok(Some(Some(old.id)))
                    })
                })
                .await?;
            if let Some(deleted) = deleted {
                return Ok(deleted);
            }
        }
        Err(busy())
    }

    /// A verified state of the tenant's rows: that of `head`, or the newest. `None`: there is none,
    /// or another one than was asked for.
    async fn known(&self, head: Option<HeadRow>) -> Result<Option<Arc<Known>>, TeamError> {
        let tenant = self.tenant();
        let memory = self.team.memory();
        let kept = memory.known.get(&tenant);
        if let (Some(head), Some(kept)) = (&head, &kept)
            && kept.is_of(head)
        {
            return Ok(Some(Arc::clone(kept)));
        }
        let read = self.read(move |tx| Box::pin(rows::head_and_all(tx, tenant))).await?;
        let Some((row, rows)) = read else { return Ok(None) };
        let known = if let Some(kept) = kept.filter(|kept| kept.is_of(&row)) {
            kept
        } else {
            let key = self.team.tenant_key(tenant, &row.key_id).await?;
            let opened = Head::open(&key, &tenant, &row)?;
            let known = Arc::new(Known::verify(&row, &opened, rows)?);
            memory.known.put(tenant, Arc::clone(&known), known.weight());
            known
        };
        // A row is held against the state that it was read with, and against no other.
        let is_wanted = head.is_none_or(|head| known.is_of(&head));
        Ok(is_wanted.then_some(known))
    }

    /// The key that new values are sealed under; made where the tenant has none yet.
    pub(in crate::team) async fn current_key(&self) -> Result<Arc<TenantKey>, TeamError> {
        let tenant = self.tenant();
        for _ in 0..TRIES {
            if let Some(head) = self.read(move |tx| Box::pin(rows::head(tx, tenant))).await? {
                return self.team.tenant_key(tenant, &head.key_id).await;
            }
            self.team.found_tenant_key(tenant).await?;
        }
        Err(busy())
    }
}

impl<'a> Which<'a> {
    /// The credential of `service` and `credential_type`, each of which is a name.
    pub fn named(service: &'a str, credential_type: &'a str) -> Result<Self, TeamError> {
        check(service, credential_type)?;
        Ok(Self::Named { service, credential_type })
    }
}

/// Stores one credential in a transaction that has taken the head; `None`: there was one, which
/// stays.
async fn store(
    tx: &mut Tx,
    tenant: TenantId,
    (key, head): (&TenantKey, &mut Head),
    new: &NewCredential,
    (now, replace): (SystemTime, bool),
) -> Result<Option<Credential>, TeamError> {
    let which = Found::Named(new.service.clone(), new.credential_type.clone());
    let old = rows::one(tx, tenant, which).await?.map(|(old, _)| old);
    if old.is_some() && !replace {
        return Ok(None);
    }
    let stored = match &old {
        Some(old) => Credential {
            version: old.version + 1,
            key_id: key.id.clone(),
            updated_at: now.max(old.updated_at),
            ..old.clone()
        },
        None => Credential {
            id: new_id(CredentialId::from_random)?,
            service: new.service.clone(),
            credential_type: new.credential_type.clone(),
            version: 1,
            key_id: key.id.clone(),
            created_at: new.created_at.unwrap_or(now),
            updated_at: now,
            last_used_at: None,
        },
    };
    head.count_seal()?;
    let sealed = seal(&key.key, &rows::place(&tenant, &stored), new.values.json())?;
    head.replace(old.as_ref(), Some(&stored));
    rows::put(tx, tenant, &stored, sealed).await?;
    Ok(Some(stored))
}

/// What stands in the additional data has one spelling (CR-04).
pub(super) fn check(service: &str, credential_type: &str) -> Result<(), FieldError> {
    const PROBLEM: &str =
        "has 1 to 64 letters, digits, `.`, `_` and `-` and starts with a letter or digit";
    for (field, text) in [("service", service), ("credential_type", credential_type)] {
        if !is_label(text) {
            return Err(FieldError::new(field, PROBLEM));
        }
    }
    Ok(())
}

/// Others were faster each time.
fn busy() -> TeamError {
    TeamError::unreachable("the tenant's credentials are being changed all the time")
}
