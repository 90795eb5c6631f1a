//! Keys of callers: made, shown once, turned off, deleted (AU-02).

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_model::secret::Secret;
use strongroom_model::team::{
    ApiKey, KernelKey, KeyId, KeyKind, OrganizationId, Scopes, TenantId, check_name,
};
use strongroom_seal::random;
use zeroize::Zeroizing;

use super::caps::{self, Counted};
use super::database::{Announce, Row, Sight, Value};
use super::{Team, TeamError};

/// A new key: what is shown once, and what is kept.
struct Made {
    id: KeyId,
    token: Secret,
    /// The secret part, with which a kernel signs.
    secret: Secret,
    mac: Vec<u8>,
}

const NEW_API_KEY: &str = "INSERT INTO api_keys (tenant_id, id, name, scopes, mac, created_at, \
                           expires_at, enabled) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const API_KEYS: &str = "SELECT id, tenant_id, name, scopes, created_at, expires_at, enabled, \
                        last_used_at FROM api_keys WHERE tenant_id = $1 ORDER BY created_at, id";
const API_KEY: &str = "SELECT id, tenant_id, name, scopes, created_at, expires_at, enabled, \
                       last_used_at FROM api_keys WHERE tenant_id = $1 AND id = $2";
const KERNEL_KEYS: &str = "SELECT id, organization_id, name, created_at, enabled, require_signature, last_used_at \
     FROM kernel_keys WHERE organization_id = $1 ORDER BY created_at, id";
const KERNEL_KEY: &str = "SELECT id, organization_id, name, created_at, enabled, require_signature, last_used_at \
     FROM kernel_keys WHERE id = $1";

impl Team {
    /// Makes an API key of a tenant. The text of the key is returned here and never again.
    pub async fn create_api_key(
        &self,
        tenant: &TenantId,
        name: &str,
        scopes: Scopes,
        expires: Option<SystemTime>,
    ) -> Result<(ApiKey, Secret), TeamError> {
        check_name(name)?;
        let new = self.new_key(KeyKind::Api)?;
        let key = ApiKey {
            id: new.id,
            tenant: *tenant,
            name: name.to_owned(),
            scopes,
            created: self.now(),
            expires,
            enabled: true,
            last_used: None,
        };
        let values: Vec<Value> = vec![
            key.tenant.into(),
            key.id.into(),
            key.name.clone().into(),
            key.scopes.to_string().into(),
            new.mac.into(),
            key.created.into(),
            key.expires.into(),
            key.enabled.into(),
        ];
        let counted = (*tenant, Counted::Keys, self.caps);
        self.db()
            .write(Sight::Tenant(*tenant), Announce::Tenant(*tenant), move |tx| {
                Box::pin(caps::within(tx, counted, |tx| {
                    Box::pin(async move { tx.execute(NEW_API_KEY, values).await })
                }))
            })
            .await?;
        Ok((key, new.token))
    }

    /// The API keys of a tenant, the oldest first.
    pub async fn api_keys(&self, tenant: &TenantId) -> Result<Vec<ApiKey>, TeamError> {
        let tenant = *tenant;
        self.db()
            .read(Sight::Tenant(tenant), move |tx| {
                Box::pin(async move {
                    let rows = tx.query(API_KEYS, vec![tenant.into()]).await?;
                    rows.iter().map(api_key).collect()
                })
            })
            .await
    }

    /// Gives an API key a new id and secret, and refuses the old ones from now on.
    pub async fn rotate_api_key(
        &self,
        tenant: &TenantId,
        id: &KeyId,
    ) -> Result<(ApiKey, Secret), TeamError> {
        let new = self.new_key(KeyKind::Api)?;
        let (tenant, old, mac, new_id) = (*tenant, *id, new.mac, new.id);
        let key = self
            .db()
            .write(Sight::Tenant(tenant), Announce::Tenant(tenant), move |tx| {
                Box::pin(async move {
                    tx.execute(
                        "UPDATE api_keys SET id = $3, mac = $4, last_used_at = NULL \
                         WHERE tenant_id = $1 AND id = $2",
                        vec![tenant.into(), old.into(), new_id.into(), mac.into()],
                    )
                    .await?;
                    let row = tx.first(API_KEY, vec![tenant.into(), new_id.into()]).await?;
                    api_key(&row.ok_or(TeamError::NotFound)?)
                })
            })
            .await?;
        Ok((key, new.token))
    }

