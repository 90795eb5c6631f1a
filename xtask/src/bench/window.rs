//! How long a person waits for the window.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Running, page::ms};
use crate::{
    install,
    shell::{Shell, step},
};

/// Where the section begins on the page.
const TITLE: &str = "\n## Asking people\n";
/// Windows of each kind.
const WINDOWS: usize = 21;
/// Between two looks at the screen.
const GLANCE: Duration = Duration::from_millis(2);
/// A window that is not there by then never comes.
const PATIENCE: Duration = Duration::from_secs(20);

const FIELDS: &str = r#"{"title":"Secrets for a server","description":"Verification Code: AB3F-9K2L",
    "fields":[{"name":"key","label":"Key","field_type":"password","required":true},
              {"name":"place","label":"Place","field_type":"url"},
              {"name":"mail","label":"Mail","field_type":"email"}]}"#;
const CONSENT: &str = r#"{"title":"Allow it?","kind":"consent","description":"A call."}"#;

/// Builds the window program.
pub(super) fn build(shell: &Shell) -> Result<(), String> {
    step("release build of the window", || {
        shell.cargo(&["build", "--release", "-p", "strongroom-window"])
    })?;
    Ok(())
}

/// Measures with the release build, which is built.
pub(super) fn measure(shell: &Shell) -> Result<Value, String> {
    install::programs(shell)?;
    println!("\n== measuring the window");
    let program = shell.target.join("release/strongroom-dialog");
    let size = fs::metadata(&program).map_err(|error| error.to_string())?.len();
    let mut server = Command::new("Xvfb");
    server.args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"]);
    let mut server = Running::start(server.stdout(Stdio::piped()).stderr(Stdio::null()))?;
    let mut number = String::new();
    let output = server.0.stdout.take().ok_or("the display has no output")?;
    BufReader::new(output).read_line(&mut number).map_err(|error| error.to_string())?;
    let display = format!(":{}", number.trim());
    let mut manager = Command::new("openbox");
    let manager = manager.env("DISPLAY", &display).stderr(Stdio::null());
    let _manager = Running::start(manager)?;
    Ok(json!({
        "bytes": size,
        "fields": opened(&program, &display, FIELDS)?,
        "consent": opened(&program, &display, CONSENT)?,
    }))
}

/// How long from the start of the program to its window on the screen, over and over.
fn opened(program: &Path, display: &str, template: &str) -> Result<Value, String> {
    // The first one reads the program and its fonts into memory.
    once(program, display, template)?;
    let mut times = (0..WINDOWS)
        .map(|_| once(program, display, template))
        .collect::<Result<Vec<Duration>, String>>()?;
    times.sort_unstable();
    let at = |part: usize| times[(WINDOWS - 1) * part / 100].as_micros();
    Ok(json!({ "p50_us": at(50), "p95_us": at(95) }))
}

fn once(program: &Path, display: &str, template: &str) -> Result<Duration, String> {
    let began = Instant::now();
    let mut command = Command::new(program);
    command.env_clear().env("DISPLAY", display).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut window = Running::start(&mut command)?;
    let mut stdin = window.0.stdin.take().ok_or("no stdin")?;
    stdin.write_all(template.as_bytes()).map_err(|error| error.to_string())?;
    drop(stdin);
    loop {
        let mut search = Command::new("xdotool");
        search.args(["search", "--onlyvisible", "--name", "Strongroom$"]);
        let found = search.env("DISPLAY", display).stderr(Stdio::null()).output();
        if found.map_err(|error| error.to_string())?.status.success() {
            let waited = began.elapsed();
            window.end();
            return Ok(waited);
        }
        if began.elapsed() > PATIENCE {
            return Err("no window came".to_owned());
        }
        thread::sleep(GLANCE);
    }
}

/// Puts the section in the place of the one that the page has.
pub(super) fn replace(shell: &Shell, section: &str) -> Result<(), String> {
    let file = shell.root.join("docs/reference/benchmarks.md");
    let page = fs::read_to_string(&file).map_err(|error| error.to_string())?;
    fs::write(file, super::team::replaced(&page, TITLE, section)).map_err(|error| error.to_string())
}

/// The section of the page.
pub(super) fn section(asking: &Value) -> Result<String, String> {
    let mut page = format!(
        "{TITLE}\nWritten by `cargo xtask bench asking`. From the start of `strongroom-dialog` until its \
         window is seen on the screen (Xvfb with a window manager), {WINDOWS} windows of each kind; the \
         times hold the asking of the screen, some milliseconds.\n\n\
         | what | goal | p50 | p95 |\n| --- | --- | --- | --- |\n"
    );
    for (name, what) in [("fields", "a form of three fields"), ("consent", "a consent")] {
        let (middle, late) = (ms(&asking[name], "p50_us"), ms(&asking[name], "p95_us"));
        writeln!(page, "| the window of {what} | 300 ms | {middle} | {late} |")
            .map_err(|error| error.to_string())?;
    }
    let bytes = asking["bytes"].as_f64().unwrap_or(f64::NAN);
    writeln!(page, "| the program, stripped | 5 MB | {:.2} MB | |", bytes / 1e6)
        .map_err(|error| error.to_string())?;
    Ok(page)
}
