//! `cargo xtask tidy`: what the other tools do not check.
//!
//! Each check takes the workspace and returns its complaints; all run, so that one run shows all
//! there is to do.

mod corpus;
mod expose;
mod layers;
mod manifest;
mod sizes;
mod words;

use std::path::Path;

use crate::shell::Shell;

/// Runs every check.
pub(crate) fn run(shell: &Shell) -> Result<(), String> {
    let sources = Source::all(shell)?;
    let mut complaints = Vec::new();
    complaints.extend(layers::check(shell)?);
    complaints.extend(manifest::check(shell)?);
    complaints.extend(sizes::check(&sources));
    complaints.extend(expose::check(shell, &sources)?);
    complaints.extend(words::check(shell)?);
    complaints.extend(corpus::check(shell, &sources)?);
    if complaints.is_empty() {
        println!("tidy: {} Rust files, nothing to complain of", sources.len());
        return Ok(());
    }
    let all = complaints.iter().fold(String::new(), |all, line| format!("{all}tidy: {line}\n"));
    Err(format!("{all}{} complaints", complaints.len()))
}

/// A file of Rust.
pub(crate) struct Source {
    /// Its path from the root, with `/`.
    pub(crate) path: String,
    text: String,
}

impl Source {
    fn all(shell: &Shell) -> Result<Vec<Self>, String> {
        let files = shell.files()?;
        let rust = files.iter().filter(|file| is_rust(file));
        rust.map(|file| Ok(Self { path: slashes(file), text: shell.read(file)? })).collect()
    }

    /// Whether nothing of this file ends up in a program.
    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("tests.rs")
    }

    /// The lines of code, with their numbers: no comments, no blank lines, no tests.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.find("#[cfg(test)]\nmod ").unwrap_or(self.text.len());
        let lines = self.text[..end].lines().enumerate().filter(|_| !self.is_test());
        let code = lines.filter(|(_, line)| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with("//")
        });
        code.map(|(index, line)| (index + 1, line))
    }

    /// The folder of the package that the file belongs to.
    fn package(&self) -> Option<&str> {
        self.path.split_once("/src/").map(|(package, _)| package)
    }
}

/// Whether a file is one of Rust.
fn is_rust(file: &Path) -> bool {
    file.extension().is_some_and(|end| end == "rs")
}

/// A path as it is written in tables.
fn slashes(file: &Path) -> String {
    file.to_string_lossy().replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blank_lines_and_tests_are_no_code() {
        let text = "//! Doc.\n\nfn a() {}\n    // why\n    b();\n\n#[cfg(test)]\nmod tests {\n}\n";
        let source = Source { path: "crates/a/src/lib.rs".into(), text: text.into() };
        assert_eq!(source.code().collect::<Vec<_>>(), [(3, "fn a() {}"), (5, "    b();")]);
        assert_eq!(source.package(), Some("crates/a"));
    }

    #[test]
    fn a_file_of_tests_has_no_code() {
        for path in
            ["crates/a/tests/it/main.rs", "crates/a/src/b/tests.rs", "crates/a/src/b_tests.rs"]
        {
            let source = Source { path: path.into(), text: "fn a() {}\n".into() };
            assert_eq!(source.code().count(), 0, "{path}");
        }
    }
}
