//! `cargo xtask ci`: what must pass before a change lands.

use crate::{
    install,
    shell::{Shell, step},
    tests, tidy,
};

/// Every check, cheap ones first, the tests' summary last.
pub(crate) fn run(shell: &Shell) -> Result<(), String> {
    let mut times = Vec::new();
    let mut check = |title, work: &dyn Fn() -> Result<(), String>| {
        times.push((title, step(title, work)?));
        Ok::<(), String>(())
    };
    check("format", &|| shell.cargo(&["fmt", "--all", "--check"]))?;
    check("fetch", &|| shell.cargo(&["fetch", "--quiet", "--locked"]))?;
    check("tidy", &|| tidy::run(shell))?;
    // The window of Linux is checked too, which nothing builds without its headers.
    check("programs", &|| install::programs(shell))?;
    check("clippy", &|| {
        let all = ["clippy", "--quiet", "--locked", "--workspace", "--all-targets"];
        shell.cargo(&[&all, ["--", "-D", "warnings"].as_slice()].concat())
    })?;
    check("fuzz", &|| {
        // What they share with us is compiled already.
        let target = shell.target.display().to_string();
        let check = ["check", "--quiet", "--locked", "--manifest-path", "fuzz/Cargo.toml"];
        shell.cargo(&[&check, ["--bins", "--target-dir", target.as_str()].as_slice()].concat())
    })?;
    check("deny", &|| {
        install::cargo_tool(shell, "cargo-deny", &[])?;
        let quiet = ["deny", "--offline", "--log-level", "error", "check"];
        shell.cargo(&[&quiet, ["bans", "licenses", "sources"].as_slice()].concat())
    })?;
    println!("\n== so far");
    for (title, time) in times {
        println!("{title:>8} {:>6.1} s", time.as_secs_f64());
    }
    tests::run(shell)
}
