//! What the Python package takes: its import, and a secret from the keyring.

use std::fs;

use serde_json::Value;

use super::page::number;
use crate::{dist, install, shell::Shell};

/// Builds the packages as they are handed out, measures, and gives the rows.
pub(super) fn measure(shell: &Shell) -> Result<String, String> {
    install::programs(shell)?;
    install::python_clients(shell)?;
    install::python_package(shell, &dist::packages(shell, "release")?)?;
    let folder = shell.target.join("bench-asking");
    for name in ["data", "runtime"] {
        fs::create_dir_all(folder.join(name)).map_err(|error| error.to_string())?;
    }
    let mut session = shell.command("dbus-run-session");
    session.args(["--", "python3", "-c", include_str!("asking.py")]);
    session.arg(shell.target.join("packages/python/bin/python")).env("HOME", &folder);
    session.env("XDG_DATA_HOME", folder.join("data"));
    session.env("XDG_RUNTIME_DIR", folder.join("runtime"));
    let output = session.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let measured = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    Ok(rows(&measured))
}

fn rows(measured: &Value) -> String {
    let of = |name: &str| number(measured, name);
    format!(
        "| what | goal | beside | with | |\n| --- | --- | --- | --- | --- |\n\
         | `import mcp_secrets` (beside: Python that does nothing), p50 | 50 ms | {:.1} ms | {:.1} ms \
         | added {:.1} ms |\n\
         | `retrieve_secret` from gnome-keyring (beside: `secret-tool lookup`), p50 | 1.50 times \
         | {:.2} ms | {:.2} ms | {:.2} times |\n",
        of("bare"),
        of("import"),
        of("import") - of("bare"),
        of("tool"),
        of("read"),
        of("read") / of("tool"),
    )
}
