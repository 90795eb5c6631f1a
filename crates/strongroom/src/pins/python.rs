//! Packages of Python's index.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::install::{InstallError, Installed, Job, real};
use crate::paths::Os;

const LOCK: &str = "requirements.lock";

/// Says of a distribution what its version is, its programs, its files.
const LOOK: &str = "\
import json, sys
from importlib.metadata import distribution
d = distribution(sys.argv[1])
print(json.dumps({
    'version': d.version,
    'scripts': [e.name for e in d.entry_points if e.group == 'console_scripts'],
    'files': [str(d.locate_file(f)) for f in d.files or []],
}))";

#[derive(Deserialize)]
struct Found {
    version: String,
    scripts: Vec<String>,
    files: Vec<PathBuf>,
}

/// Installs wheels with pip into an environment of its own. What has no wheel would run its own code
/// to be built, and is refused.
pub(super) fn install(job: &Job<'_>) -> Result<Installed, InstallError> {
    let base = job.program("python3").or_else(|_| job.program("python"))?;
    job.run("python3 -m venv", &base, &["-I", "-m", "venv", "venv"])?;
    let windows = job.host.environment.os == Os::Windows;
    let programs = job.folder.join(if windows { "venv/Scripts" } else { "venv/bin" });
    let python = programs.join(if windows { "python.exe" } else { "python" });
    let spec = spec(&job.package.name, job.wanted());
    let quiet =
        ["-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet", "install"];
    let pip = |what: &str, args: &[&str]| {
        job.run(what, &python, &[&quiet, ["--only-binary=:all:"].as_slice(), args].concat())
    };

    let what = format!("pip install {spec}");
    let report = pip(&what, &["--dry-run", "--ignore-installed", "--report", "-", "--", &spec])?;
    let report: Value =
        serde_json::from_slice(&report).map_err(|_| job.refuse("pip's report is not JSON"))?;
    job.write(LOCK, &lock(&report).map_err(|why| job.refuse(why))?)?;
    pip(&what, &["--no-deps", "--require-hashes", "--requirement", LOCK])?;

    let name = bare(&job.package.name);
    let found = job.run("python3", &python, &["-I", "-c", LOOK, name])?;
    let found: Found = serde_json::from_slice(&found)
        .map_err(|_| job.refuse("what was installed does not say what it is"))?;
    let script = script(name, job.package.program.as_deref(), &found.scripts);
    let script = script.map_err(|why| job.refuse(why))?;
    let entry = programs.join(if windows { format!("{script}.exe") } else { script.to_owned() });
    if !entry.is_file() {
        return Err(job.refuse("its program was not installed"));
    }
    let watched = watched(job, &python, &entry, &found)?;
    if windows {
        return Ok(Installed { exact: found.version, program: entry, args: Vec::new(), watched });
    }
    let entry = entry.to_str().ok_or_else(|| job.refuse("its path is not UTF-8"))?.to_owned();
    // Isolated: neither the folder where it starts nor a variable adds modules; and nothing is
    // written into what is pinned.
    let args = vec!["-I".to_owned(), "-B".to_owned(), entry];
    Ok(Installed { exact: found.version, program: python, args, watched })
}

fn watched(
    job: &Job<'_>,
    python: &Path,
    entry: &Path,
    found: &Found,
) -> Result<Vec<PathBuf>, InstallError> {
    let venv = job.folder.join("venv");
    let mut all: BTreeSet<PathBuf> =
        [job.folder.join(LOCK), venv.join("pyvenv.cfg"), python.to_owned(), entry.to_owned()]
            .into();
    let real_venv = real(&venv)?;
    for file in found.files.iter().filter(|file| file.is_file()) {
        let file = real(file)?;
        // The folders as well: what is added beside a module may be loaded in its place.
        let folders = file.ancestors().skip(1).take_while(|folder| {
            folder.starts_with(&real_venv) && !folder.ends_with("lib") && *folder != real_venv
        });
        all.extend(folders.map(Path::to_owned));
        all.insert(file);
    }
    Ok(all.into_iter().collect())
}

