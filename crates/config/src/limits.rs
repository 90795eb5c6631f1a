//! `limits = { response_bytes = "10MiB", total = "120s", calls_per_minute = 600 }`.

use std::time::Duration;

use strongroom_model::approval::PATIENCE;
use strongroom_model::policy::JUDGE_BYTES;
use strongroom_model::service::Limits;
use strongroom_proxy::{Keeping, Parts};

use super::reader::{Section, Value};
use super::{ConfigError, cache};

/// No body that is held in memory is larger.
const MOST_BYTES: u64 = 1 << 30;
/// No body that goes into a file, or comes from one, is larger.
const MOST_FILE_BYTES: u64 = 1 << 40;
/// No body that rules look at is larger: reading it takes many times its room.
const MOST_JUDGED: u64 = 16 << 20;
const MOST_EVENTS: u64 = 1_000_000;
/// No call is longer.
const MOST_MS: u64 = 60 * 60 * 1000;
const MOST_CALLS: u64 = 10_000_000;

const MOST_A_DAY: u64 = 1 << 50;

const MOST_AT_ONCE: u64 = 10_000;

/// The keys of `[files]`.
const FILES_KEYS: &[&str] = &["keep", "bytes"];
const LONGEST_KEPT: Duration = Duration::from_hours(365 * 24);

/// The keys of a `limits` table.
pub(super) const KEYS: &[&str] = &[
    "request_bytes",
    "response_bytes",
    "judge_bytes",
    "upload_bytes",
    "file_bytes",
    "events",
    "connect",
    "first_byte",
    "idle",
    "total",
    "calls_per_minute",
    "calls_at_once",
    "bytes_per_day",
];

/// Reads the `calls_at_once` of the whole file: it is a principal's, whatever it calls.
pub(super) fn at_once(root: &Section<'_>) -> Result<usize, ConfigError> {
    Ok(running(root)?.unwrap_or(Parts::CALLS_AT_ONCE))
}

/// Reads a `calls_at_once`.
pub(super) fn running(section: &Section<'_>) -> Result<Option<usize>, ConfigError> {
    let Some(value) = section.value("calls_at_once") else { return Ok(None) };
    let calls = value.number_or_text()?.ok().filter(|n| (1..=MOST_AT_ONCE).contains(n));
    calls
        .and_then(|calls| usize::try_from(calls).ok())
        .map(Some)
        .ok_or_else(|| value.problem("`calls_at_once` is not a number from 1 to 10000"))
}

/// Reads a `calls_per_minute`.
pub(super) fn per_minute(section: &Section<'_>) -> Result<Option<u32>, ConfigError> {
    let Some(value) = section.value("calls_per_minute") else { return Ok(None) };
    let calls = value.number_or_text()?.ok().filter(|n| (1..=MOST_CALLS).contains(n));
    calls
        .and_then(|calls| u32::try_from(calls).ok())
        .map(Some)
        .ok_or_else(|| value.problem("`calls_per_minute` is not a number of calls"))
}

/// Reads a `bytes_per_day`.
pub(super) fn per_day(section: &Section<'_>) -> Result<Option<u64>, ConfigError> {
    let read = |value| sized("bytes_per_day", value, MOST_A_DAY, "1 PiB");
    section.value("bytes_per_day").map(read).transpose()
}

/// Reads `approval_wait`, which is of the whole file: at most as long as a question stays open.
pub(super) fn approval_wait(root: &Section<'_>) -> Result<Duration, ConfigError> {
    let Some(value) = root.value("approval_wait") else { return Ok(Duration::ZERO) };
    let ms = match value.number_or_text()? {
        Ok(_) => None,
        Err(text) => scaled(text, &[("ms", 1), ("s", 1000), ("m", 60_000)]),
    };
    ms.map(Duration::from_millis).filter(|wait| *wait <= PATIENCE).ok_or_else(|| {
        value
            .problem("`approval_wait` is not a duration of at most two minutes")
            .hint("write a number and a unit: `0s`, `45s`, `2m`")
    })
}

