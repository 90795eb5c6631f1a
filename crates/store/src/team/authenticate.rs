//! From what a caller shows to who it is (AU-01).
//!
//! The public id finds the key; what was shown is hashed and compared in constant time, whether or
//! not there is such a key. Unknown, wrong, expired, disabled: `None`, after the same work. Nobody is
//! refused from memory: whether a key is remembered, because its holder was here a moment ago, would be
//! told by the time that a refusal takes.

use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use strongroom_model::secret::Secret;
use strongroom_model::team::{
    Actor, ApiKey, KernelKey, KeyId, KeyKind, OrganizationId, TenantCtx, TenantId,
};
use subtle::ConstantTimeEq as _;

use super::database::{Announce, Row, Sight, Value};
use super::keys::{api_key, kernel_key};
use super::{Team, TeamError};

/// A kernel that signs its requests: whoever proves to have the signing key is let in.
#[derive(Debug)]
pub struct SignedKernel {
    /// Its key.
    pub key: KernelKey,
    /// What it signs with: the secret part of the key's text.
    pub signing_key: Secret,
    /// The tenant that it acts for; `None` where that is not one of its organization, or is disabled,
    /// which is nobody's to know who has not the key.
    pub ctx: Option<TenantCtx>,
}

/// An API key as it is stored.
#[derive(Clone, Debug)]
pub(super) struct StoredApiKey {
    key: ApiKey,
    mac: Vec<u8>,
    tenant_enabled: bool,
}

/// A kernel key as it is stored.
#[derive(Clone, Debug)]
pub(super) struct StoredKernelKey {
    key: KernelKey,
    mac: Vec<u8>,
    signing_key: Option<Vec<u8>>,
}

/// What is known of a tenant that somebody wants to act for.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredTenant {
    organization: OrganizationId,
    enabled: bool,
}

/// One row, whether or not there is such a key: where there is none it is one of nobody's, which is read
/// and compared like any other.
macro_rules! api_key_among {
    ($keys:literal) => {
        concat!(
            "SELECT coalesce(k.id, $1), coalesce(k.tenant_id, $2), coalesce(k.name, ''), \
             coalesce(k.scopes, 'use'), coalesce(k.created_at, $3), k.expires_at, \
             coalesce(k.enabled, $4), k.last_used_at, coalesce(k.mac, $5), \
             coalesce(t.enabled, $4), k.id IS NOT NULL FROM (SELECT 1 AS one) one LEFT JOIN ",
            $keys,
            " LEFT JOIN tenants t ON t.id = k.tenant_id"
        )
    };
}

const API_KEY: [&str; 2] =
    [api_key_among!("api_keys k ON k.id = $1"), api_key_among!("api_key_by_id($1) k ON true")];
const KERNEL_KEY: &str = "SELECT coalesce(k.id, $1), coalesce(k.organization_id, $2), \
     coalesce(k.name, ''), coalesce(k.created_at, $3), coalesce(k.enabled, $4), \
     coalesce(k.require_signature, $4), k.last_used_at, coalesce(k.mac, $5), k.signing_key, \
     k.id IS NOT NULL FROM (SELECT 1 AS one) one LEFT JOIN kernel_keys k ON k.id = $1";
const TENANT: &str = "SELECT organization_id, enabled FROM tenants WHERE id = $1";

/// Compared with where there is no key.
const NO_MAC: [u8; 32] = [0; 32];

impl Team {
    /// The API key that `token` is the text of, and the tenant that its holder acts for.
    pub async fn authenticate_api_key(
        &self,
        token: &Secret,
    ) -> Result<Option<(ApiKey, TenantCtx)>, TeamError> {
        let Some((id, mac)) = self.presented(KeyKind::Api, token) else { return Ok(None) };
        let now = self.now();
        let admits = |stored: &Option<StoredApiKey>| {
            let same = is_same(stored.as_ref().map(|stored| stored.mac.as_slice()), &mac);
            same && stored.as_ref().is_some_and(|stored| stored.lets_in(now))
        };
        let stored = match self.inner.kept.api_keys.now(&id) {
            Some(kept) if admits(&kept) => kept,
            _ => Box::pin(self.load_api_key(id)).await?,
        };
        Ok(Option::clone(&stored).filter(|_| admits(&stored)).map(|stored| {
            let key = stored.key;
            self.inner.used.note(Some(key.tenant), key.id, key.last_used, now);
            let ctx = TenantCtx { tenant: key.tenant, actor: Actor::ApiKey(key.id) };
            (key, ctx)
        }))
    }

