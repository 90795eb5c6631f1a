//! Packages of npm.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;
use strongroom_gateway::pin::Held;

use super::install::{InstallError, Installed, Job, real};

const LOCK: &str = "package-lock.json";

/// Installs with npm, without running a script of any package.
pub(super) fn install(job: &Job<'_>) -> Result<Installed, InstallError> {
    let npm = job.program("npm")?;
    let node = real(&job.program("node")?)?;
    let name = &job.package.name;
    let spec = format!("{name}@{}", job.wanted().unwrap_or("latest"));
    job.write("package.json", "{ \"private\": true }\n")?;
    let options = [
        "install",
        "--ignore-scripts",
        "--bin-links=false",
        "--no-audit",
        "--no-fund",
        "--no-progress",
        "--no-update-notifier",
        "--loglevel=error",
        "--save-exact",
        "--",
        &spec,
    ];
    job.run(&format!("npm install {spec}"), &npm, &options)?;

    let lock = parse(job, LOCK)?;
    check_lock(&lock).map_err(|why| job.refuse(why))?;
    let below = format!("node_modules/{name}");
    let manifest = parse(job, &format!("{below}/package.json"))?;
    let exact = lock["packages"][&below]["version"].as_str();
    let exact = exact.ok_or_else(|| job.refuse("its lock file does not name it"))?.to_owned();
    let entry = entry(name, job.package.program.as_deref(), &manifest["bin"]);
    let entry = entry.map_err(|why| job.refuse(why))?;
    let package = job.folder.join(&below);
    let entry = package.join(entry);
    if !entry.is_file() {
        return Err(job.refuse("its program is not in it"));
    }
    let mut watched = vec![job.folder.join(LOCK), job.folder.join("node_modules")];
    watched.extend(Held::tree(&package)?.iter().map(|held| held.path().to_owned()));
    let entry = entry.to_str().ok_or_else(|| job.refuse("its path is not UTF-8"))?.to_owned();
    Ok(Installed { exact, program: node, args: vec![entry], watched })
}

fn parse(job: &Job<'_>, below: &str) -> Result<Value, InstallError> {
    serde_json::from_slice(&job.read(below)?)
        .map_err(|_| job.refuse(format!("its `{below}` is not JSON")))
}

/// Every package must come from a registry, with its digest: npm has compared it.
fn check_lock(lock: &Value) -> Result<(), String> {
    let packages = lock["packages"].as_object().ok_or("npm wrote no lock file that we know")?;
    for (place, package) in packages.iter().filter(|(place, _)| !place.is_empty()) {
        let name = place.rsplit("node_modules/").next().unwrap_or(place);
        let bundled = package["inBundle"] == true;
        let digest = package["integrity"].as_str().is_some_and(|text| text.starts_with("sha512-"));
        if !bundled && !digest {
            return Err(format!("it needs `{name}`, which has no sha512 digest"));
        }
    }
    Ok(())
}

/// The program of a package, by the rule of `npm exec`: the one that is asked for, the only one, or
/// the one that is named as the package is.
fn entry(name: &str, asked: Option<&str>, bin: &Value) -> Result<PathBuf, String> {
    let short = name.rsplit('/').next().unwrap_or(name);
    let found = match bin {
        Value::String(path) => asked.is_none_or(|asked| asked == short).then_some(path.as_str()),
        Value::Object(all) => match (asked, all.len()) {
            (Some(asked), _) => all.get(asked).and_then(Value::as_str),
            (None, 1) => all.values().next().and_then(Value::as_str),
            (None, _) => all.get(short).and_then(Value::as_str),
        },
        _ => return Err("it has no program".to_owned()),
    };
    let found = found.ok_or_else(|| match asked {
        Some(asked) => format!("it has no program `{asked}`"),
        None => "it has several programs; name one with `npx --package PKG NAME`".to_owned(),
    })?;
    let path = Path::new(found);
    let inside = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if inside {
        Ok(path.components().filter(|c| matches!(c, Component::Normal(_))).collect())
    } else {
        Err("its program lies outside of it".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_program_is_found_as_npm_finds_it() {
        let two = json!({ "a": "./a.js", "pkg": "dist/p.js" });
        for (name, asked, bin, expected) in [
            ("pkg", None, json!("./cli.js"), Ok("cli.js")),
            ("@s/pkg", None, json!({ "other": "dist/x.js" }), Ok("dist/x.js")),
            ("@s/pkg", None, two.clone(), Ok("dist/p.js")),
            ("@s/pkg", Some("a"), two.clone(), Ok("a.js")),
            ("@s/pkg", Some("b"), two.clone(), Err("it has no program `b`")),
            ("@s/x", None, two, Err("several programs")),
            ("pkg", None, json!(null), Err("no program")),
            ("pkg", None, json!("../../x.js"), Err("outside")),
            ("pkg", None, json!("/bin/sh"), Err("outside")),
        ] {
            match (entry(name, asked, &bin), expected) {
                (Ok(path), Ok(expected)) => assert_eq!(path, Path::new(expected)),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
                (found, expected) => panic!("{found:?} {expected:?}"),
            }
        }
    }

    #[test]
    fn a_lock_file_without_a_digest_for_each_package_is_refused() {
        let lock = |package: Value| json!({ "packages": { "": {}, "node_modules/a": package } });
        assert_eq!(check_lock(&lock(json!({ "integrity": "sha512-x" }))), Ok(()));
        assert_eq!(check_lock(&lock(json!({ "inBundle": true }))), Ok(()));
        for bad in [json!({}), json!({ "integrity": "sha1-x" }), json!({ "link": true })] {
            assert!(check_lock(&lock(bad)).is_err());
        }
        assert!(check_lock(&json!({})).is_err());
    }
}
