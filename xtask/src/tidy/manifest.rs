//! The toolchain is the one that is written down, and every dependency says why it is there.

use crate::shell::Shell;

pub(super) fn check(shell: &Shell) -> Result<Vec<String>, String> {
    let text = shell.read("Cargo.toml")?;
    let mut complaints = reasons(&text);
    let manifest: toml::Table = text.parse().map_err(|error| format!("Cargo.toml: {error}"))?;
    let wanted = manifest["workspace"]["package"]["rust-version"].as_str().unwrap_or_default();
    let found = shell.output("rustc", &["--version"])?;
    let version = found.split_whitespace().nth(1).unwrap_or_default();
    if version.strip_prefix(wanted).is_none_or(|rest| !rest.starts_with('.')) {
        complaints.push(format!("rustc is {version}, Cargo.toml says {wanted}"));
    }
    Ok(complaints)
}

/// Every dependency of the workspace that is not its own has a comment on its line.
fn reasons(manifest: &str) -> Vec<String> {
    manifest
        .lines()
        .skip_while(|line| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| line.contains('=') && !line.starts_with('#'))
        .filter(|line| !line.contains("{ path = ") && !line.contains(" # "))
        .map(|line| format!("Cargo.toml: no line of reason: {line}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_without_a_reason_is_named() {
        let manifest = "[workspace.dependencies]\nown = { path = \"crates/own\" }\n\
                        # a heading\nserde = \"1\" # shapes\nuuid = \"1\"\n\n[profile.dev]\nopt = 1\n";
        assert_eq!(reasons(manifest), ["Cargo.toml: no line of reason: uuid = \"1\""]);
    }
}
