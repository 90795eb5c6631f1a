//! `docs/reference/benchmarks.md`.

use std::fmt::Write as _;

use serde_json::Value;
use time::OffsetDateTime;

use super::{CALLS, Measured, WORKERS, gateway, launch, loaded, team};
use crate::shell::Shell;

/// The page as it is written.
pub(super) fn render(shell: &Shell, measured: &Measured) -> Result<String, String> {
    let mut page = head(shell)?;
    let mut row = |what: &str, goal: &str, bare: String, through: String, ratio: String| {
        writeln!(page, "| {what} | {goal} | {bare} | {through} | {ratio} |")
            .map_err(|error| error.to_string())
    };
    let Measured {
        bare,
        spawn,
        idle,
        direct,
        stdio,
        large,
        direct_many,
        http,
        redaction,
        loaded,
        launched,
        team,
        gateway,
        asking,
    } = measured;
    row(
        "spawn to the first `tools/list` over stdio (bare: `true`), p50",
        "10 ms",
        ms(bare, "p50_us"),
        ms(spawn, "p50_us"),
        ratio(spawn, bare, "p50_us"),
    )?;
    for (name, goal) in [("p50_us", "added 0.2 ms"), ("p99_us", "added 1 ms")] {
        row(
            &format!("`execute` over stdio, {CALLS} calls, one at a time, {}", &name[..3]),
            goal,
            ms(direct, name),
            ms(stdio, name),
            format!("added {:.3} ms", (number(stdio, name) - number(direct, name)) / 1e3),
        )?;
    }
    row(
        &format!("`execute` over HTTP, {WORKERS} in flight, calls a second"),
        "10,000",
        format!("{:.0}", number(direct_many, "per_second")),
        format!("{:.0}", number(http, "per_second")),
        ratio(http, direct_many, "per_second"),
    )?;
    row(
        "the same, processor seconds of the broker for 10,000 calls",
        "stated",
        String::new(),
        format!("{:.2}", number(http, "cpu_seconds_per_10000")),
        String::new(),
    )?;
    row(
        "`execute` over stdio, processor seconds of the broker for 10,000 calls",
        "stated",
        String::new(),
        format!("{:.2}", number(stdio, "cpu_seconds_per_10000")),
        String::new(),
    )?;
    row(
        "resident memory, nothing called yet",
        "20 MiB",
        String::new(),
        mib(number(idle, "resident_kib")),
        String::new(),
    )?;
    for large in large.as_array().into_iter().flatten() {
        row(
            &format!("memory added at most by `GET {}`", text(large, "path")),
            "3 times the cap of 10 MB",
            String::new(),
            mib(number(large, "added_kib")),
            text(large, "answer").to_owned(),
        )?;
    }
    page.push_str(&loaded::section(loaded)?);
    page.push_str(&launch::section(launched)?);
    page.push_str(&growth(stdio)?);
    page.push_str(&rates(redaction)?);
    page.push_str(&team::section(team)?);
    page.push_str(&gateway::section(gateway)?);
    page.push_str(asking);
    Ok(page)
}

fn head(shell: &Shell) -> Result<String, String> {
    let read = |file: &str| shell.read(file).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("?");
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let memory = read("/proc/meminfo");
    let memory =
        memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    let kernel = read("/proc/sys/kernel/osrelease");
    let rustc = shell.output("rustc", &["--version"])?;
    Ok(format!(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench`: one run of a release build, everything on one machine, what \
         is compared measured within the same minutes, every answer checked. The service that is \
         called raises `calls_per_minute` out of the way; no other limit is changed.\n\n\
         - date: {}\n- processor: {}, {cores} cores\n- memory: {}\n- kernel: {}\n- compiler: {}\n\n\
         | what | goal | without the broker | through the broker | ratio |\n\
         | --- | --- | --- | --- | --- |\n",
        OffsetDateTime::now_utc().date(),
        model.trim_start_matches([' ', '\t', ':']),
        mib(memory.unwrap_or(0.0)),
        kernel.trim(),
        rustc.trim(),
    ))
}

/// The series that shows whether calls become slower or memory grows.
fn growth(stdio: &Value) -> Result<String, String> {
    let mut text = "\n## No growth\n\n`execute` over stdio, each 10,000 calls in turn.\n\n\
                    | calls | seconds | p50 | p99 | resident |\n| --- | --- | --- | --- | --- |\n"
        .to_owned();
    for (index, step) in stdio["steps"].as_array().into_iter().flatten().enumerate() {
        writeln!(
            text,
            "| {} | {:.2} | {} | {} | {} |",
            (index + 1) * 10_000,
            number(step, "seconds"),
            ms(step, "p50_us"),
            ms(step, "p99_us"),
            mib(number(step, "resident_kib")),
        )
        .map_err(|error| error.to_string())?;
    }
    Ok(text)
}

/// How fast what comes back is searched.
fn rates(redaction: &Value) -> Result<String, String> {
    let mut page = format!(
        "\n## Redaction\n\nOf {} bytes of JSON, by the number of secrets that are loaded (goals: 20 \
         at 400 MB/s, 200 at 250 MB/s and 32 MiB).\n\n\
         | secrets | whole | in chunks | matcher built in | matcher's memory |\n\
         | --- | --- | --- | --- | --- |\n",
        redaction["body_bytes"],
    );
    let rows = redaction["redaction"].as_array().into_iter().flatten();
    for row in rows.filter(|row| !row["mb_per_s"].is_null()) {
        writeln!(
            page,
            "| {} | {:.0} MB/s | {:.0} MB/s | {:.1} ms | {} |",
            row["secrets"],
            number(row, "mb_per_s"),
            number(row, "mb_per_s_streamed"),
            number(row, "build_ms"),
            mib(number(row, "memory_bytes") / 1024.0),
        )
        .map_err(|error| error.to_string())?;
    }
    Ok(page)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("?")
}

pub(super) fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or(f64::NAN)
}

pub(super) fn ms(value: &Value, name: &str) -> String {
    format!("{:.3} ms", number(value, name) / 1e3)
}

pub(super) fn mib(kib: f64) -> String {
    format!("{:.1} MiB", kib / 1024.0)
}

fn ratio(value: &Value, bare: &Value, name: &str) -> String {
    format!("{:.2}", number(value, name) / number(bare, name))
}