    /// Lets the holder of an API key in, or refuses it; says whether the tenant has such a key.
    pub async fn enable_api_key(
        &self,
        tenant: &TenantId,
        id: &KeyId,
        enabled: bool,
    ) -> Result<bool, TeamError> {
        let (tenant, id) = (*tenant, *id);
        self.db()
            .write(Sight::Tenant(tenant), Announce::Tenant(tenant), move |tx| {
                Box::pin(async move {
                    let sql = "UPDATE api_keys SET enabled = $3 WHERE tenant_id = $1 AND id = $2";
                    let values = vec![tenant.into(), id.into(), enabled.into()];
                    Ok(tx.execute(sql, values).await? == 1)
                })
            })
            .await
    }

    /// Deletes an API key; says whether the tenant had it.
    pub async fn delete_api_key(&self, tenant: &TenantId, id: &KeyId) -> Result<bool, TeamError> {
        let (tenant, id) = (*tenant, *id);
        self.db()
            .write(Sight::Tenant(tenant), Announce::Tenant(tenant), move |tx| {
                Box::pin(async move {
                    let sql = "DELETE FROM api_keys WHERE tenant_id = $1 AND id = $2";
                    Ok(tx.execute(sql, vec![tenant.into(), id.into()]).await? == 1)
                })
            })
            .await
    }

