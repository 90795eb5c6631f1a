//! What goes into a statement and what comes out, in the types of both databases.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::Value as Cell;
use sqlx_core::row::Row as _;
use sqlx_postgres::{PgRow, PgValueRef};
use strongroom_model::team::{CredentialId, KeyId, OrganizationId, ServerId, ServiceId, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::team::TeamError;

/// What is bound to a parameter.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Uuid(Uuid),
    Text(Option<String>),
    Int(i64),
    Bool(bool),
    Bytes(Option<Vec<u8>>),
    /// Microseconds since 1970.
    Time(Option<i64>),
    Texts(Vec<String>),
    /// Postgres only, as the next two: columns of many rows at once.
    Uuids(Vec<Uuid>),
    Ints(Vec<i64>),
    Times(Vec<i64>),
}

/// A row that a statement gave.
pub(crate) enum Row {
    Sqlite(Vec<Cell>),
    Postgres(PgRow),
}

impl Row {
    /// The value in the column at `place`. A value of another type is damage.
    pub(crate) fn get<T: Column>(&self, place: usize) -> Result<T, TeamError> {
        const WHAT: TeamError = TeamError::Integrity { what: "a column has another type" };
        match self {
            Self::Sqlite(cells) => T::of_cell(cells.get(place).ok_or(WHAT)?).ok_or(WHAT),
            Self::Postgres(row) => T::of_row(row, place).ok_or(WHAT),
        }
    }
}

/// A type that columns have.
pub(crate) trait Column: Sized {
    fn of_cell(cell: &Cell) -> Option<Self>;
    fn of_row(row: &PgRow, place: usize) -> Option<Self>;
}

/// Columns that are the same in both but for the reader of the cell.
macro_rules! columns {
    ($($type:ty: $postgres:ty, $cell:pat => $of_cell:expr, $value:ident => $of_postgres:expr;)*) => {$(
        impl Column for $type {
            fn of_cell(cell: &Cell) -> Option<Self> {
                match cell {
                    $cell => $of_cell,
                    _ => None,
                }
            }

            fn of_row(row: &PgRow, place: usize) -> Option<Self> {
                let $value = row.try_get::<$postgres, _>(place).ok()?;
                $of_postgres
            }
        }
    )*};
}

columns! {
    String: String, Cell::Text(text) => Some(text.clone()), text => Some(text);
    i64: i64, Cell::Integer(number) => Some(*number), number => Some(number);
    bool: bool, Cell::Integer(number) => Some(*number != 0), is => Some(is);
    Vec<u8>: Vec<u8>, Cell::Blob(bytes) => Some(bytes.clone()), bytes => Some(bytes);
    SystemTime: OffsetDateTime, Cell::Integer(micros) => Some(time(*micros)), at => Some(at.into());
    Vec<String>: Vec<String>, Cell::Text(text) => serde_json::from_str(text).ok(), texts => Some(texts);
    KeyId: String, Cell::Text(text) => text.parse().ok(), text => text.parse().ok();
    TenantId: Uuid, Cell::Text(text) => text.parse().ok(), id => id.to_string().parse().ok();
    OrganizationId: Uuid, Cell::Text(text) => text.parse().ok(), id => id.to_string().parse().ok();
    ServerId: Uuid, Cell::Text(text) => text.parse().ok(), id => id.to_string().parse().ok();
    ServiceId: Uuid, Cell::Text(text) => text.parse().ok(), id => id.to_string().parse().ok();
    CredentialId: Uuid, Cell::Text(text) => text.parse().ok(), id => id.to_string().parse().ok();
}

impl<T: Column> Column for Option<T> {
    fn of_cell(cell: &Cell) -> Option<Self> {
        if matches!(cell, Cell::Null) { Some(None) } else { T::of_cell(cell).map(Some) }
    }

    fn of_row(row: &PgRow, place: usize) -> Option<Self> {
        use sqlx_core::value::ValueRef as _;
        let value: PgValueRef<'_> = row.try_get_raw(place).ok()?;
        if value.is_null() { Some(None) } else { T::of_row(row, place).map(Some) }
    }
}

/// The time, as both databases keep it.
pub(crate) fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

pub(crate) fn time(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

/// The time in Postgres' type; what is after its last year is its last moment.
pub(super) fn moment(micros: i64) -> OffsetDateTime {
    const LAST: i64 = 253_402_300_799_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros.clamp(0, LAST)) * 1000)
        .expect("it is between 1970 and 9999")
}

macro_rules! values {
    ($($type:ty, $value:ident => $made:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $made
            }
        }
    )*};
}

values! {
    &str, text => Self::Text(Some(text.to_owned()));
    String, text => Self::Text(Some(text));
    Option<String>, text => Self::Text(text);
    i64, number => Self::Int(number);
    bool, is => Self::Bool(is);
    Vec<u8>, bytes => Self::Bytes(Some(bytes));
    Option<Vec<u8>>, bytes => Self::Bytes(bytes);
    SystemTime, at => Self::Time(Some(micros(at)));
    Option<SystemTime>, at => Self::Time(at.map(micros));
    Vec<String>, texts => Self::Texts(texts);
    KeyId, id => Self::Text(Some(id.to_string()));
    TenantId, id => Self::Uuid(Uuid::from_bytes(id.bytes()));
    OrganizationId, id => Self::Uuid(Uuid::from_bytes(id.bytes()));
    ServerId, id => Self::Uuid(Uuid::from_bytes(id.bytes()));
    ServiceId, id => Self::Uuid(Uuid::from_bytes(id.bytes()));
    CredentialId, id => Self::Uuid(Uuid::from_bytes(id.bytes()));
}
