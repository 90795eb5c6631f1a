//! The rows of `approvals` and `grants`, and the tags that make them count.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, params};
use strongroom_model::approval::{By, Class, Entry, Grant, Question, Scope, State};
use strongroom_model::principal::Name;
use strongroom_seal::MacKey;
use subtle::ConstantTimeEq as _;

use super::{from_ms, ms};
use crate::vault::{TENANT, VaultError};

/// A row of `approvals`.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) principal: String,
    pub(super) digest: Vec<u8>,
    pub(super) access: bool,
    pub(super) question: String,
    pub(super) state: String,
    pub(super) answer: Option<String>,
    pub(super) method: Option<String>,
    pub(super) opened: i64,
    pub(super) changed: i64,
    pub(super) expires: i64,
    pub(super) tag: Vec<u8>,
}

const COLUMNS: &str = "id, principal, digest, access, question, state, answer, method, opened, \
                       changed, expires, tag";

impl Row {
    /// Whether it is as we wrote it.
    pub(super) fn is_genuine(&self, key: &MacKey) -> bool {
        self.tag.ct_eq(&self.tag_with(key)).into()
    }

    /// The question, as it stands at `now`; `None` where the row says what cannot be. A clock that went
    /// back behind the row makes it expired.
    pub(super) fn entry(&self, now: i64) -> Option<Entry> {
        let mut question: Question = serde_json::from_str(&self.question).ok()?;
        if question.digest().bytes()[..] != self.digest[..] {
            return None;
        }
        let state = State::parse(&self.state)?;
        let good = self.changed <= now && now < self.expires;
        let state = match state {
            State::Open | State::Approved | State::Denied if !good => State::Expired,
            state => state,
        };
        if state != State::Open {
            question.body = None;
        }
        Some(Entry {
            id: self.id.clone(),
            question,
            state,
            opened: from_ms(self.opened),
            expires: from_ms(self.expires),
            by: self.method.as_deref().and_then(By::parse),
        })
    }

    /// The same, closed at `now` as `state`. What was to be sent is shown to nobody any more, and goes.
    pub(super) fn closed(self, state: State, now: i64) -> Result<Self, VaultError> {
        let damaged = |_| VaultError::damaged("a question cannot be read");
        let mut question: Question = serde_json::from_str(&self.question).map_err(damaged)?;
        question.body = None;
        let question = serde_json::to_string(&question).map_err(damaged)?;
        Ok(Self { question, state: state.as_str().into(), changed: now, ..self })
    }

    fn tag_with(&self, key: &MacKey) -> [u8; 32] {
        key.tag(&[
            b"approval",
            TENANT.as_bytes(),
            self.id.as_bytes(),
            self.principal.as_bytes(),
            &self.digest,
            &[u8::from(self.access)],
            self.question.as_bytes(),
            self.state.as_bytes(),
            self.answer.as_deref().unwrap_or_default().as_bytes(),
            self.method.as_deref().unwrap_or_default().as_bytes(),
            &self.opened.to_be_bytes(),
            &self.changed.to_be_bytes(),
            &self.expires.to_be_bytes(),
        ])
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            principal: row.get(1)?,
            digest: row.get(2)?,
            access: row.get(3)?,
            question: row.get(4)?,
            state: row.get(5)?,
            answer: row.get(6)?,
            method: row.get(7)?,
            opened: row.get(8)?,
            changed: row.get(9)?,
            expires: row.get(10)?,
            tag: row.get(11)?,
        })
    }
}

/// Adds a row, with its tag.
pub(super) fn insert(db: &Connection, key: &MacKey, row: &Row) -> Result<(), VaultError> {
    let sql = format!(
        "INSERT INTO approvals ({COLUMNS}, tenant) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
    );
    db.prepare_cached(&sql)?.execute(params![
        row.id,
        row.principal,
        row.digest,
        row.access,
        row.question,
        row.state,
        row.answer,
        row.method,
        row.opened,
        row.changed,
        row.expires,
        row.tag_with(key),
        TENANT
    ])?;
    Ok(())
}

