//! `cargo xtask order`: the functions that a start goes through, written down for the linker.
//!
//! A program's pages come into memory sixteen at a time, and so they leave it. What `strongroom run` needs is
//! 1 in 80 of the program, and stood in 88 such pieces before it was put side by side.

use std::{fs, path::Path};

use super::{Bench, Home, Server};
use crate::shell::Shell;

/// The list, from the workspace's root.
const FILE: &str = "crates/strongroom/order.txt";

/// Writes the list anew.
pub(crate) fn write(shell: &Shell) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let folder = shell.target.join("order");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(text)?;
    }
    fs::create_dir_all(&folder).map_err(text)?;
    let map = folder.join("map");
    build(shell, &map)?;
    let release = shell.target.join("release");
    let (broker, load) = (release.join("strongroom"), release.join("strongroom-bench"));
    let bench = Bench { shell, broker, load, folder };
    let home = Home::new(&bench, "home", false, &[Server::of("t", &["/usr/bin/true"], 0..10)])?;
    home.prime("t")?;
    let symbols = Symbols::of(&fs::read_to_string(&map).map_err(text)?)?;
    let names = symbols.in_order(&home.steps(&["run", "t"])?);
    fs::remove_dir_all(&bench.folder).map_err(text)?;
    fs::write(shell.root.join(FILE), names.join("\n") + "\n").map_err(text)?;
    println!("{} functions are in {FILE}", names.len());
    Ok(())
}

/// Builds the program as users do, and has the linker say where it put what. The profile stays as it is: a name
/// ends with a hash of it, so that a program which is not stripped has other names.
fn build(shell: &Shell, map: &Path) -> Result<(), String> {
    let map = format!("link-arg=-Wl,--no-demangle,-Map={}", map.display());
    let program = ["rustc", "--release", "-p", "strongroom", "--bin", "strongroom"];
    shell.cargo(&[&program, ["--", "-C", &map].as_slice()].concat())
}

/// The functions of a program, by where they begin.
struct Symbols(Vec<(u64, String)>);

impl Symbols {
    /// Those of the linker's map.
    fn of(map: &str) -> Result<Self, String> {
        let text = map.lines().skip_while(|line| !line.ends_with(" .text"));
        let text = text.skip(1).take_while(|line| !is_section(line));
        let mut all: Vec<_> = text.filter_map(function).collect();
        all.sort();
        if all.is_empty() {
            Err("the linker's map has no functions".to_owned())
        } else {
            Ok(Self(all))
        }
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

/// `601000 601000 19e1234 16 .text`: what the program's sections are named by.
fn is_section(line: &str) -> bool {
    line.split_whitespace()
        .nth(4)
        .is_some_and(|name| name.starts_with('.') && !name.starts_with(".L"))
}

/// A function's line of the map: `5a4de0 5a4de0 470 1 main`, where a file's has a colon, and a section's a dot.
fn function(line: &str) -> Option<(u64, String)> {
    let mut words = line.split_whitespace();
    let start = u64::from_str_radix(words.next()?, 16).ok()?;
    let name = words.nth(3)?;
    let is_function = !name.contains(":(") && words.next().is_none();
    is_function.then(|| (start, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::Symbols;

    /// As lld writes it, shortened.
    const MAP: &str = "\
             VMA              LMA     Size Align Out     In      Symbol
             2fc              2fc       20     4 .note.ABI-tag
             2fc              2fc       20     1                 __abi_tag
          601000          601000     1000    16 .text
          601000          601000       2b    16         /usr/lib/Scrt1.o:(.text)
          601000          601000        0     1                 _start
          601030          601030       10    16         /a.o:(.text.unlikely._RNvCs1_1a4cold)
          601030          601030       10     1                 _RNvCs1_1a4cold
          601040          601040       10     1                 .Lhere
          602000          602000       10    16 .data
          602000          602000       10     1                 value
";

    #[test]
    fn functions_are_listed_once_in_the_order_of_their_first_instruction() {
        let symbols = Symbols::of(MAP).unwrap();
        let steps = [0x60_1034, 0x60_1002, 0x60_1038];
        assert_eq!(symbols.in_order(&steps), ["_RNvCs1_1a4cold", "_start"]);
    }

    #[test]
    fn a_map_without_functions_is_no_map() {
        assert!(Symbols::of("VMA LMA\n").is_err());
        assert!(Symbols::of(MAP).is_ok());
    }
}
