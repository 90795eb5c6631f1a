//! Reading records back, and waiting for more.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Seek as _, SeekFrom};
use std::time::SystemTime;

use serde_json::{Map, Value};
use strongroom_seal::{FileError, SecureDir};
use time::OffsetDateTime;

use super::segment;

/// Which records are wanted. Those of the default are all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this service.
    pub service: Option<String>,
    /// Of this MCP server.
    pub server: Option<String>,
    /// Of this principal.
    pub principal: Option<String>,
    /// Refusals only.
    pub denied: bool,
    /// Of this call or act.
    pub audit_id: Option<String>,
    /// From this time on.
    pub since: Option<SystemTime>,
    /// Before this time.
    pub until: Option<SystemTime>,
}

/// A record as it was written.
#[derive(Clone, Debug)]
pub struct Record {
    fields: Map<String, Value>,
    line: String,
}

/// Reads segments, oldest first. Where it ends it may be asked again: it goes on with what was
/// appended, and with new segments.
///
/// Lines that are not records (what a killed writer left) are passed over: `verify` is what judges
/// them.
#[derive(Debug)]
pub struct Reader {
    dir: SecureDir,
    filter: Filter,
    /// The segment that is read, or was read last.
    name: String,
    open: Option<BufReader<File>>,
    /// What has been read of a line whose end is not there yet.
    partial: Vec<u8>,
}

impl Record {
    /// The record that `line` is, where it is one.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = str::from_utf8(line).ok()?;
        let Value::Object(fields) = serde_json::from_str(line).ok()? else { return None };
        Some(Self { fields, line: line.to_owned() })
    }

    /// The text of `field`, where it has one.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field)?.as_str()
    }

    /// The number of `field`, where it has one.
    pub fn number(&self, field: &str) -> Option<u64> {
        self.fields.get(field)?.as_u64()
    }

    /// All of it.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The line, without its end.
    pub fn line(&self) -> &str {
        &self.line
    }
}

impl Filter {
    /// Whether `record` is wanted.
    pub fn wants(&self, record: &Record) -> bool {
        let is = |field: &str, wanted: &Option<String>| {
            wanted.as_deref().is_none_or(|wanted| record.text(field) == Some(wanted))
        };
        is("service", &self.service)
            && is("server", &self.server)
            && is("principal", &self.principal)
            && is("audit_id", &self.audit_id)
            && (!self.denied || record.text("decision") == Some("deny"))
            && self.since.is_none_or(|since| {
                record.text("time").is_some_and(|at| at >= stamp(since).as_str())
            })
            && self.until.is_none_or(|until| {
                record.text("time").is_some_and(|at| at < stamp(until).as_str())
            })
    }

    /// Whether a segment may have what is wanted: no record in it is of a later day than its name.
    fn wants_segment(&self, name: &str) -> bool {
        self.since.is_none_or(|since| *name >= *segment::name(segment::day(since)))
    }
}

/// A time as records have it. All of them have the same length, so they order as texts.
fn stamp(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let (date, clock) = (time.date(), time.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second(),
        clock.millisecond()
    )
}

impl Reader {
    pub(super) fn from_start(dir: SecureDir, filter: Filter) -> Self {
        Self { dir, filter, name: String::new(), open: None, partial: Vec::new() }
    }

    pub(super) fn from_end(dir: SecureDir, filter: Filter) -> Result<Self, FileError> {
        let mut reader = Self::from_start(dir, filter);
        if let Some(newest) = segment::all(&reader.dir)?.pop() {
            let mut file = reader.dir.open_file(&newest)?;
            let sought = file.seek(SeekFrom::End(0));
            sought.map_err(|source| reader.problem(&newest, source))?;
            reader.open = Some(BufReader::new(file));
            reader.name = newest;
        }
        Ok(reader)
    }

    /// The next record that is wanted; `None`: there is none for the moment.
    fn poll(&mut self) -> Result<Option<Record>, FileError> {
        loop {
            while let Some(line) = self.line()? {
                if let Some(record) =
                    Record::parse(&line).filter(|record| self.filter.wants(record))
                {
                    return Ok(Some(record));
                }
            }
            if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// The next whole line of the open segment, without its end.
    fn line(&mut self) -> Result<Option<Vec<u8>>, FileError> {
        let Some(open) = &mut self.open else { return Ok(None) };
        if let Err(source) = open.read_until(b'\n', &mut self.partial) {
            let name = self.name.clone();
            return Err(self.problem(&name, source));
        }
        Ok(self.partial.pop_if(|last| *last == b'\n').map(|_| std::mem::take(&mut self.partial)))
    }

    /// Goes on to the segment behind the one that has been read, where there is one. Its writer had
    /// finished with the older one before, but for what came between our last look and now.
    fn advance(&mut self) -> Result<bool, FileError> {
        let names = segment::all(&self.dir)?;
        let Some(next) =
            names.into_iter().find(|name| *name > self.name && self.filter.wants_segment(name))
        else {
            return Ok(false);
        };
        if self.rest()? {
            return Ok(true);
        }
        self.open = Some(BufReader::new(self.dir.open_file(&next)?));
        self.partial.clear();
        self.name = next;
        Ok(true)
    }

    /// Whether there is more in the open segment after all.
    fn rest(&mut self) -> Result<bool, FileError> {
        let Some(open) = &mut self.open else { return Ok(false) };
        match open.fill_buf() {
            Ok(bytes) => Ok(!bytes.is_empty()),
            Err(source) => {
                let name = self.name.clone();
                Err(self.problem(&name, source))
            }
        }
    }

    fn problem(&self, name: &str, source: io::Error) -> FileError {
        let path = self.dir.path().join(name);
        match source.kind() {
            ErrorKind::NotFound => FileError::Missing { path },
            _ => FileError::Io { path, source },
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Record, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.poll().transpose()
    }
}
