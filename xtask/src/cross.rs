//! `cargo xtask cross`: every member is type-checked for Windows and macOS.
//!
//! The pinned toolchain has no standard library for them and no source to build one from, so
//! Debian's compiler is used, which has the source (packages rustc-web, cargo-web, rust-web-src).
//! C code is compiled for Windows by mingw; for macOS there is no compiler, so stand-ins make empty
//! object files, which is enough for a check.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    install,
    shell::{self, Shell, step},
};

const PROGRAMS: &[(&str, &[&str], &str)] = &[
    ("/usr/bin/rustc", &["--version"], "rustc-web"),
    ("/usr/bin/cargo", &["--version"], "cargo-web"),
    ("test", &["-d", "/usr/lib/rustlib/src/rust/library"], "rust-web-src"),
    ("x86_64-w64-mingw32-gcc", &["--version"], "gcc-mingw-w64-x86-64"),
];

const TARGETS: &[&str] = &["x86_64-pc-windows-gnu", "aarch64-apple-darwin"];

/// Checks all that is shipped, for each target.
pub(crate) fn run(shell: &Shell) -> Result<(), String> {
    step("compilers", || install::packages(shell, PROGRAMS))?;
    let stubs = stubs(&shell.target.join("cross")).map_err(|error| error.to_string())?;
    for target in TARGETS {
        step(target, || check(shell, target, &stubs))?;
    }
    Ok(())
}

fn check(shell: &Shell, target: &str, stubs: &Path) -> Result<(), String> {
    let mut command = shell.command("/usr/bin/cargo");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(stubs.to_owned()).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(path).map_err(|error| error.to_string())?);
    // Set by the cargo that runs this tool, and meant for its own toolchain.
    for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC_WRAPPER", "RUSTFLAGS"] {
        command.env_remove(variable);
    }
    command
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTC", "/usr/bin/rustc")
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_TARGET_DIR", shell.target.join("cross"))
        .env("CC_aarch64_apple_darwin", stubs.join("darwin-cc"))
        .env("CXX_aarch64_apple_darwin", stubs.join("darwin-cc"))
        .env("AR_aarch64_apple_darwin", stubs.join("darwin-ar"))
        .env("SDKROOT", stubs.join("sdk"))
        .args(["check", "--quiet", "-Z", "build-std=std,panic_abort", "--target", target]);
    // The window has no assembly of its own to choose: the features of both are those of the first.
    let packages = ["-p", "strongroom", "-p", "strongroom-window"];
    shell::run(command.args(packages).args(["--lib", "--bins"]))
}

/// A compiler and an archiver that only create what they were asked for.
fn stubs(folder: &Path) -> std::io::Result<PathBuf> {
    let stubs = folder.join("stubs");
    fs::create_dir_all(stubs.join("sdk"))?;
    let output = "#!/bin/sh\nwhile [ $# -gt 0 ]; do\n  if [ \"$1\" = -o ]; then : > \"$2\"; fi\n  \
                  shift\ndone\n";
    let archive = "#!/bin/sh\nfor word; do\n  case $word in *.a) : > \"$word\" ;; esac\ndone\n";
    let sdk = format!("#!/bin/sh\necho {}\n", stubs.join("sdk").display());
    for (name, text) in [("darwin-cc", output), ("darwin-ar", archive), ("xcrun", &sdk)] {
        let file = stubs.join(name);
        fs::write(&file, text)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    Ok(stubs)
}
