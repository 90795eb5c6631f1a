//! `strongroom audit export`: the records, as they come, in the words of another program.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;
use strongroom_store::audit::{self, Record};

use super::super::logs::search::Which;
use super::{cef, otlp, own_dir};
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How they are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    #[command(flatten)]
    which: Which,
    /// Where they go [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file where there is one
    #[arg(long, requires = "output")]
    overwrite: bool,
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// JSON Lines: each record as it stands in the audit, with its hashes
    Jsonl,
    /// The Common Event Format of security event systems, a line each
    Cef,
    /// OpenTelemetry logs: OTLP in JSON, a batch on each line
    Otlp,
}

/// Bytes that are gathered before they are written.
const CHUNK: usize = 64 << 10;

#[derive(Serialize)]
struct Exported {
    records: u64,
    file: String,
}

/// Writes the records.
pub(super) fn run(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    let dir = own_dir(host)?;
    let records = audit::read(dir, args.which.filter(&*host.clock));
    let records = records.map(|record| record.map_err(Failure::from));
    let Some(file) = &args.output else {
        write(args.format, records, &mut |text| output.print(text))?;
        return Ok(());
    };
    let path = host.directory.join(file);
    let count = to_file(&path, args.overwrite, |put| write(args.format, records, put))?;
    output.report(&Exported { records: count, file: path.display().to_string() })
}

/// Takes a piece of what is written.
type Put<'a> = &'a mut dyn FnMut(&str) -> Result<(), Failure>;

/// Writes `records` in pieces, so that memory does not follow their number; says how many there were.
fn write(
    format: Format,
    records: impl Iterator<Item = Result<Record, Failure>>,
    put: Put<'_>,
) -> Result<u64, Failure> {
    let mut text = String::with_capacity(CHUNK + (4 << 10));
    let mut batch = otlp::Batch::default();
    let mut count = 0;
    for record in records {
        let record = record?;
        count += 1;
        match format {
            Format::Jsonl => {
                text.push_str(record.line());
                text.push('\n');
            }
            Format::Cef => cef::write(&record, &mut text),
            Format::Otlp => batch.add(&record, &mut text),
        }
        if text.len() >= CHUNK {
            put(&text)?;
            text.clear();
        }
    }
    batch.end(&mut text);
    put(&text)?;
    Ok(count)
}

/// Lets `write` fill the file at `path`, for its owner alone to read: whole, or not at all.
fn to_file(
    path: &Path,
    overwrite: bool,
    write: impl FnOnce(Put<'_>) -> Result<u64, Failure>,
) -> Result<u64, Failure> {
    if !overwrite && fs::symlink_metadata(path).is_ok() {
        return Err(Failure::failed(format!("`{}` is there already", path.display()))
            .hint("give another name, or `--overwrite`"));
    }
    let problem = |error: io::Error| {
        Failure::failed(format!("`{}` cannot be written: {error}", path.display()))
    };
    let name = path.file_name().ok_or_else(|| Failure::usage("the file has no name"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let filled = || {
        let mut file = BufWriter::new(create(&temporary).map_err(problem)?);
        let count = write(&mut |text| file.write_all(text.as_bytes()).map_err(problem))?;
        let file = file.into_inner().map_err(|error| problem(error.into_error()))?;
        file.sync_all().and_then(|()| fs::rename(&temporary, path)).map_err(problem)?;
        Ok(count)
    };
    filled().inspect_err(|_| {
        // The first error counts.
        drop(fs::remove_file(&temporary));
    })
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

impl Report for Exported {
    fn text(&self, _: Style) -> String {
        let records = if self.records == 1 { "record" } else { "records" };
        format!("wrote {} {records} to {}\n", self.records, self.file)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A record with these fields.
    pub(in super::super) fn record(fields: &Value) -> Record {
        Record::parse(fields.to_string().as_bytes()).unwrap()
    }

    fn written(format: Format, records: &[Value]) -> Vec<String> {
        let mut pieces = Vec::new();
        let records: Vec<_> = records.iter().map(|fields| Ok(record(fields))).collect();
        let count = records.len() as u64;
        let done = write(format, records.into_iter(), &mut |text| {
            pieces.push(text.to_owned());
            Ok(())
        });
        assert_eq!(done.unwrap(), count);
        pieces
    }

    #[test]
    fn json_lines_are_the_lines_of_the_audit() {
        let records = [json!({ "seq": 1, "hash": "a" }), json!({ "seq": 2, "path": "/é\n" })];
        let expected = format!("{}\n{}\n", records[0], records[1]);
        assert_eq!(written(Format::Jsonl, &records).concat(), expected);
    }

    #[test]
    fn what_is_gathered_does_not_grow_with_the_records() {
        let one = json!({ "kind": "intent", "time": "2026-03-15T10:23:45.017Z", "reason": "x".repeat(900) });
        let records = vec![one; 1000];
        for format in [Format::Jsonl, Format::Cef, Format::Otlp] {
            let pieces = written(format, &records);
            assert!(pieces.len() > 10, "{format:?}");
            let longest = pieces.iter().map(String::len).max().unwrap();
            assert!(longest < 2 * CHUNK, "{format:?} {longest}");
        }
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all_and_never_replaced_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let fails = |put: Put<'_>| {
            put("half")?;
            Err(Failure::failed("no"))
        };
        assert!(to_file(&path, false, fails).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

        let of = |text: &'static str| move |put: Put<'_>| put(text).map(|()| 1);
        assert_eq!(to_file(&path, false, of("one")).unwrap(), 1);
        let refused = to_file(&path, false, of("two")).unwrap_err();
        assert_eq!(refused.hint.as_deref(), Some("give another name, or `--overwrite`"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        to_file(&path, true, of("two")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
    }
}
