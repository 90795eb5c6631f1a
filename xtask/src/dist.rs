//! `cargo xtask dist`: what is handed out, in the folder `dist` below the build folder: the program, the
//! window program with the manifest that says which one it is, and the packages that carry it.
//!
//! What cargo leaves in its own folders is no place for a manifest: the same program is built anew there
//! with other features, whenever more of the workspace is built.

mod npm;

use std::{
    env::consts::{ARCH, EXE_SUFFIX, OS},
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    shell::{Shell, step},
    wheel,
};

/// The manifest's name and form are those of `crates/dialog/src/manifest.rs`.
const MANIFEST: &str = "strongroom-dialog.manifest.json";

/// What builds a package into `dist`, by a profile of cargo's, with these files in it.
struct Package {
    title: &'static str,
    build: fn(&Shell, &str, &[PathBuf], &Path) -> Result<PathBuf, String>,
}

/// The packages that carry the window program.
const PACKAGES: &[Package] = &[
    Package { title: "mcp_secrets", build: wheel::build },
    Package { title: "mcp-secrets", build: npm::package },
];

/// Builds everything by the profile that `arguments` name, and says what was made.
pub(crate) fn run(shell: &Shell, arguments: &[String]) -> Result<(), String> {
    let profile = match arguments {
        [] => "release",
        [flag, profile] if flag == "--profile" && ["dev", "release"].contains(&&**profile) => {
            profile
        }
        _ => return Err("usage: cargo xtask dist [--profile dev|release]".to_owned()),
    };
    let dist = shell.target.join("dist");
    let mut made = packages(shell, profile)?;
    step("strongroom", || {
        made.push(program(shell, profile, "strongroom")?);
        Ok(())
    })?;
    println!("\n== {}", dist.display());
    for file in &made {
        let name = file.strip_prefix(&dist).unwrap_or(file).display();
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        println!("{name:<44} {size:>12} bytes  {}", sha256(shell, file)?);
    }
    Ok(())
}

/// Builds the window program and the packages that carry it, which is what tests need beside what cargo
/// builds for them, and gives all files.
pub(crate) fn packages(shell: &Shell, profile: &str) -> Result<Vec<PathBuf>, String> {
    let mut made = Vec::new();
    step("window", || {
        made = window(shell, profile)?;
        Ok(())
    })?;
    let window = made.clone();
    for package in PACKAGES {
        step(package.title, || {
            made.push((package.build)(shell, profile, &window, &shell.target.join("dist"))?);
            Ok(())
        })?;
    }
    Ok(made)
}

/// The window program and its manifest; nothing where it cannot be built here.
fn window(shell: &Shell, profile: &str) -> Result<Vec<PathBuf>, String> {
    let dist = shell.target.join("dist");
    if OS == "linux" && !shell.succeeds("pkg-config", &["gtk4 >= 4.8"]) {
        println!("the window program is left out: pkg-config finds no gtk4 (Debian: libgtk-4-dev)");
        for old in [format!("strongroom-dialog{EXE_SUFFIX}"), MANIFEST.to_owned()] {
            // One of an earlier build would be taken for this one's.
            drop(fs::remove_file(dist.join(old)));
        }
        return Ok(Vec::new());
    }
    cargo_build(shell, profile, "strongroom-window")?;
    let program = place(shell, profile, "strongroom-dialog")?;
    let manifest = json!({
        "version": 1,
        "programs": {
            format!("{OS}-{ARCH}"): {
                "file": format!("strongroom-dialog{EXE_SUFFIX}"),
                "sha256": sha256(shell, &program)?,
            },
        },
    });
    let file = dist.join(MANIFEST);
    drop(fs::remove_file(&file));
    fs::write(&file, format!("{manifest}\n"))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    close(&file)?;
    Ok(vec![program, file])
}

/// Builds the program of the package `name` into `dist`.
fn program(shell: &Shell, profile: &str, name: &str) -> Result<PathBuf, String> {
    cargo_build(shell, profile, name)?;
    place(shell, profile, name)
}

fn cargo_build(shell: &Shell, profile: &str, package: &str) -> Result<(), String> {
    shell.cargo(&["build", "--quiet", "--locked", "--profile", profile, "-p", package])
}

/// Puts the program `name`, which cargo has built, into `dist`.
fn place(shell: &Shell, profile: &str, name: &str) -> Result<PathBuf, String> {
    let name = format!("{name}{EXE_SUFFIX}");
    let (from, to) = (built(shell, profile).join(&name), shell.target.join("dist").join(&name));
    let text = |error: std::io::Error| format!("{}: {error}", to.display());
    fs::create_dir_all(shell.target.join("dist")).map_err(text)?;
    drop(fs::remove_file(&to));
    // A second name takes no room.
    fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).map_err(text)?;
    close(&to)?;
    Ok(to)
}

/// Where cargo leaves what it builds by `profile`.
fn built(shell: &Shell, profile: &str) -> PathBuf {
    shell.target.join(if profile == "dev" { "debug" } else { profile })
}

/// Only its owner may write to `file` and to its folder: else it is not used.
#[cfg(unix)]
fn close(file: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;

    for path in [Some(file), file.parent()].into_iter().flatten() {
        let text = |error: std::io::Error| format!("{}: {error}", path.display());
        let mode = path.metadata().map_err(text)?.permissions().mode();
        fs::set_permissions(path, fs::Permissions::from_mode(mode & !0o022)).map_err(text)?;
    }
    Ok(())
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "Unix has modes")]
fn close(_: &Path) -> Result<(), String> {
    Ok(())
}

/// The SHA-256 of a file, as the system's own tool says it.
fn sha256(shell: &Shell, file: &Path) -> Result<String, String> {
    let path = file.to_str().ok_or("a path that is not UTF-8")?;
    let printed = match OS {
        "windows" => shell.output("certutil", &["-hashfile", path, "SHA256"])?,
        "macos" => shell.output("shasum", &["-a", "256", path])?,
        _ => shell.output("sha256sum", &["--", path])?,
    };
    let is_hash =
        |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let word = printed.split_whitespace().find(is_hash);
    word.map(str::to_lowercase).ok_or_else(|| format!("{path}: no hash of it is printed"))
}