    /// The kernel key that `token` is the text of, for a tenant of its organization. A tenant of
    /// another one is like one that is not there: `None`, as for a key that is not one. A kernel that
    /// has to sign is not let in by its secret.
    pub async fn authenticate_kernel(
        &self,
        token: &Secret,
        tenant: &TenantId,
    ) -> Result<Option<(KernelKey, TenantCtx)>, TeamError> {
        let Some(key) = self.authenticate_kernel_key(token).await? else { return Ok(None) };
        Ok(self.acts_for(&key, tenant).await?.map(|ctx| (key, ctx)))
    }

    /// The kernel key that `token` is the text of, before it is known for which tenant it acts.
    pub async fn authenticate_kernel_key(
        &self,
        token: &Secret,
    ) -> Result<Option<KernelKey>, TeamError> {
        let Some((id, mac)) = self.presented(KeyKind::Kernel, token) else { return Ok(None) };
        let admits = |stored: &Option<StoredKernelKey>| {
            let same = is_same(stored.as_ref().map(|stored| stored.mac.as_slice()), &mac);
            let good = |key: &KernelKey| key.enabled && !key.require_signature;
            same && stored.as_ref().is_some_and(|stored| good(&stored.key))
        };
        let stored = match self.inner.kept.kernel_keys.now(&id) {
            Some(kept) if admits(&kept) => kept,
            _ => Box::pin(self.load_kernel_key(id)).await?,
        };
        Ok(Option::clone(&stored).filter(|_| admits(&stored)).map(|stored| stored.key))
    }

    /// Whether whoever was let in as `ctx` would be let in now: what runs for him goes on only then.
    pub async fn still_lets_in(&self, ctx: &TenantCtx) -> Result<bool, TeamError> {
        let tenant = self.stored_tenant(ctx.tenant).await?;
        let key = match ctx.actor {
            Actor::ApiKey(id) => {
                let key = self.stored_api_key(id).await?;
                key.is_some_and(|key| key.lets_in(self.now()))
            }
            Actor::Kernel(id) => {
                self.stored_kernel_key(id).await?.is_some_and(|stored| stored.key.enabled)
            }
            Actor::Operator => true,
        };
        Ok(key && tenant.is_some_and(|tenant| tenant.enabled))
    }

    /// What the holder of `key` is for `tenant`: `None` where the tenant is not one of its
    /// organization, or is disabled.
    pub async fn acts_for(
        &self,
        key: &KernelKey,
        tenant: &TenantId,
    ) -> Result<Option<TenantCtx>, TeamError> {
        let stored = self.stored_tenant(*tenant).await?;
        let ours = stored.is_some_and(|it| it.enabled && it.organization == key.organization);
        if ours {
            self.inner.used.note(None, key.id, key.last_used, self.now());
        }
        Ok(ours.then_some(TenantCtx { tenant: *tenant, actor: Actor::Kernel(key.id) }))
    }

    /// The kernel key `id` of one that signs its requests, for a tenant of its organization.
    /// Whoever called must have made the signature before anything is done for it.
    pub async fn signed_kernel(
        &self,
        id: &KeyId,
        tenant: &TenantId,
    ) -> Result<Option<SignedKernel>, TeamError> {
        let Some(stored) = self.stored_kernel_key(*id).await? else { return Ok(None) };
        let (Some(sealed), true) = (&stored.signing_key, stored.key.require_signature) else {
            return Ok(None);
        };
        if !stored.key.enabled {
            return Ok(None);
        }
        let signing_key = self.inner.secrets.open_signing(id.as_str(), sealed)?;
        let ctx = self.acts_for(&stored.key, tenant).await?;
        Ok(Some(SignedKernel { key: stored.key, signing_key, ctx }))
    }

    /// Marks a signature as used, by whichever node sees it first; says whether it was new. Those
    /// that have expired are forgotten.
    pub async fn use_signature(
        &self,
        signature: [u8; 32],
        expires: SystemTime,
    ) -> Result<bool, TeamError> {
        let now = self.now();
        self.db()
            .write(Sight::Installation, Announce::Nothing, move |tx| {
                Box::pin(async move {
                    let sql = "DELETE FROM kernel_signatures WHERE expires_at < $1";
                    tx.execute(sql, vec![now.into()]).await?;
                    let sql = "INSERT INTO kernel_signatures (signature, expires_at) \
                               VALUES ($1, $2) ON CONFLICT DO NOTHING";
                    let values = vec![signature.to_vec().into(), expires.into()];
                    Ok(tx.execute(sql, values).await? == 1)
                })
            })
            .await
    }

    /// The id in what was shown, and what its hash is; `None` where it has not the form of a key.
    fn presented(&self, kind: KeyKind, token: &Secret) -> Option<(KeyId, [u8; 32])> {
        let token = kind.parse(token.expose())?;
        Some((token.id, self.caller_mac(kind, token.id, token.secret)))
    }

