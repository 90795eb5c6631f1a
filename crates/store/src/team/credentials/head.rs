//! The head of a tenant: how many rows there are, and a sum over them that does not depend on their
//! order.

use strongroom_model::secret::Secret;
use strongroom_model::team::TenantId;
use strongroom_seal::envelope::FORMAT;
use strongroom_seal::{Key, MacKey, Place, open as unseal, random, seal};
use zeroize::Zeroizing;

use super::Credential;
use super::keys::TenantKey;
use super::rows::HeadRow;
use crate::team::TeamError;
use crate::team::database::micros;

/// How many values one key may seal (NIST SP 800-38D §8.3).
const MOST_SEALS: u64 = 1 << 32;

const KEY_LEN: usize = 32;
const LENGTH: usize = 8 + 8 + 32 + KEY_LEN;

/// What a sealed head says.
///
/// Invariant: the sum is an exclusive or of keyed hashes of rows that all differ; who does not have
/// the key, which is in the sealed head itself, cannot aim at a sum. So a write needs its own row and
/// the head, and no other row.
pub(in crate::team) struct Head {
    rows: u64,
    seals: u64,
    sum: [u8; 32],
    key: Zeroizing<[u8; KEY_LEN]>,
    mac: MacKey,
}

impl Head {
    /// The head of nothing, with a new key for its sum. `seals`: how many values the tenant's key has
    /// sealed.
    pub(in crate::team) fn new(seals: u64) -> Result<Self, TeamError> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        random(&mut *key)?;
        Self::with(0, seals, [0; 32], key).ok_or(TeamError::damaged("the random source"))
    }

    /// The head that `row` holds.
    pub(in crate::team) fn open(
        key: &TenantKey,
        tenant: &TenantId,
        row: &HeadRow,
    ) -> Result<Self, TeamError> {
        let damaged = || TeamError::damaged("the head of a tenant's credentials");
        if key.id != row.key_id {
            return Err(damaged());
        }
        let opened = unseal(&key.key, &place(tenant, row), &row.sealed).map_err(|_| damaged())?;
        Self::read(&opened).ok_or_else(damaged)
    }

    /// The head sealed as that of `row`, whose own seal is counted.
    pub(in crate::team) fn seal(
        &mut self,
        key: &TenantKey,
        tenant: &TenantId,
        row: &HeadRow,
    ) -> Result<Vec<u8>, TeamError> {
        self.count_seal()?;
        Ok(seal(&key.key, &place(tenant, row), &self.write())?)
    }

    /// Counts one more value that is sealed under the tenant's key.
    pub(in crate::team) fn count_seal(&mut self) -> Result<(), TeamError> {
        if self.seals >= MOST_SEALS {
            return Err(TeamError::Exhausted);
        }
        self.seals += 1;
        Ok(())
    }

    /// The tenant has a new key, which has sealed nothing yet.
    pub(in crate::team) fn begin_key(&mut self) {
        self.seals = 0;
    }

    /// How many values the tenant's key has sealed.
    pub(in crate::team) fn seals(&self) -> u64 {
        self.seals
    }

    /// Takes a row out, puts one in.
    pub(in crate::team) fn replace(&mut self, old: Option<&Credential>, new: Option<&Credential>) {
        for row in [old, new].into_iter().flatten() {
            let element = self.element(row);
            self.sum.iter_mut().zip(element).for_each(|(sum, byte)| *sum ^= byte);
        }
        self.rows = self.rows.wrapping_add(new.is_some().into()).wrapping_sub(old.is_some().into());
    }

    /// Whether these rows, and no others, are those that it covers.
    pub(in crate::team) fn covers<'a>(&self, rows: impl Iterator<Item = &'a Credential>) -> bool {
        let mut sum = [0; 32];
        let mut count = 0_u64;
        for row in rows {
            let element = self.element(row);
            sum.iter_mut().zip(element).for_each(|(sum, byte)| *sum ^= byte);
            count += 1;
        }
        (count, sum) == (self.rows, self.sum)
    }

    /// Everything that stands in the clear but for the last use; that the sealed value belongs to it
    /// is the seal's own matter.
    fn element(&self, row: &Credential) -> [u8; 32] {
        self.mac.tag(&[
            b"credential",
            row.id.as_str().as_bytes(),
            row.service.as_bytes(),
            row.credential_type.as_bytes(),
            &row.version.to_be_bytes(),
            row.key_id.as_bytes(),
            &micros(row.created_at).to_be_bytes(),
            &micros(row.updated_at).to_be_bytes(),
        ])
    }

    fn with(rows: u64, seals: u64, sum: [u8; 32], key: Zeroizing<[u8; KEY_LEN]>) -> Option<Self> {
        let mac = Key::from_secret(&Secret::new(key.to_vec())).ok()?.mac("strongroom team head 1");
        Some(Self { rows, seals, sum, key, mac })
    }

    fn write(&self) -> Secret {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(&self.rows.to_be_bytes());
        bytes.extend_from_slice(&self.seals.to_be_bytes());
        bytes.extend_from_slice(&self.sum);
        bytes.extend_from_slice(&*self.key);
        Secret::new(bytes)
    }

    fn read(opened: &Secret) -> Option<Self> {
        let bytes: &[u8; LENGTH] = opened.expose().try_into().ok()?;
        let number = |at: usize| bytes[at..at + 8].try_into().ok().map(u64::from_be_bytes);
        let mut key = Zeroizing::new([0; KEY_LEN]);
        key.copy_from_slice(&bytes[48..]);
        Self::with(number(0)?, number(8)?, bytes[16..48].try_into().ok()?, key)
    }
}

