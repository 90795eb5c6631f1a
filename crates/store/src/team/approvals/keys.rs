//! The keys that questions are sealed under.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_model::secret::Secret;
use strongroom_model::team::TenantId;
use strongroom_seal::envelope::FORMAT;
use strongroom_seal::{Key, Place, open as unseal, seal};
use zeroize::Zeroizing;

use super::super::credentials::keys::TenantKey;
use super::super::{TeamError, TenantStore};

/// The tenant's keys, opened: one, or two while its key is rotated.
#[derive(Clone, Default)]
pub(super) struct Keys(BTreeMap<String, Arc<TenantKey>>);

impl TenantStore<'_> {
    /// The keys under which there may be questions; none where the tenant has no key yet.
    pub(super) async fn approval_keys(&self) -> Result<Keys, TeamError> {
        let tenant = self.tenant();
        let ids = self
            .read(move |tx| {
                Box::pin(async move {
                    let sql = "SELECT id FROM tenant_keys WHERE tenant_id = $1";
                    let rows = tx.query(sql, vec![tenant.into()]).await?;
                    rows.iter().map(|row| row.get(0)).collect::<Result<Vec<String>, _>>()
                })
            })
            .await?;
        let mut keys = BTreeMap::new();
        for id in ids {
            let key = self.team.tenant_key(tenant, &id).await?;
            keys.insert(id, key);
        }
        Ok(Keys(keys))
    }

    /// The same, with the key that new questions are sealed under, which is made where there is none.
    pub(super) async fn approval_keys_to_seal(&self) -> Result<(Keys, String), TeamError> {
        let current = self.current_key().await?;
        let mut keys = self.approval_keys().await?;
        let id = current.id.clone();
        keys.0.insert(id.clone(), current);
        Ok((keys, id))
    }
}

impl Keys {
    /// Seals `text` as version `version` of the row `id`, under the key `key_id`.
    pub(super) fn seal(
        &self,
        tenant: TenantId,
        (id, key_id, version): (&str, &str, u64),
        text: Vec<u8>,
    ) -> Result<Vec<u8>, TeamError> {
        let key = self.of_row(key_id, id).ok_or(GONE)?;
        Ok(seal(&key, &place(&tenant, id, key_id, version), &Secret::new(text))?)
    }

    /// Opens it; `None` where it is not that.
    pub(super) fn open(
        &self,
        tenant: TenantId,
        (id, key_id, version): (&str, &str, u64),
        sealed: &[u8],
    ) -> Option<Secret> {
        let key = self.of_row(key_id, id)?;
        unseal(&key, &place(&tenant, id, key_id, version), sealed).ok()
    }

    /// A key of the row's own, which follows from the tenant's.
    ///
    /// Invariant: it seals the few versions of one row and nothing else, so that what it seals need not
    /// be counted among the tenant key's values.
    fn of_row(&self, key_id: &str, id: &str) -> Option<Key> {
        let mac = self.0.get(key_id)?.key.mac("strongroom team approvals 1");
        let bytes = Zeroizing::new(mac.tag(&[id.as_bytes()]));
        Key::from_secret(&Secret::new(bytes.to_vec())).ok()
    }
}

const GONE: TeamError = TeamError::Integrity { what: "the key of a question is gone" };

fn place<'a>(tenant: &'a TenantId, id: &'a str, key_id: &'a str, version: u64) -> Place<'a> {
    Place {
        app: "strongroom",
        format: FORMAT,
        key_id,
        tenant: tenant.as_str(),
        row: id,
        service: "",
        kind: "approval",
        version,
    }
}
