//! The npm package `mcp-secrets`: built, put together and packed.

use std::{
    env::consts::{ARCH, DLL_PREFIX, DLL_SUFFIX, OS},
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::shell::{Shell, run};

/// Where its sources are.
const SOURCES: &str = "bindings/node";

/// Builds the package of this platform with cargo's `profile`, and packs it into `dist`. It carries the
/// files `beside`: the window program and the manifest that vouches for it.
pub(crate) fn package(
    shell: &Shell,
    profile: &str,
    beside: &[PathBuf],
    dist: &Path,
) -> Result<PathBuf, String> {
    super::cargo_build(shell, profile, "strongroom-node")?;
    let folder = dist.join("npm/mcp-secrets");
    let text = |error: std::io::Error| format!("{}: {error}", folder.display());
    // Nothing of an earlier build goes along.
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(folder.join("native")).map_err(text)?;
    copy_all(&shell.root.join(SOURCES).join("lib"), &folder.join("lib"))?;
    for file in ["LICENSE-APACHE", "LICENSE-MIT"] {
        copy(&shell.root.join(file), &folder.join(file))?;
    }
    copy(&shell.root.join(SOURCES).join("README.md"), &folder.join("README.md"))?;
    fs::write(folder.join("package.json"), described(shell)?).map_err(text)?;
    let library =
        super::built(shell, profile).join(format!("{DLL_PREFIX}strongroom_node{DLL_SUFFIX}"));
    copy(&library, &folder.join("native/mcp-secrets.node"))?;
    for file in beside {
        let name = file.file_name().ok_or("a file without a name")?;
        copy(file, &folder.join("native").join(name))?;
    }
    let mut npm = shell.command("npm");
    npm.args(["pack", "--ignore-scripts", "--silent", "--pack-destination"]).arg(dist);
    run(npm.current_dir(&folder))?;
    Ok(dist.join(format!("mcp-secrets-{}.tgz", env!("CARGO_PKG_VERSION"))))
}

/// `package.json`, with the version of the workspace and the one platform that it is for.
fn described(shell: &Shell) -> Result<String, String> {
    let text = shell.read(Path::new(SOURCES).join("package.json"))?;
    let mut package: Value =
        serde_json::from_str(&text).map_err(|error| format!("package.json: {error}"))?;
    let (os, cpu) = platform();
    package["version"] = json!(env!("CARGO_PKG_VERSION"));
    package["os"] = json!([os]);
    package["cpu"] = json!([cpu]);
    if OS == "linux" {
        package["libc"] = json!(["glibc"]);
    }
    serde_json::to_string_pretty(&package).map_err(|error| error.to_string())
}

/// This platform, in Node's words.
fn platform() -> (&'static str, &'static str) {
    let os = match OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    };
    let cpu = match ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    (os, cpu)
}

fn copy_all(from: &Path, to: &Path) -> Result<(), String> {
    let text = |error: std::io::Error| format!("{}: {error}", from.display());
    fs::create_dir_all(to).map_err(text)?;
    for entry in fs::read_dir(from).map_err(text)? {
        let entry = entry.map_err(text)?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let text = |error: std::io::Error| format!("{}: {error}", from.display());
    fs::copy(from, to).map(drop).map_err(text)
}
