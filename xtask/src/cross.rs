//! `cargo xtask cross`: the program and its window are type-checked for Windows and macOS, both packages for
//! authors of servers for Windows; the window for Windows is built, and run under Wine where there is one.
//!
//! The pinned toolchain has no standard library for them and no source to build one from, so
//! Debian's compiler is used, which has the source (packages rustc-web, cargo-web, rust-web-src).
//! C code is compiled for Windows by mingw; for macOS there is no compiler, so stand-ins make empty
//! object files, which is enough for a check.

mod wine;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    install,
    shell::{self, Shell, step},
};

const SOURCE: &str = "/usr/lib/rustlib/src/rust/library";

const PROGRAMS: &[(&str, &[&str], &str)] = &[
    ("/usr/bin/rustc", &["--version"], "rustc-web"),
    ("/usr/bin/cargo", &["--version"], "cargo-web"),
    ("test", &["-d", SOURCE], "rust-web-src"),
    ("x86_64-w64-mingw32-gcc", &["--version"], "gcc-mingw-w64-x86-64"),
];

const WINDOWS: &str = "x86_64-pc-windows-gnu";
const MACOS: &str = "aarch64-apple-darwin";

/// What is checked for each target.
const CHECKED: &[(&str, &[&str])] = &[
    (WINDOWS, &["strongroom", "strongroom-window", "strongroom-python", "strongroom-node"]),
    (MACOS, &["strongroom", "strongroom-window"]),
];

/// Checks what is shipped, for each target, and tries the window for Windows.
pub(crate) fn run(shell: &Shell) -> Result<(), String> {
    let stubs = prepare(shell)?;
    for (target, packages) in CHECKED {
        step(target, || {
            let mut check = cargo(shell, &["check", "--lib", "--bins"], target, &stubs)?;
            shell::run(check.args(packages.iter().flat_map(|package| ["-p", package])))
        })?;
    }
    try_window(shell, &stubs)
}

/// Tries the window for Windows alone.
pub(crate) fn window(shell: &Shell) -> Result<(), String> {
    let stubs = prepare(shell)?;
    try_window(shell, &stubs)
}

fn prepare(shell: &Shell) -> Result<PathBuf, String> {
    step("compilers", || install::packages(shell, PROGRAMS))?;
    startup(shell)?;
    stubs(&shell.target.join("cross")).map_err(|error| error.to_string())
}

fn try_window(shell: &Shell, stubs: &Path) -> Result<(), String> {
    step("the window for Windows", || {
        let mut build = cargo(shell, &["build"], WINDOWS, stubs)?;
        shell::run(build.args(["-p", "strongroom-window"]))?;
        let program = shell.target.join("cross").join(WINDOWS).join("debug/strongroom-dialog.exe");
        wine::run(shell, &program)
    })?;
    Ok(())
}

/// Debian's cargo, which also builds the standard library for `target`.
fn cargo(shell: &Shell, words: &[&str], target: &str, stubs: &Path) -> Result<Command, String> {
    let mut command = shell.command("/usr/bin/cargo");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(stubs.to_owned()).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(path).map_err(|error| error.to_string())?);
    // Set by the cargo that runs this tool, and meant for its own toolchain.
    for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC_WRAPPER", "RUSTFLAGS"] {
        command.env_remove(variable);
    }
    let objects = format!("-L native={}", objects(shell).display());
    command
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTC", "/usr/bin/rustc")
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_TARGET_DIR", shell.target.join("cross"))
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", "x86_64-w64-mingw32-gcc")
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTFLAGS", objects)
        .env("CC_aarch64_apple_darwin", stubs.join("darwin-cc"))
        .env("CXX_aarch64_apple_darwin", stubs.join("darwin-cc"))
        .env("AR_aarch64_apple_darwin", stubs.join("darwin-ar"))
        .env("SDKROOT", stubs.join("sdk"))
        // A module for Node looks for it on this target alone, and links nothing of it.
        .env("LIBNODE_PATH", stubs)
        .args(words)
        .args(["--quiet", "-Z", "build-std=std,panic_abort", "--target", target]);
    Ok(command)
}

fn objects(shell: &Shell) -> PathBuf {
    shell.target.join("cross/rt")
}

/// What stands first and last in a program for Windows: the standard library has it as source alone.
fn startup(shell: &Shell) -> Result<(), String> {
    let folder = objects(shell);
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for name in ["rsbegin", "rsend"] {
        let object = folder.join(name).with_extension("o");
        if object.exists() {
            continue;
        }
        let mut command = shell.command("/usr/bin/rustc");
        command.env("RUSTC_BOOTSTRAP", "1").args(["--target", WINDOWS, "--emit", "obj", "-o"]);
        command.arg(object);
        shell::run(command.arg(format!("{SOURCE}/rtstartup/{name}.rs")))?;
    }
    Ok(())
}

/// A compiler and an archiver that only create what they were asked for, and a library that is only there.
fn stubs(folder: &Path) -> std::io::Result<PathBuf> {
    let stubs = folder.join("stubs");
    fs::create_dir_all(stubs.join("sdk"))?;
    let output = "#!/bin/sh\nwhile [ $# -gt 0 ]; do\n  if [ \"$1\" = -o ]; then : > \"$2\"; fi\n  \
                  shift\ndone\n";
    let archive = "#!/bin/sh\nfor word; do\n  case $word in *.a) : > \"$word\" ;; esac\ndone\n";
    let sdk = format!("#!/bin/sh\necho {}\n", stubs.join("sdk").display());
    let files =
        [("darwin-cc", output), ("darwin-ar", archive), ("xcrun", &sdk), ("libnode.dll", "")];
    for (name, text) in files {
        let file = stubs.join(name);
        fs::write(&file, text)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    Ok(stubs)
}
