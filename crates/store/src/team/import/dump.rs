//! The forms in which a table leaves Postgres: `COPY` as `pg_dump` writes it, CSV with a header, JSON
//! lines. Columns are found by their names; those that are not known are passed over.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{DumpRow, ImportError};
use crate::team::DEFAULT_TYPE;

/// The fields of one row, by their columns; `None` is NULL.
type Fields = BTreeMap<String, Option<String>>;

/// The rows of `text`: a dump that has the section of `tenant_credentials`, CSV whose first line
/// names the columns, or one JSON object on each line. Bytes are `\x` and hexadecimal digits, as
/// Postgres writes them.
pub fn parse_dump(text: &str) -> Result<Vec<DumpRow>, ImportError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let rows = if first.trim_start().starts_with('{') {
        json_lines(text)?
    } else if text.lines().any(|line| copied_columns(line).is_some()) {
        copied(text)?
    } else if first.split(',').any(|column| column.trim().trim_matches('"') == "tenant_id") {
        csv(text)?
    } else {
        return Err(form(
            1,
            "it is no dump of `tenant_credentials`, no CSV with a header and no JSON",
        ));
    };
    rows.into_iter().map(|(line, fields)| row(line, &fields)).collect()
}

fn row(line: usize, fields: &Fields) -> Result<DumpRow, ImportError> {
    let field = |name: &str| fields.get(name).and_then(Clone::clone);
    let needed = |name: &str, problem| field(name).ok_or(form(line, problem));
    let sealed = needed("encrypted_credentials", "it has no `encrypted_credentials`")?;
    let created_at = field("created_at")
        .map(|text| moment(&text).ok_or(form(line, "`created_at` is not a time with its zone")))
        .transpose()?;
    Ok(DumpRow {
        line,
        tenant: needed("tenant_id", "it has no `tenant_id`")?,
        service: needed("service", "it has no `service`")?,
        credential_type: field("credential_type").unwrap_or_else(|| DEFAULT_TYPE.to_owned()),
        sealed: bytes(&sealed)
            .ok_or(form(line, "`encrypted_credentials` is not `\\x` and hexadecimal digits"))?,
        created_at,
    })
}

/// The columns that a line of `pg_dump` announces: `COPY public.tenant_credentials (..) FROM stdin;`.
fn copied_columns(line: &str) -> Option<Vec<String>> {
    let (table, rest) = line.strip_prefix("COPY ")?.split_once(" (")?;
    let table = table.rsplit('.').next()?.trim_matches('"');
    let columns = rest.trim_end().strip_suffix(") FROM stdin;")?;
    (table == "tenant_credentials")
        .then(|| columns.split(", ").map(|column| column.trim_matches('"').to_owned()).collect())
}

fn copied(text: &str) -> Result<Vec<(usize, Fields)>, ImportError> {
    let mut lines = (1..).zip(text.lines());
    let mut rows = Vec::new();
    while let Some((_, line)) = lines.next() {
        let Some(columns) = copied_columns(line) else { continue };
        loop {
            let (number, line) =
                lines.next().ok_or(form(text.lines().count(), "the section does not end"))?;
            if line == "\\." {
                break;
            }
            let text = |field| if field == "\\N" { Ok(None) } else { unescaped(field).map(Some) };
            let fields: Result<_, _> = line.split('\t').map(text).collect();
            let fields = fields.map_err(|problem| form(number, problem))?;
            rows.push((number, joined(number, &columns, fields)?));
        }
    }
    Ok(rows)
}

/// A field as `COPY` writes it.
fn unescaped(field: &str) -> Result<String, &'static str> {
    const NONE: &str = "it has an escape that is none";
    let mut out = String::with_capacity(field.len());
    let mut rest = field.chars();
    while let Some(next) = rest.next() {
        out.push(match next {
            '\\' => match rest.next().ok_or(NONE)? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                '\\' => '\\',
                _ => return Err(NONE),
            },
            plain => plain,
        });
    }
    Ok(out)
}

fn csv(text: &str) -> Result<Vec<(usize, Fields)>, ImportError> {
    let mut records = records(text)?.into_iter();
    let (_, header) = records.next().ok_or(form(1, "it is empty"))?;
    let columns: Vec<String> =
        header.into_iter().map(|name| name.unwrap_or_default().trim().to_owned()).collect();
    records.map(|(line, fields)| Ok((line, joined(line, &columns, fields)?))).collect()
}

type Record = (usize, Vec<Option<String>>);

/// The records of CSV (RFC 4180), as Postgres writes it: nothing at all is NULL, `""` is not.
fn records(text: &str) -> Result<Vec<Record>, ImportError> {
    let mut records = Vec::new();
    let (mut line, mut began) = (1, 1);
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '"' if field.is_empty() && !quoted => {
                quoted = true;
                loop {
                    match rest.next() {
                        Some('"') if rest.peek() == Some(&'"') => {
                            rest.next();
                            field.push('"');
                        }
                        Some('"') => break,
                        Some(inner) => {
                            line += usize::from(inner == '\n');
                            field.push(inner);
                        }
                        None => return Err(form(began, "a quote does not end")),
                    }
                }
            }
            ',' | '\n' => {
                let ended = std::mem::take(&mut field);
                let ended =
                    if next == '\n' && !quoted { ended.trim_end_matches('\r') } else { &ended };
                fields.push((quoted || !ended.is_empty()).then(|| ended.to_owned()));
                quoted = false;
                if next == '\n' {
                    line += 1;
                    push(&mut records, began, std::mem::take(&mut fields));
                    began = line;
                }
            }
            '\r' if quoted => {}
            _ if quoted => return Err(form(line, "something stands behind a quote")),
            other => field.push(other),
        }
    }
    fields.push((quoted || !field.is_empty()).then_some(field));
    push(&mut records, began, fields);
    Ok(records)
}