    /// Makes a kernel key of an organization. With `require_signature` its secret part is the key
    /// that the kernel signs with, and is kept sealed; the text is returned here and never again.
    pub async fn create_kernel_key(
        &self,
        organization: &OrganizationId,
        name: &str,
        require_signature: bool,
    ) -> Result<(KernelKey, Secret), TeamError> {
        check_name(name)?;
        let new = self.new_key(KeyKind::Kernel)?;
        let key = KernelKey {
            id: new.id,
            organization: *organization,
            name: name.to_owned(),
            created: self.now(),
            enabled: true,
            require_signature,
            last_used: None,
        };
        let signing = self.signing_key(&new, require_signature)?;
        let (row, mac) = (key.clone(), new.mac);
        self.db()
            .write(Sight::Installation, Announce::All, move |tx| {
                Box::pin(async move {
                    tx.execute(
                        "INSERT INTO kernel_keys (id, organization_id, name, mac, signing_key, \
                         require_signature, enabled, created_at) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                        vec![
                            row.id.into(),
                            row.organization.into(),
                            row.name.into(),
                            mac.into(),
                            signing.into(),
                            row.require_signature.into(),
                            row.enabled.into(),
                            row.created.into(),
                        ],
                    )
                    .await
                })
            })
            .await?;
        Ok((key, new.token))
    }

    /// The kernel keys of an organization, the oldest first.
    pub async fn kernel_keys(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<KernelKey>, TeamError> {
        let organization = *organization;
        self.db()
            .read(Sight::Installation, move |tx| {
                Box::pin(async move {
                    let rows = tx.query(KERNEL_KEYS, vec![organization.into()]).await?;
                    rows.iter().map(kernel_key).collect()
                })
            })
            .await
    }

    /// Gives a kernel key a new id and secret, and refuses the old ones from now on.
    pub async fn rotate_kernel_key(&self, id: &KeyId) -> Result<(KernelKey, Secret), TeamError> {
        let new = self.new_key(KeyKind::Kernel)?;
        let signing = self.signing_key(&new, true)?;
        let (old, mac, new_id) = (*id, new.mac, new.id);
        let key = self
            .db()
            .write(Sight::Installation, Announce::All, move |tx| {
                Box::pin(async move {
                    tx.execute(
                        "UPDATE kernel_keys SET id = $2, mac = $3, last_used_at = NULL, \
                         signing_key = CASE WHEN require_signature THEN $4 END WHERE id = $1",
                        vec![old.into(), new_id.into(), mac.into(), signing.into()],
                    )
                    .await?;
                    let row = tx.first(KERNEL_KEY, vec![new_id.into()]).await?;
                    kernel_key(&row.ok_or(TeamError::NotFound)?)
                })
            })
            .await?;
        Ok((key, new.token))
    }

    /// Lets the holder of a kernel key in, or refuses it; says whether there is such a key.
    pub async fn enable_kernel_key(&self, id: &KeyId, enabled: bool) -> Result<bool, TeamError> {
        let id = *id;
        self.db()
            .write(Sight::Installation, Announce::All, move |tx| {
                Box::pin(async move {
                    let sql = "UPDATE kernel_keys SET enabled = $2 WHERE id = $1";
                    Ok(tx.execute(sql, vec![id.into(), enabled.into()]).await? == 1)
                })
            })
            .await
    }

    /// Deletes a kernel key; says whether it was there.
    pub async fn delete_kernel_key(&self, id: &KeyId) -> Result<bool, TeamError> {
        let id = *id;
        self.db()
            .write(Sight::Installation, Announce::All, move |tx| {
                Box::pin(async move {
                    let sql = "DELETE FROM kernel_keys WHERE id = $1";
                    Ok(tx.execute(sql, vec![id.into()]).await? == 1)
                })
            })
            .await
    }

    /// 256 random bits, and what is kept of them.
    fn new_key(&self, kind: KeyKind) -> Result<Made, TeamError> {
        let (mut public, mut bytes) = ([0; 8], Zeroizing::new([0; 32]));
        random(&mut public)?;
        random(&mut *bytes)?;
        let id = KeyId::from_random(public);
        let mut text = Zeroizing::new(String::with_capacity(96));
        text.push_str(kind.prefix());
        text.push_str(id.as_str());
        text.push('_');
        let start = text.len();
        URL_SAFE_NO_PAD.encode_string(*bytes, &mut text);
        let secret = Secret::new(text.as_bytes()[start..].to_vec());
        let mac = self.caller_mac(kind, id, &text.as_bytes()[start..]).to_vec();
        let token = Secret::new(std::mem::take(&mut *text).into_bytes());
        Ok(Made { id, token, secret, mac })
    }

    /// What is stored of a key (decision 34).
    pub(super) fn caller_mac(&self, kind: KeyKind, id: KeyId, secret: &[u8]) -> [u8; 32] {
        let parts = [kind.prefix().as_bytes(), id.as_str().as_bytes(), secret];
        self.inner.secrets.callers.tag(&parts)
    }

    fn signing_key(&self, new: &Made, wanted: bool) -> Result<Option<Vec<u8>>, TeamError> {
        let seal = || self.inner.secrets.seal_signing(new.id.as_str(), &new.secret);
        wanted.then(seal).transpose()
    }
}

pub(super) fn api_key(row: &Row) -> Result<ApiKey, TeamError> {
    Ok(ApiKey {
        id: row.get(0)?,
        tenant: row.get(1)?,
        name: row.get(2)?,
        scopes: scopes(&row.get::<String>(3)?)?,
        created: row.get(4)?,
        expires: row.get(5)?,
        enabled: row.get(6)?,
        last_used: row.get(7)?,
    })
}

pub(super) fn kernel_key(row: &Row) -> Result<KernelKey, TeamError> {
    Ok(KernelKey {
        id: row.get(0)?,
        organization: row.get(1)?,
        name: row.get(2)?,
        created: row.get(3)?,
        enabled: row.get(4)?,
        require_signature: row.get(5)?,
        last_used: row.get(6)?,
    })
}

fn scopes(text: &str) -> Result<Scopes, TeamError> {
    if text.is_empty() {
        return Ok(Scopes::NONE);
    }
    text.parse().map_err(|_| TeamError::damaged("the scopes of a key"))
}
