//! `cargo xtask order`: the functions that a start goes through, written down for the linker.
//!
//! A program's pages come into memory sixteen at a time, and so they leave it. What `strongroom run` needs is
//! 1 in 80 of the program, and stood in 88 such pieces before it was put side by side.

use std::{fs, process::Command};

use super::{Bench, Home, Server};
use crate::shell::Shell;

/// The list, from the workspace's root.
const FILE: &str = "crates/strongroom/order.txt";

/// Writes the list anew.
pub(crate) fn write(shell: &Shell) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let build = ["build", "--release", "-p", "strongroom", "--bin", "strongroom"];
    shell.cargo(&[&build, ["--config", "profile.release.strip=\"none\""].as_slice()].concat())?;
    let release = shell.target.join("release");
    let folder = shell.target.join("order");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(text)?;
    }
    let (broker, load) = (release.join("strongroom"), release.join("strongroom-bench"));
    let bench = Bench { shell, broker, load, folder };
    let home = Home::new(&bench, "home", false, &[Server::of("t", &["/usr/bin/true"], 0..10)])?;
    home.prime("t")?;
    let symbols = Symbols::of(&bench)?;
    let names = symbols.in_order(&home.steps(&["run", "t"])?);
    fs::remove_dir_all(&bench.folder).map_err(text)?;
    fs::write(shell.root.join(FILE), names.join("\n") + "\n").map_err(text)?;
    println!("{} functions are in {FILE}", names.len());
    Ok(())
}

/// The functions of a program, by where they begin.
struct Symbols(Vec<(u64, String)>);

impl Symbols {
    fn of(bench: &Bench<'_>) -> Result<Self, String> {
        let output = Command::new("nm").arg("--defined-only").arg(&bench.broker).output();
        let output = output.map_err(|error| format!("nm: {error}"))?;
        let mut all: Vec<_> =
            String::from_utf8_lossy(&output.stdout).lines().filter_map(function).collect();
        all.sort();
        if all.is_empty() { Err("the program has no symbols".to_owned()) } else { Ok(Self(all)) }
    }

    /// Those that the instructions at `offsets` stand in, each once.
    fn in_order(&self, offsets: &[u64]) -> Vec<&str> {
        let mut names = Vec::new();
        for offset in offsets {
            let behind = self.0.partition_point(|(start, _)| start <= offset);
            let name = behind.checked_sub(1).map(|at| self.0[at].1.as_str());
            names.extend(name.filter(|name| !names.contains(name)));
        }
        names
    }
}

/// `0000000000601000 T main`.
fn function(line: &str) -> Option<(u64, String)> {
    let mut words = line.split(' ');
    let (start, kind, name) = (words.next()?, words.next()?, words.next()?);
    let start = u64::from_str_radix(start, 16).ok()?;
    kind.eq_ignore_ascii_case("t").then(|| (start, name.to_owned()))
}
