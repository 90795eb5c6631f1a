//! What no tracked file may say.

use super::{is_rust, slashes};
use crate::shell::Shell;

/// In any file: the paths and hosts of one machine. Written in two halves, so that this file does
/// not complain of itself.
const MACHINES: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/tmp/", "wt"),
    concat!("/tmp/", "t/"),
    concat!("/tmp/", "land"),
    concat!("/ro", "ot/"),
    concat!("arti", "factory"),
    concat!("registry.", "npmjs"),
    concat!("files.", "pythonhosted"),
    concat!("pypi.", "org"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("deb.", "debian.org"),
    concat!("CONTRACT", ".md"),
    concat!("issues ", "show"),
];

/// In Rust: what was left undone, and silence without a reason.
const RUST: &[&str] = &[
    concat!("#[al", "low("),
    concat!("#![al", "low("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX:"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
];

pub(super) fn check(shell: &Shell) -> Result<Vec<String>, String> {
    let mut complaints = Vec::new();
    for file in shell.files()? {
        // What is not text says nothing.
        let Ok(text) = shell.read(&file) else { continue };
        let path = slashes(&file);
        let words = MACHINES.iter().chain(RUST.iter().filter(|_| is_rust(&file)));
        for word in words {
            let lines = text.lines().enumerate().filter(|(_, line)| line.contains(word));
            complaints.extend(
                lines.map(|(index, _)| format!("{path}:{}: must not say `{word}`", index + 1)),
            );
        }
    }
    Ok(complaints)
}
