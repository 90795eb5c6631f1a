//! Other ways to the same environment.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Map, Value, json};

use super::home::Server;
use crate::shell::{Shell, run};

/// What a shell does that keeps secrets in a file for `age`, and looks for each with `jq`.
const SHELL_DESIGN: &str = r#"#!/bin/bash
cd "$(dirname "$0")" || exit 1
server=$1
if [[ $(date +%s) -lt $(date -d "$(jq -r .expires_at secrets.meta)" +%s) ]]; then
    secrets=$(age -d -i key secrets.enc)
fi
[[ -n $secrets ]] || exit 1
for row in $(jq -r ".$server.secrets | to_entries[] | @base64" mcp-registry.json); do
    name=$(echo "$row" | base64 -d | jq -r .key)
    value=$(echo "$secrets" | jq -r --arg name "$name" '.[$name] // empty')
    export "$name=$value"
done
exec $(jq -r ".$server.command" mcp-registry.json)
"#;

/// `age` opens a file of assignments, and `sh` reads it.
pub(super) fn opened_by_age(folder: &Path, server: &Server) -> Result<Vec<String>, String> {
    let mut text = String::new();
    for (name, _, value) in server.secrets() {
        writeln!(text, "export {name}={value}").map_err(|error| error.to_string())?;
    }
    let (key, file) = sealed(folder, &text)?;
    let script = "eval \"$(age -d -i \"$0\" \"$1\")\" && shift && exec \"$@\"";
    let words = ["/bin/sh".into(), "-c".into(), script.to_owned(), key, file];
    Ok(words.into_iter().chain(server.command.iter().cloned()).collect())
}

/// `dotenvx run` of an encrypted file.
pub(super) fn dotenvx(
    shell: &Shell,
    folder: &Path,
    server: &Server,
) -> Result<Vec<String>, String> {
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let file = folder.join(".env");
    let lines: Vec<String> =
        server.secrets().map(|(name, _, value)| format!("{name}={value}\n")).collect();
    fs::write(&file, lines.concat()).map_err(|error| error.to_string())?;
    let program = shell.target.join("bench-tools/node_modules/.bin/dotenvx");
    // Without this the keys would go to the root of the repository.
    let files = ["-f".into(), path(&file), "-fk".into(), path(&folder.join(".env.keys"))];
    run(Command::new(&program).arg("encrypt").args(&files).stdout(Stdio::null()))?;
    let words = [path(&program), "run".into()].into_iter().chain(files).chain(["--".into()]);
    Ok(words.chain(server.command.iter().cloned()).collect())
}

/// The shell, with a cache that is still good.
pub(super) fn shell_design(folder: &Path, server: &Server) -> Result<Vec<String>, String> {
    let values: Map<String, Value> =
        server.secrets().map(|(name, _, value)| (name, value.into())).collect();
    sealed(folder, &json!(values).to_string())?;
    let secrets: Map<String, Value> =
        server.secrets().map(|(name, reference, _)| (name, reference.into())).collect();
    let entry = json!({ "command": server.command.join(" "), "secrets": secrets });
    let mut registry = Map::new();
    registry.insert(server.name.clone(), entry);
    let launcher = folder.join("mcp-launcher.sh");
    for (name, text) in [
        ("mcp-registry.json", json!(registry).to_string()),
        ("secrets.meta", json!({ "expires_at": "2999-01-01T00:00:00+00:00" }).to_string()),
        ("mcp-launcher.sh", SHELL_DESIGN.to_owned()),
    ] {
        fs::write(folder.join(name), text).map_err(|error| error.to_string())?;
    }
    Ok(vec!["/bin/bash".into(), path(&launcher), server.name.clone()])
}

/// A key for `age`, and `text` sealed for it.
fn sealed(folder: &Path, text: &str) -> Result<(String, String), String> {
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let (key, plain, file) = (folder.join("key"), folder.join("plain"), folder.join("secrets.enc"));
    fs::write(&plain, text).map_err(|error| error.to_string())?;
    run(Command::new("age-keygen").arg("-o").arg(&key).stderr(Stdio::null()))?;
    run(Command::new("age").arg("-e").arg("-i").arg(&key).arg("-o").arg(&file).arg(&plain))?;
    fs::remove_file(&plain).map_err(|error| error.to_string())?;
    Ok((path(&key), path(&file)))
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