/// Reads the `judge_bytes` in the `limits` of a service: how much of a body its rules look at.
pub(super) fn judge_bytes(service: &Section<'_>) -> Result<usize, ConfigError> {
    let Some(limits) = service.table("limits")? else { return Ok(JUDGE_BYTES) };
    let Some(value) = limits.value("judge_bytes") else { return Ok(JUDGE_BYTES) };
    let bytes = sized("judge_bytes", value, MOST_JUDGED, "16 MiB")?;
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// Reads a `limits` table.
pub(super) fn read(section: &Section<'_>) -> Result<Limits, ConfigError> {
    section.only(KEYS)?;
    let mut limits = Limits::default();
    for (key, bytes) in [
        ("request_bytes", &mut limits.request_bytes),
        ("response_bytes", &mut limits.response_bytes),
    ] {
        if let Some(value) = section.value(key) {
            *bytes = usize::try_from(size(key, value)?).unwrap_or(usize::MAX);
        }
    }
    if let Some(value) = section.value("upload_bytes") {
        limits.upload_bytes = Some(file_size("upload_bytes", value)?);
    }
    if let Some(value) = section.value("file_bytes") {
        limits.file_bytes = file_size("file_bytes", value)?;
    }
    if let Some(value) = section.value("events") {
        let events = value.number_or_text()?.ok().filter(|n| (1..=MOST_EVENTS).contains(n));
        limits.events = events
            .and_then(|events| u32::try_from(events).ok())
            .ok_or_else(|| value.problem("`events` is not a number from 1 to 1000000"))?;
    }
    for (key, ms) in [
        ("connect", &mut limits.connect_ms),
        ("first_byte", &mut limits.first_byte_ms),
        ("idle", &mut limits.idle_ms),
        ("total", &mut limits.total_ms),
    ] {
        if let Some(value) = section.value(key) {
            *ms = duration(key, value)?;
        }
    }
    if let Some(calls) = per_minute(section)? {
        limits.calls_per_minute = calls;
    }
    limits.calls_at_once = running(section)?;
    limits.bytes_per_day = per_day(section)?;
    Ok(limits)
}

/// Reads `[files]`: how the exchange folders are kept.
pub(super) fn files(root: &Section<'_>) -> Result<Keeping, ConfigError> {
    let mut keeping = Keeping::default();
    let Some(section) = root.table("files")? else { return Ok(keeping) };
    section.only(FILES_KEYS)?;
    if let Some(keep) = cache::duration(&section, "keep", LONGEST_KEPT)? {
        keeping.keep = keep;
    }
    if let Some(value) = section.value("bytes") {
        keeping.bytes = file_size("bytes", value)?;
    }
    Ok(keeping)
}

pub(super) fn size(key: &str, value: Value<'_>) -> Result<u64, ConfigError> {
    sized(key, value, MOST_BYTES, "1 GiB")
}

pub(super) fn file_size(key: &str, value: Value<'_>) -> Result<u64, ConfigError> {
    sized(key, value, MOST_FILE_BYTES, "1 TiB")
}

fn sized(key: &str, value: Value<'_>, most: u64, in_words: &str) -> Result<u64, ConfigError> {
    let units = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("kB", 1000),
        ("KB", 1000),
        ("MB", 1_000_000),
        ("B", 1),
    ];
    let bytes = match value.number_or_text()? {
        Ok(bytes) => Some(bytes),
        Err(text) => scaled(text, &units),
    };
    bytes.filter(|bytes| (1..=most).contains(bytes)).ok_or_else(|| {
        value
            .problem(format!("`{key}` is not a size of at most {in_words}"))
            .hint("write a number and a unit: `512KiB`, `10MiB`")
    })
}

pub(super) fn duration(key: &str, value: Value<'_>) -> Result<u64, ConfigError> {
    let ms = match value.number_or_text()? {
        Ok(_) => None,
        Err(text) => scaled(text, &[("ms", 1), ("s", 1000), ("m", 60_000)]),
    };
    ms.filter(|ms| (1..=MOST_MS).contains(ms)).ok_or_else(|| {
        value
            .problem(format!("`{key}` is not a duration of at most an hour"))
            .hint("write a number and a unit: `500ms`, `30s`, `2m`")
    })
}

/// A number with the first unit that fits its end.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, scale) =
        units.iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, *scale)))?;
    number.trim_end().parse::<u64>().ok()?.checked_mul(scale)
}