/// Without `[extras]`.
fn bare(name: &str) -> &str {
    name.split('[').next().unwrap_or(name)
}

/// As pip reads it.
fn spec(name: &str, wanted: Option<&str>) -> String {
    match wanted {
        None | Some("latest") => name.to_owned(),
        Some(range) if range.starts_with(['=', '<', '>', '~', '!']) => format!("{name}{range}"),
        Some(version) => format!("{name}=={version}"),
    }
}

/// A line with version and digest for each distribution of pip's report.
fn lock(report: &Value) -> Result<String, String> {
    let all = report["install"].as_array().ok_or("pip's report is of another version")?;
    let mut lines = Vec::new();
    for one in all {
        let name = one["metadata"]["name"].as_str().unwrap_or_default();
        let version = one["metadata"]["version"].as_str().unwrap_or_default();
        let digest = one["download_info"]["archive_info"]["hashes"]["sha256"].as_str();
        let digest = digest.filter(|text| text.len() == 64);
        let digest =
            digest.ok_or_else(|| format!("it needs `{name}`, which has no sha256 digest"))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '!');
        if name.is_empty() || ![name, version, digest].concat().chars().all(plain) {
            return Err("pip's report is not understood".to_owned());
        }
        lines.push(format!("{name}=={version} --hash=sha256:{digest}\n"));
    }
    lines.sort();
    Ok(lines.concat())
}

/// The one that is asked for, that is named as the package is, or the only one.
fn script<'a>(name: &str, asked: Option<&str>, all: &'a [String]) -> Result<&'a str, String> {
    let same = |one: &str, other: &str| {
        let plain = |text: &str| text.to_ascii_lowercase().replace(['_', '.'], "-");
        plain(one) == plain(other)
    };
    let find = |wanted: &str| all.iter().find(|script| same(script, wanted)).map(String::as_str);
    let found = match (asked, all) {
        (Some(asked), _) => find(asked).ok_or_else(|| format!("it has no program `{asked}`"))?,
        (None, []) => return Err("it has no program".to_owned()),
        (None, [only]) => only,
        (None, _) => {
            find(name).ok_or("it has several programs; name one with `uvx --from PKG NAME`")?
        }
    };
    if found.contains(['/', '\\']) || found.starts_with(['.', '-']) {
        return Err("its program has an odd name".to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lock_file_has_a_version_and_a_digest_for_everything() {
        let one = |name: &str, hashes: Value| {
            json!({ "metadata": { "name": name, "version": "1.0" },
                    "download_info": { "archive_info": { "hashes": hashes } } })
        };
        let digest = "a".repeat(64);
        let report = json!({ "install": [one("B.b", json!({ "sha256": digest }))] });
        assert_eq!(lock(&report).unwrap(), format!("B.b==1.0 --hash=sha256:{digest}\n"));
        for bad in [
            one("b", json!({})),
            one("b", json!({ "sha256": "x" })),
            one("b\n-r x", json!({ "sha256": digest })),
        ] {
            assert!(lock(&json!({ "install": [bad] })).is_err());
        }
    }

    #[test]
    fn the_program_is_found_by_its_name_or_because_there_is_one() {
        let names = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            script("mcp_server_git", None, &names(&["mcp-server-git", "b"])),
            Ok("mcp-server-git")
        );
        assert_eq!(script("x", None, &names(&["tool"])), Ok("tool"));
        assert_eq!(script("x", Some("b"), &names(&["a", "b"])), Ok("b"));
        for (asked, all) in
            [(None, &["a", "b"][..]), (Some("c"), &["a"]), (None, &[]), (None, &["../a"])]
        {
            assert!(script("x", asked, &names(all)).is_err(), "{all:?}");
        }
    }

    #[test]
    fn what_is_asked_for_is_said_as_pip_says_it() {
        for (wanted, expected) in [
            (None, "p[x]"),
            (Some("latest"), "p[x]"),
            (Some("1.0"), "p[x]==1.0"),
            (Some(">=1"), "p[x]>=1"),
        ] {
            assert_eq!(spec("p[x]", wanted), expected);
        }
    }
}
