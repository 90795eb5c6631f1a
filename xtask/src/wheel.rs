//! The wheel of `mcp_secrets`: maturin builds it from a copy of the package that has the window of this
//! platform in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    install,
    shell::{Shell, run},
};

const PACKAGE: &str = "bindings/python";

/// Builds the wheel into the folder `into`, by this profile of cargo's, with the files of `window` (the
/// program and its manifest) in it.
///
/// # Errors
///
/// What maturin says, or that it made no wheel.
pub(crate) fn build(
    shell: &Shell,
    profile: &str,
    window: &[PathBuf],
    into: &Path,
) -> Result<PathBuf, String> {
    let tools = install::python_tools(shell)?;
    let stage = shell.target.join("packages/python-source");
    copy(shell, window, &stage)?;
    for old in wheels(into) {
        fs::remove_file(&old).map_err(|error| format!("{}: {error}", old.display()))?;
    }
    let mut maturin = shell.command(tools.join("bin/maturin"));
    maturin.args(["build", "--quiet", "--locked", "--profile", profile, "--out"]).arg(into);
    run(maturin.env("CARGO_TARGET_DIR", &shell.target).current_dir(&stage))?;
    wheels(into).pop().ok_or_else(|| format!("maturin left no wheel in {}", into.display()))
}

/// The wheels of the package in a folder.
fn wheels(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_wheel = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("mcp_secrets-") && name.ends_with(".whl")
    };
    entries.map(|entry| entry.path()).filter(is_wheel).collect()
}

/// Copies the package to `stage`, with the window beside its modules and its crate where that stands.
fn copy(shell: &Shell, window: &[PathBuf], stage: &Path) -> Result<(), String> {
    let text = |error: std::io::Error| format!("{}: {error}", stage.display());
    if stage.exists() {
        fs::remove_dir_all(stage).map_err(text)?;
    }
    let package = Path::new(PACKAGE);
    let files = shell.files()?;
    let modules = files.iter().filter(|file| file.starts_with(package.join("python")));
    let others = ["README.md"].map(|file| package.join(file));
    for file in modules.chain(&others) {
        let inside = file.strip_prefix(package).map_err(|error| error.to_string())?;
        let to = stage.join(inside);
        fs::create_dir_all(to.parent().unwrap_or(stage)).map_err(text)?;
        fs::copy(shell.root.join(file), to).map_err(text)?;
    }
    let project = shell.read(package.join("pyproject.toml"))?;
    let mut project: toml::Table = project.parse().map_err(|error| format!("{error}"))?;
    let maturin = project["tool"]["maturin"].as_table_mut().ok_or("no [tool.maturin]")?;
    let manifest = shell.root.join(package).join("Cargo.toml").display().to_string();
    maturin.insert("manifest-path".to_owned(), manifest.into());
    fs::write(stage.join("pyproject.toml"), project.to_string()).map_err(text)?;
    let bin = stage.join("python/mcp_secrets/bin");
    fs::create_dir_all(&bin).map_err(text)?;
    for file in window {
        let name = file.file_name().ok_or("a file without a name")?;
        fs::copy(file, bin.join(name)).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}
