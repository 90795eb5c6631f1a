//! The map of the attack corpus: every row has a test, a later part that it waits for, or a reason.

use std::collections::BTreeMap;

use super::{Source, slashes};
use crate::shell::Shell;

const MAP: &str = "docs/reference/corpus.toml";

pub(super) fn check(shell: &Shell, sources: &[Source]) -> Result<Vec<String>, String> {
    let map: toml::Table = shell.read(MAP)?.parse().map_err(|error| format!("{MAP}: {error}"))?;
    let names = map.get("rows").and_then(toml::Value::as_array).ok_or("the map lists no rows")?;
    let names: Vec<&str> = names.iter().filter_map(toml::Value::as_str).collect();
    let tests = Tests::of(shell, sources)?;
    let mut complaints = Vec::new();
    for name in &names {
        match map.get(*name).and_then(toml::Value::as_table) {
            Some(row) => complaints.extend(row_complaints(name, row, &tests)),
            None => complaints.push(format!("{MAP}: {name} is mapped to nothing")),
        }
    }
    let unknown = map.keys().filter(|key| *key != "rows" && !names.contains(&key.as_str()));
    complaints.extend(unknown.map(|key| format!("{MAP}: the corpus has no row {key}")));
    Ok(complaints)
}

fn row_complaints(name: &str, row: &toml::Table, tests: &Tests) -> Vec<String> {
    let named = row.get("test").and_then(toml::Value::as_array);
    let said = ["issue", "reason"].iter().filter_map(|key| row.get(*key)?.as_str());
    let (named, said) = (named.into_iter().flatten(), said.filter(|text| !text.is_empty()));
    let mut complaints = Vec::new();
    if named.clone().next().is_none() && said.count() == 0 {
        complaints.push(format!("{MAP}: {name} has no test, no issue and no reason"));
    }
    for test in named.filter_map(toml::Value::as_str).filter(|test| !tests.exists(test)) {
        complaints.push(format!("{MAP}: {name}: there is no test {test}"));
    }
    let known = ["what", "test", "issue", "reason"];
    let keys = row.keys().filter(|key| !known.contains(&key.as_str()));
    complaints.extend(keys.map(|key| format!("{MAP}: {name}: unknown key {key}")));
    complaints
}

/// Every function in the workspace by the crate it is in, and every transcript.
struct Tests {
    functions: BTreeMap<String, Vec<String>>,
    files: Vec<String>,
}

impl Tests {
    fn of(shell: &Shell, sources: &[Source]) -> Result<Self, String> {
        let mut functions = BTreeMap::<String, Vec<String>>::new();
        let files: Vec<String> = shell.files()?.iter().map(|file| slashes(file)).collect();
        for source in sources {
            let path = source.path.strip_prefix("crates/");
            let Some(folder) = path.and_then(|rest| rest.split('/').next()) else { continue };
            let text = &source.text;
            let names = text.split("fn ").skip(1).filter_map(|rest| {
                rest.split(|character: char| !character.is_alphanumeric() && character != '_')
                    .next()
            });
            functions.entry(folder.to_owned()).or_default().extend(names.map(str::to_owned));
        }
        Ok(Self { functions, files })
    }

    /// Whether `test` is a file of the workspace, or `crate::path::name` and the crate has a
    /// function of that name.
    fn exists(&self, test: &str) -> bool {
        if test.contains('/') {
            return self.files.iter().any(|file| file == test);
        }
        let mut path = test.split("::");
        let folder = path.next().unwrap_or_default().trim_start_matches("strongroom_");
        let name = path.last().unwrap_or_default();
        self.functions.get(folder).is_some_and(|names| names.iter().any(|known| known == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_needs_a_test_that_exists_or_a_word_about_why_not() {
        let functions = BTreeMap::from([("proxy".to_owned(), vec!["a_fact".to_owned()])]);
        let tests = Tests { functions, files: vec!["tests/cmd/add.md".to_owned()] };
        let complaints = |row: &str| row_complaints("PB-01", &row.parse().unwrap(), &tests);
        for good in [
            "test = ['strongroom_proxy::tests::a_fact']",
            "test = ['tests/cmd/add.md']",
            "issue = 'proxy'",
            "reason = 'a documented non-goal'",
        ] {
            assert_eq!(complaints(good), [""; 0], "{good}");
        }
        for bad in [
            "what = 'dots'",
            "test = []",
            "reason = ''",
            "test = ['strongroom_proxy::tests::a_dream']",
            "test = ['strongroom_gateway::tests::a_fact']",
            "test = ['tests/cmd/none.md']",
            "issue = 'proxy'\nwhy = 'because'",
        ] {
            assert_eq!(complaints(bad).len(), 1, "{bad}");
        }
    }
}
