//! What the gateway adds to calls of MCP servers.

use std::{fmt::Write as _, fs};

use serde_json::Value;

use super::page::{mib, ms, number};
use crate::shell::Shell;

/// Where the section begins on the page.
const TITLE: &str = "\n## The gateway\n";

/// Measures with the release build, which is built.
pub(super) fn measure(shell: &Shell) -> Result<Value, String> {
    let release = shell.target.join("release");
    println!("\n== measuring the gateway: some minutes");
    let mut command = shell.command(release.join("strongroom-bench"));
    command.args(["gateway", "--"]).arg(release.join("strongroom"));
    let output = command.stderr(std::process::Stdio::inherit()).output();
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("gateway: {}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// Puts the section in the place of the one that the page has.
pub(super) fn replace(shell: &Shell, section: &str) -> Result<(), String> {
    let file = shell.root.join("docs/reference/benchmarks.md");
    let page = fs::read_to_string(&file).map_err(|error| error.to_string())?;
    fs::write(file, super::team::replaced(&page, TITLE, section)).map_err(|error| error.to_string())
}

/// The section of the page.
pub(super) fn section(gateway: &Value) -> Result<String, String> {
    let mut page = format!(
        "{TITLE}\nWritten by `cargo xtask bench gateway`. `serve` before an instant MCP server that it \
         starts under its guard, with authentication, policy, redaction and audit on; `without`: the \
         same client talks to the same server itself. Clients, gateway and servers share the machine. \
         Ids of all clients begin at 1; every answer is checked to be the one to what was sent.\n\n\
         | what | goal | without | through the gateway | |\n| --- | --- | --- | --- | --- |\n"
    );
    for [what, goal, without, through, rest] in rows(gateway) {
        writeln!(page, "| {what} | {goal} | {without} | {through} | {rest} |")
            .map_err(|error| error.to_string())?;
    }
    Ok(page)
}

fn rows(all: &Value) -> Vec<[String; 5]> {
    let mut rows = Vec::new();
    let mut row = |what: &str, goal: &str, without: String, through: String, rest: String| {
        rows.push([what.to_owned(), goal.to_owned(), without, through, rest]);
    };
    let added = |name: &str, direct: &str, what: &str| {
        format!("added {:.0} us", number(&all[name], what) - number(&all[direct], what))
    };
    for (how, direct, goal) in
        [("http", "direct_http", "added 60 us"), ("stdio", "direct_stdio", "added 40 us")]
    {
        for (what, goal) in [("p50_us", goal), ("p99_us", "stated")] {
            row(
                &format!("a call over {how}, one at a time, {}", &what[..3]),
                goal,
                ms(&all[direct], what),
                ms(&all[how], what),
                added(how, direct, what),
            );
        }
    }
    let (many, direct) = (&all["many"], &all["direct_many"]);
    row(
        &format!("calls a second over HTTP, {} in flight", all["workers"]),
        "15,000",
        format!("{:.0}", number(direct, "per_second")),
        format!("{:.0}", number(many, "per_second")),
        format!("p99 {}", ms(many, "p99_us")),
    );
    let seconds = |value: &Value| format!("{:.2} s", number(value, "cpu_seconds_per_10000"));
    row(
        "the same, processor time for 10,000 calls",
        "0.8 s",
        String::new(),
        seconds(many),
        String::new(),
    );
    row(
        "processor time for 10,000 calls over stdio, one at a time",
        "stated",
        String::new(),
        seconds(&all["stdio"]),
        String::new(),
    );
    row(
        "a list of 100 tools over HTTP, p50",
        "stated",
        ms(&all["direct_list"], "p50_us"),
        ms(&all["list"], "p50_us"),
        String::new(),
    );
    row(
        "the same, the gateway's processor time",
        "200 us",
        String::new(),
        format!("{:.0} us", number(&all["list"], "cpu_seconds_per_10000") * 100.0),
        String::new(),
    );
    let rate = |value: &Value, what: &str| format!("{:.0} MB/s", number(value, what));
    let (large, direct) = (&all["large"], &all["direct_large"]);
    row(
        &format!("results of {} bytes over stdio, {} secrets", large["bytes"], all["secrets"]),
        "300 MB/s",
        rate(direct, "mb_per_s"),
        rate(large, "mb_per_s"),
        format!("{} a processor second", rate(large, "mb_per_processor_second")),
    );
    row(
        &format!("a call over HTTP where {} servers are mounted, p50", all["mounted"]),
        "as with one",
        ms(&all["http"], "p50_us"),
        ms(&all["of_many"], "p50_us"),
        format!("{:.2}", number(&all["of_many"], "p50_us") / number(&all["http"], "p50_us")),
    );
    row(
        "memory of an idle session",
        "25 KiB",
        String::new(),
        format!("{:.1} KiB", number(&all["sessions"], "kib_each")),
        format!("of {}", all["sessions"]["count"]),
    );
    row(
        "memory, nothing called yet",
        "30 MiB",
        String::new(),
        mib(number(all, "base_kib")),
        format!("{} after these calls", mib(number(all, "resident_kib"))),
    );
    row(
        "from the death of a server's process to its next answer, p99",
        "1 s",
        String::new(),
        ms(&all["killed"], "p99_us"),
        format!("of {}", all["killed"]["calls"]),
    );
    rows
}
