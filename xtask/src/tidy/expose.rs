//! Where plaintext is touched: every call of `Secret::expose`, counted for each file.

use std::collections::BTreeMap;

use super::Source;
use crate::shell::Shell;

/// The reviewed places: `"file" = { count = N, why = ".." }`.
const TABLE: &str = "docs/reference/expose-sites.toml";

pub(super) fn check(shell: &Shell, sources: &[Source]) -> Result<Vec<String>, String> {
    let table: toml::Table =
        shell.read(TABLE)?.parse().map_err(|error| format!("{TABLE}: {error}"))?;
    let mut reviewed = BTreeMap::new();
    let mut complaints = Vec::new();
    for (file, entry) in &table {
        if entry.get("why").and_then(toml::Value::as_str).is_none_or(str::is_empty) {
            complaints.push(format!("{TABLE}: {file} does not say why"));
        }
        reviewed.insert(file.as_str(), entry.get("count").and_then(toml::Value::as_integer));
    }
    for source in sources {
        if source.path.starts_with("crates/testkit/") || source.path.starts_with("xtask/") {
            continue;
        }
        let found = source.code().map(|(_, line)| sites(line)).sum::<usize>();
        let expected = reviewed.remove(source.path.as_str()).flatten().unwrap_or(0);
        if i64::try_from(found) != Ok(expected) {
            complaints.push(format!(
                "{}: {found} calls of `Secret::expose`, {expected} are reviewed in {TABLE}",
                source.path
            ));
        }
    }
    let gone = reviewed.into_keys();
    complaints.extend(gone.map(|file| format!("{TABLE}: there is no file {file}")));
    Ok(complaints)
}

fn sites(line: &str) -> usize {
    line.matches(".expose()").count() + line.matches("Secret::expose").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_and_a_path_are_both_sites() {
        assert_eq!(sites("seal(key.expose(), iv, text.expose())"), 2);
        assert_eq!(sites("keys.iter().map(Secret::expose)"), 1);
        assert_eq!(sites("let exposed = expose_nothing();"), 0);
    }
}