fn place<'a>(tenant: &'a TenantId, row: &'a HeadRow) -> Place<'a> {
    Place {
        app: "strongroom",
        format: FORMAT,
        key_id: &row.key_id,
        tenant: tenant.as_str(),
        row: tenant.as_str(),
        service: "",
        kind: "credentials-head",
        version: u64::try_from(row.generation).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use strongroom_model::team::CredentialId;

    use super::*;

    fn row(id: u8, version: u64) -> Credential {
        let at = UNIX_EPOCH + Duration::from_micros(version);
        Credential {
            id: CredentialId::from_random([id; 16]),
            service: "amazon".into(),
            credential_type: "api_key".into(),
            version,
            key_id: "k1".into(),
            created_at: at,
            updated_at: at,
            last_used_at: None,
        }
    }

    #[test]
    fn a_head_covers_exactly_its_rows_in_any_order() {
        let mut head = Head::new(0).unwrap();
        assert!(head.covers([].into_iter()));
        let [a, b, c] = [row(1, 1), row(2, 1), row(3, 1)];
        for row in [&a, &b, &c] {
            head.replace(None, Some(row));
        }
        assert!(head.covers([&c, &a, &b].into_iter()));
        let newer = row(2, 2);
        head.replace(Some(&b), Some(&newer));
        head.replace(Some(&c), None);
        assert!(head.covers([&newer, &a].into_iter()));
        for wrong in [vec![&a, &b], vec![&a], vec![&newer], vec![&a, &newer, &c], vec![]] {
            assert!(!head.covers(wrong.into_iter()));
        }
        let moved = Credential { service: "stripe".into(), ..a.clone() };
        assert!(!head.covers([&moved, &newer].into_iter()));
        let used = Credential { last_used_at: Some(UNIX_EPOCH), ..a };
        assert!(head.covers([&used, &newer].into_iter()));
    }

    #[test]
    fn a_head_opens_only_as_that_of_its_tenant_and_its_generation() {
        let tenant = TenantId::from_random([1; 16]);
        let key = TenantKey { id: "k1".into(), key: Key::generate().unwrap() };
        let mut head = Head::new(5).unwrap();
        head.replace(None, Some(&row(1, 1)));
        let mut at = HeadRow { key_id: "k1".into(), generation: 7, sealed: Vec::new() };
        at.sealed = head.seal(&key, &tenant, &at).unwrap();
        let opened = Head::open(&key, &tenant, &at).unwrap();
        assert!(opened.covers([&row(1, 1)].into_iter()));
        assert_eq!(opened.seals(), 6);
        let other = TenantId::from_random([2; 16]);
        assert!(Head::open(&key, &other, &at).is_err());
        assert!(Head::open(&key, &tenant, &HeadRow { generation: 8, ..at.clone() }).is_err());
        assert!(Head::open(&key, &tenant, &HeadRow { key_id: "k2".into(), ..at }).is_err());
    }

    #[test]
    fn a_key_seals_no_more_than_is_safe() {
        let mut head = Head::new(MOST_SEALS - 1).unwrap();
        head.count_seal().unwrap();
        assert!(matches!(head.count_seal(), Err(TeamError::Exhausted)));
        head.begin_key();
        head.count_seal().unwrap();
    }
}