/// Writes what changes of a row, with its tag, if it is still in the state `from`.
pub(super) fn replace(
    db: &Connection,
    key: &MacKey,
    row: &Row,
    from: State,
) -> Result<bool, VaultError> {
    let changed = db
        .prepare_cached(
            "UPDATE approvals SET state = ?2, answer = ?3, method = ?4, changed = ?5, \
             expires = ?6, tag = ?7, question = ?9 WHERE id = ?1 AND state = ?8",
        )?
        .execute(params![
            row.id,
            row.state,
            row.answer,
            row.method,
            row.changed,
            row.expires,
            row.tag_with(key),
            from.as_str(),
            row.question
        ])?;
    Ok(changed == 1)
}

/// The row `id`.
pub(super) fn by_id(db: &Connection, id: &str) -> Result<Option<Row>, VaultError> {
    let sql = format!("SELECT {COLUMNS} FROM approvals WHERE id = ?1 AND tenant = ?2");
    Ok(db.prepare_cached(&sql)?.query_row([id, TENANT], Row::read).optional()?)
}

/// The rows of the very same question, the newest first.
pub(super) fn by_digest(db: &Connection, question: &Question) -> Result<Vec<Row>, VaultError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM approvals WHERE tenant = ?1 AND principal = ?2 AND digest = ?3 \
         ORDER BY changed DESC LIMIT 8"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let parameters = params![TENANT, question.principal.as_str(), question.digest().bytes()];
    let rows = statement.query_map(parameters, Row::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Every row, the newest first.
pub(super) fn all(db: &Connection) -> Result<Vec<Row>, VaultError> {
    let sql = format!("SELECT {COLUMNS} FROM approvals WHERE tenant = ?1 ORDER BY opened DESC");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([TENANT], Row::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is open and was not answered in time, or was opened in what is now the future.
pub(super) fn lapsed(db: &Connection, now: i64) -> Result<Vec<Row>, VaultError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM approvals \
         WHERE tenant = ?1 AND state = 'open' AND (expires <= ?2 OR opened > ?2)"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![TENANT, now], Row::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many questions about calls of `principal` are open.
pub(super) fn open_of(db: &Connection, principal: &Name, now: i64) -> Result<usize, VaultError> {
    let sql = "SELECT count(*) FROM approvals WHERE tenant = ?1 AND principal = ?2 \
               AND state = 'open' AND access = 0 AND expires > ?3";
    let count: i64 = db
        .prepare_cached(sql)?
        .query_row(params![TENANT, principal.as_str(), now], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// How many requests for access `principal` has made since then.
pub(super) fn asked_since(
    db: &Connection,
    principal: &Name,
    since: i64,
) -> Result<usize, VaultError> {
    let sql = "SELECT count(*) FROM approvals WHERE tenant = ?1 AND principal = ?2 \
               AND access = 1 AND opened > ?3";
    let count: i64 = db
        .prepare_cached(sql)?
        .query_row(params![TENANT, principal.as_str(), since], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

const GRANT: &str = "id, principal, service, rule, class, revision, method, created, lapses, tag";

/// Keeps a grant, and forgets those that are over.
pub(super) fn put_grant(
    db: &Connection,
    key: &MacKey,
    grant: &Grant,
    now: i64,
) -> Result<(), VaultError> {
    db.prepare_cached("DELETE FROM grants WHERE tenant = ?1 AND lapses <= ?2")?
        .execute(params![TENANT, now])?;
    let sql = format!(
        "INSERT INTO grants ({GRANT}, tenant) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
    );
    let scope = &grant.scope;
    db.prepare_cached(&sql)?.execute(params![
        grant.id,
        scope.principal.as_str(),
        scope.service.as_str(),
        scope.rule,
        scope.class.as_str(),
        scope.revision.cast_signed(),
        grant.by.as_str(),
        ms(grant.created),
        ms(grant.lapses),
        tag(grant, key),
        TENANT
    ])?;
    Ok(())
}

/// The timed grant that covers `scope` at `now`. It costs one step down an index, however many
/// grants there are.
pub(super) fn grant_for(
    db: &Connection,
    key: &MacKey,
    scope: &Scope,
    now: SystemTime,
) -> Result<Option<Grant>, VaultError> {
    let mut statement = db.prepare_cached(
        "SELECT id, principal, service, rule, class, revision, method, created, lapses, tag \
         FROM grants WHERE tenant = ?1 AND principal = ?2 AND service = ?3 AND rule = ?4 \
         AND class = ?5 AND revision = ?6 AND lapses > ?7 AND id LIKE 'g-%' \
         ORDER BY lapses DESC LIMIT 8",
    )?;
    let rows = statement.query_map(
        params![
            TENANT,
            scope.principal.as_str(),
            scope.service.as_str(),
            scope.rule,
            scope.class.as_str(),
            scope.revision.cast_signed(),
            ms(now)
        ],
        read_grant,
    )?;
    for row in rows {
        if let Some(grant) = genuine(row?, key)
            && grant.stands(now)
        {
            return Ok(Some(grant));
        }
    }
    Ok(None)
}

/// The grant `id`.
pub(super) fn grant_by_id(
    db: &Connection,
    key: &MacKey,
    id: &str,
) -> Result<Option<Grant>, VaultError> {
    let sql = format!("SELECT {GRANT} FROM grants WHERE id = ?1 AND tenant = ?2");
    let row = db.prepare_cached(&sql)?.query_row([id, TENANT], read_grant).optional()?;
    Ok(row.and_then(|row| genuine(row, key)))
}

/// What stands of `principal` at `now`.
pub(super) fn grants_of(
    db: &Connection,
    key: &MacKey,
    principal: &Name,
    now: SystemTime,
) -> Result<Vec<Grant>, VaultError> {
    let sql = format!(
        "SELECT {GRANT} FROM grants WHERE tenant = ?1 AND principal = ?2 AND lapses > ?3 \
         ORDER BY lapses LIMIT 100"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![TENANT, principal.as_str(), ms(now)], read_grant)?;
    let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
    let grants = rows.into_iter().filter_map(|row| genuine(row, key));
    Ok(grants.filter(|grant| grant.stands(now)).collect())
}

/// Everything that has not lapsed.
pub(super) fn grants(db: &Connection, key: &MacKey, now: i64) -> Result<Vec<Grant>, VaultError> {
    let sql = format!(
        "SELECT {GRANT} FROM grants WHERE tenant = ?1 AND lapses > ?2 ORDER BY principal, lapses"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![TENANT, now], read_grant)?;
    let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
    Ok(rows.into_iter().filter_map(|row| genuine(row, key)).collect())
}

/// A row of `grants`; `None` where it says what cannot be.
type Read = Option<(Grant, Vec<u8>)>;

fn read_grant(row: &rusqlite::Row<'_>) -> rusqlite::Result<Read> {
    let text = |at| row.get::<_, String>(at);
    let texts = [text(0)?, text(1)?, text(2)?, text(3)?, text(4)?, text(6)?];
    let (created, lapses) = (from_ms(row.get(7)?), from_ms(row.get(8)?));
    let grant = grant_of(texts, row.get(5)?, created, lapses);
    let tag: Vec<u8> = row.get(9)?;
    Ok(grant.map(|grant| (grant, tag)))
}

/// The grant that `[id, principal, service, rule, class, method]` of a row and its numbers say; `None`
/// where that cannot be one.
pub(crate) fn grant_of(
    [id, principal, service, rule, class, method]: [String; 6],
    revision: i64,
    created: SystemTime,
    lapses: SystemTime,
) -> Option<Grant> {
    let scope = Scope {
        principal: principal.parse().ok()?,
        service: service.parse().ok()?,
        rule,
        class: Class::parse(&class)?,
        revision: revision.cast_unsigned(),
    };
    Some(Grant { id, scope, by: By::parse(&method)?, created, lapses })
}

fn genuine(read: Read, key: &MacKey) -> Option<Grant> {
    let (grant, found) = read?;
    bool::from(found.ct_eq(&tag(&grant, key))).then_some(grant)
}

fn tag(grant: &Grant, key: &MacKey) -> [u8; 32] {
    let scope = &grant.scope;
    key.tag(&[
        b"grant",
        TENANT.as_bytes(),
        grant.id.as_bytes(),
        scope.principal.as_str().as_bytes(),
        scope.service.as_str().as_bytes(),
        scope.rule.as_bytes(),
        scope.class.as_str().as_bytes(),
        &scope.revision.to_be_bytes(),
        grant.by.as_str().as_bytes(),
        &ms(grant.created).to_be_bytes(),
        &ms(grant.lapses).to_be_bytes(),
    ])
}