    async fn stored_api_key(&self, id: KeyId) -> Result<Option<StoredApiKey>, TeamError> {
        let of = |stored: &Option<StoredApiKey>| stored.as_ref().map(|stored| stored.key.tenant);
        let stored = self.inner.kept.api_keys.get(id, of, self.read_api_key(id)).await?;
        Ok(Option::clone(&stored))
    }

    async fn stored_kernel_key(&self, id: KeyId) -> Result<Option<StoredKernelKey>, TeamError> {
        // Changes of kernel keys are no tenant's: any change may be one.
        let stored =
            self.inner.kept.kernel_keys.get(id, |_| None, self.read_kernel_key(id)).await?;
        Ok(Option::clone(&stored))
    }

    async fn load_api_key(&self, id: KeyId) -> Result<Arc<Option<StoredApiKey>>, TeamError> {
        let of = |stored: &Option<StoredApiKey>| stored.as_ref().map(|stored| stored.key.tenant);
        self.inner.kept.api_keys.load(id, of, self.read_api_key(id)).await
    }

    async fn load_kernel_key(&self, id: KeyId) -> Result<Arc<Option<StoredKernelKey>>, TeamError> {
        self.inner.kept.kernel_keys.load(id, |_| None, self.read_kernel_key(id)).await
    }

    async fn stored_tenant(&self, id: TenantId) -> Result<Option<StoredTenant>, TeamError> {
        let of = |_: &Option<StoredTenant>| Some(id);
        let stored = self.inner.kept.tenants.get(id, of, self.read_tenant(id)).await?;
        Ok(Option::clone(&stored))
    }

    async fn read_api_key(&self, id: KeyId) -> Result<Option<StoredApiKey>, TeamError> {
        let nobody = id_of_nobody::<TenantId>()?;
        let row = self.db().first(API_KEY, or_nobody(id, nobody.into())).await?;
        let Some(row) = row else { return Ok(None) };
        let (stored, is_there) = (stored_api_key(&row)?, row.get::<bool>(10)?);
        Ok(Some(stored).filter(|_| is_there))
    }

    async fn read_kernel_key(&self, id: KeyId) -> Result<Option<StoredKernelKey>, TeamError> {
        let nobody = id_of_nobody::<OrganizationId>()?;
        let row = self.db().first([KERNEL_KEY; 2], or_nobody(id, nobody.into())).await?;
        let Some(row) = row else { return Ok(None) };
        let (stored, is_there) = (stored_kernel_key(&row)?, row.get::<bool>(9)?);
        Ok(Some(stored).filter(|_| is_there))
    }

    async fn read_tenant(&self, id: TenantId) -> Result<Option<StoredTenant>, TeamError> {
        let row = self.db().first([TENANT; 2], vec![id.into()]).await?;
        row.as_ref().map(stored_tenant).transpose()
    }
}

impl StoredApiKey {
    fn lets_in(&self, now: SystemTime) -> bool {
        let lasts = self.key.expires.is_none_or(|expires| now < expires);
        self.key.enabled && self.tenant_enabled && lasts
    }
}

/// What [`API_KEY`] and [`KERNEL_KEY`] are asked with: the id, and what stands in the row of nobody.
fn or_nobody(id: KeyId, owner: Value) -> Vec<Value> {
    vec![id.into(), owner, SystemTime::UNIX_EPOCH.into(), false.into(), NO_MAC.to_vec().into()]
}

/// The id of a tenant or an organization that nothing has: it is not random.
fn id_of_nobody<T: FromStr>() -> Result<T, TeamError> {
    let id = "00000000-0000-4000-8000-000000000000".parse();
    id.map_err(|_| TeamError::database("the id of nobody is no id"))
}

fn is_same(stored: Option<&[u8]>, presented: &[u8; 32]) -> bool {
    let same = stored.unwrap_or(&NO_MAC).ct_eq(presented);
    bool::from(same) && stored.is_some()
}

fn stored_api_key(row: &Row) -> Result<StoredApiKey, TeamError> {
    Ok(StoredApiKey { key: api_key(row)?, mac: row.get(8)?, tenant_enabled: row.get(9)? })
}

fn stored_kernel_key(row: &Row) -> Result<StoredKernelKey, TeamError> {
    Ok(StoredKernelKey { key: kernel_key(row)?, mac: row.get(7)?, signing_key: row.get(8)? })
}

fn stored_tenant(row: &Row) -> Result<StoredTenant, TeamError> {
    Ok(StoredTenant { organization: row.get(0)?, enabled: row.get(1)? })
}