/// A line without anything is no record.
fn push(records: &mut Vec<Record>, line: usize, fields: Vec<Option<String>>) {
    if fields != [None] {
        records.push((line, fields));
    }
}

fn joined(
    line: usize,
    columns: &[String],
    fields: Vec<Option<String>>,
) -> Result<Fields, ImportError> {
    if columns.len() == fields.len() {
        Ok(columns.iter().cloned().zip(fields).collect())
    } else {
        Err(form(line, "it has another number of fields than there are columns"))
    }
}

fn json_lines(text: &str) -> Result<Vec<(usize, Fields)>, ImportError> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let object: serde_json::Map<String, Value> = serde_json::from_str(line)
                .map_err(|_| form(number, "it is not a JSON object on a line of its own"))?;
            let text = |value| match value {
                Value::String(text) => Some(text),
                Value::Null => None,
                other => Some(other.to_string()),
            };
            Ok((number, object.into_iter().map(|(name, value)| (name, text(value))).collect()))
        })
        .collect()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

/// A time as JSON has it, or as Postgres prints it: `2026-02-23 10:00:00.123456+00`.
fn moment(text: &str) -> Option<SystemTime> {
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from);
    let text = text.replacen(' ', "T", 1);
    // Postgres leaves the minutes of the zone out where there are none.
    parse(&text).or_else(|| parse(&format!("{text}:00")))
}

fn form(line: usize, problem: &'static str) -> ImportError {
    ImportError::Form { line, problem }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const COPY: &str = "--\n-- PostgreSQL database dump\n--\nSET x = y;\n\
        COPY public.other (id) FROM stdin;\ntenant_credentials\n\\.\n\n\
        COPY public.tenant_credentials (id, tenant_id, service, credential_type, \
        encrypted_credentials, encryption_key_id, created_at, updated_at, last_used_at) FROM stdin;\n\
        1\tt1\tamazon\tapi_key\t\\\\x00ff\tdefault\t2026-02-23 10:00:00.5+00\tx\t\\N\n\
        2\tt\\\\2\\t\tstripe\toauth\t\\\\xA1\tdefault\t2026-02-23 12:00:00.5+02:00\tx\t\\N\n\\.\n\nDONE\n";
    const CSV: &str = "service,tenant_id,encrypted_credentials,created_at,note,credential_type\r\n\
        amazon,t1,\\x00ff,2026-02-23 10:00:00.5+00,\"a, \"\"b\"\"\nc\",\n\r\n\
        stripe,\"t\\2\t\",\"\\xA1\",2026-02-23T10:00:00.5Z,,oauth";
    const JSON: &str = r#"{"tenant_id":"t1","service":"amazon","encrypted_credentials":"\\x00ff","created_at":"2026-02-23T10:00:00.5+00:00","last_used_at":null}

        {"service":"stripe","credential_type":"oauth","tenant_id":"t\\2\t","encrypted_credentials":"\\xA1","created_at":"2026-02-23T10:00:00.5Z","n":{"x":1}}"#;

    #[test]
    fn the_three_forms_say_the_same() {
        let at = UNIX_EPOCH + Duration::from_millis(1_771_840_800_500);
        for (text, lines) in [(COPY, [10, 11]), (CSV, [2, 5]), (JSON, [1, 3])] {
            let row = |line, tenant: &str, service: &str, kind: &str, sealed: &[u8]| DumpRow {
                line,
                tenant: tenant.into(),
                service: service.into(),
                credential_type: kind.into(),
                sealed: sealed.into(),
                created_at: Some(at),
            };
            let due = [
                row(lines[0], "t1", "amazon", "api_key", &[0, 255]),
                row(lines[1], "t\\2\t", "stripe", "oauth", &[0xa1]),
            ];
            assert_eq!(parse_dump(text).unwrap(), due, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said_with_its_line_and_not_repeated() {
        let copy = |line: &str| {
            format!(
                "COPY tenant_credentials (tenant_id, service, encrypted_credentials) FROM stdin;\n{line}"
            )
        };
        let csv = |line: &str| format!("tenant_id,service,encrypted_credentials\n{line}");
        for (text, line) in [
            (String::new(), 1),
            ("canary".into(), 1),
            ("id,name\ncanary,canary\n".into(), 1),
            (copy("canary\tb\t\\\\x00\n"), 2),
            (copy("canary\tb\n\\.\n"), 2),
            (copy("canary\tb\t\\\\x0\n\\.\n"), 2),
            (copy("canary\tb\t\\q\n\\.\n"), 2),
            (copy("canary\tb\t\\N\n\\.\n"), 2),
            (csv("canary,b"), 2),
            (csv("canary,b,\"\\x00"), 2),
            (csv("canary,\"b\"x,\\x00"), 2),
            (csv("canary,b,canary"), 2),
            (csv(",b,\\x00"), 2),
            ("{\"tenant_id\":\"canary\"}".into(), 1),
            ("{\"tenant_id\":\"canary\"\n}".into(), 1),
        ] {
            let error = parse_dump(&text).unwrap_err();
            assert!(matches!(error, ImportError::Form { line: at, .. } if at == line), "{error}");
            assert!(!error.to_string().contains("canary") && error.hint().is_some(), "{error}");
        }
        assert_eq!(parse_dump(&copy("\\.\n")).unwrap(), []);
    }
}
