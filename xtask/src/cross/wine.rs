//! The window for Windows, built here and run under Wine.

use std::{fs, path::Path};

use crate::shell::{self, Shell};

/// What is started beside Wine, and its Debian package.
const BESIDE: &[(&str, &str)] = &[("Xvfb", "xvfb"), ("openbox", "openbox"), ("xdotool", "xdotool")];

/// Runs the tests of `program`, where there is a Wine and a screen for it.
pub(super) fn run(shell: &Shell, program: &Path) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let found = |name: &str| shell.succeeds("sh", &["-c", &format!("command -v {name}")]);
    if !found("wine") || BESIDE.iter().any(|(name, _)| !found(name)) {
        let packages: Vec<_> = BESIDE.iter().map(|(_, package)| *package).collect();
        println!(
            "built, and not run: for that it takes wine (Debian: wine wine64 {})",
            packages.join(" ")
        );
        return Ok(());
    }
    let folder = shell.target.join("cross/wine");
    fs::create_dir_all(&folder).map_err(text)?;
    let copy = folder.join("strongroom-dialog.exe");
    fs::copy(program, &copy).map_err(|error| format!("{}: {error}", copy.display()))?;
    // Wine has it from version 9 on.
    let source = folder.join("prng.c");
    fs::write(&source, include_str!("prng.c")).map_err(text)?;
    let mut library = shell.command("x86_64-w64-mingw32-gcc");
    library.args(["-shared", "-O1", "-o"]).arg(folder.join("bcryptprimitives.dll"));
    shell::run(library.arg(&source).arg("-ladvapi32"))?;
    prefix(shell, &folder)?;
    let mut tests = shell.command("cargo");
    tests.env("STRONGROOM_WINE", &folder);
    tests.args(["nextest", "run", "-p", "strongroom-window", "--run-ignored", "only"]);
    // There is one Windows, with one desktop, for all of them.
    shell::run(tests.args(["-E", "test(under_wine)", "--test-threads", "1"]))
}

/// What Wine takes for a disk of Windows: made once, without anything to browse or to run .NET with.
fn prefix(shell: &Shell, folder: &Path) -> Result<(), String> {
    let prefix = folder.join("prefix");
    if prefix.join("system.reg").exists() {
        return Ok(());
    }
    let mut boot = shell.command("wine");
    boot.args(["wineboot", "--init"])
        .env_remove("DISPLAY")
        .env("HOME", folder)
        .env("WINEPREFIX", &prefix)
        .env("WINEDEBUG", "-all")
        .env("WINEDLLOVERRIDES", "mscoree=;mshtml=;winemenubuilder.exe=");
    shell::run(&mut boot)?;
    let mut written = shell.command("wineserver");
    // Its registry is written when it ends.
    shell::run(written.arg("--wait").env("WINEPREFIX", &prefix).env("HOME", folder))
}
