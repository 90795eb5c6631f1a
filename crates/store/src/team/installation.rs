//! The installation's secret: from it follow the keys under which callers' keys are hashed, cursors
//! are signed, the audit is vouched for and kernels' signing keys are sealed. The KEK wraps it.

use std::sync::Arc;

use strongroom_model::ports::Clock;
use strongroom_model::secret::Secret;
use strongroom_seal::envelope::FORMAT;
use strongroom_seal::{KekRing, Key, MacKey, Place, SigningKey, Wrapped, open as unseal, seal};
use subtle::ConstantTimeEq as _;

use super::TeamError;
use super::credentials::keys::not_retired;
use super::database::{Announce, Database, Row, Sight};

/// What follows from the secret.
pub(super) struct Secrets {
    /// Hashes the keys of callers.
    pub(super) callers: MacKey,
    /// Signs the cursors of lists.
    pub(super) cursors: MacKey,
    /// Vouches for the audit.
    pub(super) audit: Arc<SigningKey>,
    /// Tags grants, and what questions are found by.
    pub(super) approvals: MacKey,
    sealer: Key,
}

/// Whom the secret belongs to, as the KEK is told: no tenant has such an id.
const OWNER: &str = "installation";
const KEY_ID: &str = "secret-1";

const SELECT: &str = "SELECT kek_id, wrapped_secret, check_value FROM installation WHERE id = 1";

/// Opens the secret, and makes it where there is none.
pub(super) async fn open(
    db: &Database,
    keks: &KekRing,
    clock: &dyn Clock,
) -> Result<Secrets, TeamError> {
    if let Some(row) = stored(db).await? {
        return unlock(&row, keks).await.map(Secrets::new);
    }
    let new = Key::generate()?;
    let wrapped = keks.wrap(OWNER, KEY_ID, &new).await?;
    let (check, now) = (check_value(&new).to_vec(), clock.now());
    db.write(Sight::Installation, Announce::Nothing, move |tx| {
        Box::pin(async move {
            // Whoever else has just made one was first.
            tx.execute(
                "INSERT INTO installation (id, kek_id, wrapped_secret, check_value, created_at) \
                 VALUES (1, $1, $2, $3, $4) ON CONFLICT (id) DO NOTHING",
                vec![wrapped.kek_id.into(), wrapped.bytes.into(), check.into(), now.into()],
            )
            .await
        })
    })
    .await?;
    let row = stored(db).await?.ok_or(TeamError::damaged("the installation's secret is gone"))?;
    unlock(&row, keks).await.map(Secrets::new)
}

/// Opens the secret once more, to see that it can be.
pub(super) async fn verify(db: &Database, keks: &KekRing) -> Result<(), TeamError> {
    let row = stored(db).await?.ok_or(TeamError::damaged("the installation's secret is gone"))?;
    unlock(&row, keks).await.map(|_| ())
}

/// Wraps the secret under the current KEK, unless it is; says whether it was not.
pub(super) async fn rewrap(db: &Database, keks: &KekRing) -> Result<bool, TeamError> {
    let row = stored(db).await?.ok_or(TeamError::damaged("the installation's secret is gone"))?;
    let old: String = row.get(0)?;
    if old == keks.current() {
        return Ok(false);
    }
    let new = keks.wrap(OWNER, KEY_ID, &unlock(&row, keks).await?).await?;
    db.write(Sight::Installation, Announce::Nothing, move |tx| {
        Box::pin(async move {
            not_retired(tx, &new.kek_id).await?;
            let sql = "UPDATE installation SET kek_id = $2, wrapped_secret = $3 \
                       WHERE id = 1 AND kek_id = $1";
            Ok(tx.execute(sql, vec![old.into(), new.kek_id.into(), new.bytes.into()]).await? == 1)
        })
    })
    .await
}

async fn stored(db: &Database) -> Result<Option<Row>, TeamError> {
    db.read(Sight::Installation, |tx| Box::pin(async move { tx.first(SELECT, Vec::new()).await }))
        .await
}

async fn unlock(row: &Row, keks: &KekRing) -> Result<Key, TeamError> {
    let wrapped = Wrapped { kek_id: row.get(0)?, bytes: row.get(1)? };
    let key = keks.unwrap(OWNER, KEY_ID, &wrapped).await?;
    let check: Vec<u8> = row.get(2)?;
    if bool::from(check_value(&key).as_slice().ct_eq(&check)) {
        Ok(key)
    } else {
        Err(TeamError::damaged("the installation's secret"))
    }
}

fn check_value(key: &Key) -> [u8; 32] {
    key.mac("strongroom team check 1").tag(&[])
}

impl Secrets {
    fn new(key: Key) -> Self {
        Self {
            callers: key.mac("strongroom team callers 1"),
            cursors: key.mac("strongroom team cursors 1"),
            audit: Arc::new(SigningKey::of_team_audit(&key)),
            approvals: key.mac("strongroom team approvals 1"),
            sealer: key,
        }
    }

    /// Seals the signing key of the kernel key `id`.
    pub(super) fn seal_signing(&self, id: &str, secret: &Secret) -> Result<Vec<u8>, TeamError> {
        Ok(seal(&self.sealer, &place(id), secret)?)
    }

    /// Opens what [`seal_signing`](Self::seal_signing) made.
    pub(super) fn open_signing(&self, id: &str, sealed: &[u8]) -> Result<Secret, TeamError> {
        unseal(&self.sealer, &place(id), sealed)
            .map_err(|_| TeamError::damaged("the signing key of a kernel"))
    }
}

fn place(id: &str) -> Place<'_> {
    Place {
        app: "strongroom",
        format: FORMAT,
        key_id: KEY_ID,
        tenant: OWNER,
        row: id,
        service: "",
        kind: "kernel-signing-key",
        version: 1,
    }
}
