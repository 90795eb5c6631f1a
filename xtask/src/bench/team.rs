//! A team, served: with 100 tenants and with 100,000, on both databases.

use std::{fmt::Write as _, fs};

use serde_json::Value;

use super::page::{mib, ms, number};
use crate::shell::Shell;

/// Where the section begins on the page.
const TITLE: &str = "\n## A team\n";

/// Measures with the release build, which is built.
pub(super) fn measure(shell: &Shell) -> Result<Value, String> {
    let release = shell.target.join("release");
    let load = release.join("strongroom-bench");
    let broker = release.join("strongroom");
    println!("\n== measuring a team: some minutes");
    let mut command = shell.command(&load);
    let output = command.args(["team", "--"]).arg(&broker).stderr(std::process::Stdio::inherit());
    let output = output.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("team: {}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// Puts the section in the place of the one that the page has.
pub(super) fn replace(shell: &Shell, section: &str) -> Result<(), String> {
    let file = shell.root.join("docs/reference/benchmarks.md");
    let page = fs::read_to_string(&file).map_err(|error| error.to_string())?;
    fs::write(file, replaced(&page, TITLE, section)).map_err(|error| error.to_string())
}

/// `page` with `section` where there is one of this title, or behind all.
pub(super) fn replaced(page: &str, title: &str, section: &str) -> String {
    let Some((before, behind)) = page.split_once(title) else { return page.to_owned() + section };
    let rest = behind.find("\n## ").map_or("", |next| &behind[next..]);
    [before, section, rest].concat()
}

/// The section of the page.
pub(super) fn section(team: &Value) -> Result<String, String> {
    let mut page = format!(
        "{TITLE}\nWritten by `cargo xtask bench team`. `serve --team` over HTTP on loopback, \
         {workers} requests in flight on connections that are kept; each tenant has {servers} \
         servers, a key and a credential. The database is on the same machine, which the load \
         generator shares as well, and keeps what it acknowledges (`synchronous = FULL`; Postgres as \
         it stands after `initdb`). `one`: one tenant is asked for; otherwise all of them in turn.\n",
        workers = team["workers"],
        servers = team["servers"],
    );
    page.push_str(&mounted(&team["mounted"]));
    for (name, title) in [("sqlite", "SQLite"), ("postgres", "Postgres")] {
        let sizes = &team[name];
        let (few, many) = (&sizes[0], &sizes[1]);
        write!(
            page,
            "\n### On {title}\n\n| what | goal | {} tenants | {} tenants | ratio |\n\
             | --- | --- | --- | --- | --- |\n",
            few["tenants"], many["tenants"],
        )
        .map_err(|error| error.to_string())?;
        for row in rows(few, many) {
            writeln!(page, "| {} |", row.join(" | ")).map_err(|error| error.to_string())?;
        }
    }
    page.push_str(BOUNDS);
    Ok(page)
}

/// Calls of tools through `POST /mcp`, on Postgres.
fn mounted(all: &Value) -> String {
    let tenants = &all["tenants"];
    let mut page = format!(
        "\n### Tools of registered servers, on Postgres\n\nEach tenant has one server at an address, which \
         answers at once; every call is authenticated, judged, recorded, sent and redacted, and every answer \
         checked.\n\n| what | goal | one tenant | {tenants} tenants | ratio |\n| --- | --- | --- | --- | --- |\n"
    );
    let rate = |name: &str| number(&all[name], "per_second");
    let p99 = |name: &str| number(&all[name], "p99_us");
    let used = |name: &str| number(&all[name], "cpu_us");
    let rows = [
        format!(
            "| calls a second, all in flight | 5,000 | {:.0} | {:.0} | {:.2} |\n",
            rate("one"),
            rate("all"),
            rate("all") / rate("one")
        ),
        format!(
            "| a call, one at a time, p99 | ratio at most 2 | {} | {} | {:.2} |\n",
            ms(&all["one_at_a_time"], "p99_us"),
            ms(&all["all_at_a_time"], "p99_us"),
            p99("all_at_a_time") / p99("one_at_a_time")
        ),
        format!(
            "| the same, p50 | stated | {} | {} | |\n",
            ms(&all["one_at_a_time"], "p50_us"),
            ms(&all["all_at_a_time"], "p50_us")
        ),
        format!(
            "| processor time of one call, of server and database | stated | {:.0} us | {:.0} us | |\n",
            used("one"),
            used("all")
        ),
        format!(
            "| resident memory, before and after | stated | {} | {} | |\n",
            mib(number(all, "resident_at_start_kib")),
            mib(number(all, "resident_kib"))
        ),
    ];
    page.push_str(&rows.concat());
    page
}

fn rows(few: &Value, many: &Value) -> Vec<[String; 5]> {
    let mut rows = Vec::new();
    let p50 = |size: &Value| number(&size["list_one"], "p50_us");
    rows.push([
        "`list` of one tenant, p50".to_owned(),
        "ratio at most 1.5".to_owned(),
        ms(&few["list_one"], "p50_us"),
        ms(&many["list_one"], "p50_us"),
        format!("{:.2}", p50(many) / p50(few)),
    ]);
    for (name, what, goal) in [
        ("select", "for comparison: one row by `SELECT`, without a server, a second", "stated"),
        ("healthz", "for comparison: `/healthz` a second", "stated"),
        ("list_one", "`list` a second, one", "3,000"),
        ("list", "`list` a second", "3,000"),
        ("authorize_one", "`authorize` a second, one", "2,000"),
        ("authorize", "`authorize` a second", "2,000"),
        ("retrieve_one", "`retrieve` a second, one", "1,000"),
        ("retrieve", "`retrieve` a second", "1,000"),
    ] {
        let rate = |size: &Value| number(&size[name], "per_second");
        rows.push([
            what.to_owned(),
            goal.to_owned(),
            format!("{:.0}", rate(few)),
            format!("{:.0}", rate(many)),
            format!("{:.2}", rate(many) / rate(few)),
        ]);
    }
    for (name, what) in [
        ("healthz", "processor time of one `/healthz`, of server and database"),
        ("list", "the same of one `list`"),
        ("authorize", "the same of one `authorize`"),
        ("retrieve", "the same of one `retrieve`"),
    ] {
        let used = |size: &Value| number(&size[name], "cpu_us");
        rows.push([
            what.to_owned(),
            "stated".to_owned(),
            format!("{:.0} us", used(few)),
            format!("{:.0} us", used(many)),
            format!("{:.2}", used(many) / used(few)),
        ]);
    }
    for (name, what) in [
        ("resident_at_start_kib", "resident memory, nothing asked yet"),
        ("resident_kib", "the same after everything was asked for every tenant"),
        ("resident_again_kib", "the same after a tenth of it once more"),
    ] {
        let size = |size: &Value| number(size, name);
        rows.push([
            what.to_owned(),
            "does not grow with them".to_owned(),
            mib(size(few)),
            mib(size(many)),
            format!("{:.2}", size(many) / size(few)),
        ]);
    }
    rows
}

/// What bounds the figures, as counters and plans show.
const BOUNDS: &str = "
What bounds them: `/healthz` shows what HTTP itself leaves of the two cores, of which the generator takes a
good part. `list` of one tenant is answered from memory, and bound by writing its 20 servers as JSON;
beyond what is kept in memory (the servers of about 1,100 tenants, 18,000 keys) each request is one
transaction that reads the key and one that reads the servers: with 100,000 tenants that are asked in turn
that is nearly every request, and on Postgres its round trips are what is seen. `authorize` and `retrieve` wait for their
audit record: all that wait at one time are written by one transaction, whose `fdatasync` they share.
`retrieve` reads the credential and the tenant's head anew each time, in one statement.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_takes_the_place_of_the_one_before_it() {
        let section = format!("{TITLE}\nnew\n");
        let page = "# Page\n\n## One\n\n1\n".to_owned();
        let first = replaced(&page, TITLE, &section);
        assert_eq!(first, format!("{page}{section}"));
        assert_eq!(replaced(&first, TITLE, &section), first);
        let between = replaced(&(first + "\n## Two\n"), TITLE, &section.replace("new", "newer"));
        assert!(
            between.ends_with("newer\n\n## Two\n") && !between.contains("new\n\n## "),
            "{between}"
        );
    }
}
