//! The Python package as it is shipped: the wheel that `cargo xtask test` builds, in a virtual environment
//! of its own. What it does is tested from Python, in `bindings/python/tests`; here is what it needs around
//! it: a keyring, a screen, a home.
#![expect(clippy::disallowed_methods, reason = "Python is started here")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use strongroom_testkit::{display::Display, secret_service::SecretService};
use tempfile::TempDir;

#[test]
fn secrets_are_kept_shared_with_other_implementations_and_never_shown() {
    World::new().passes("test_secrets.py");
}

#[test]
fn only_an_exact_yes_of_a_person_gives_a_secret() {
    World::new().passes("test_asking.py");
}

#[test]
fn servers_of_both_frameworks_work_with_real_clients() {
    World::new().passes("test_servers.py");
}

#[test]
fn the_module_does_its_process_no_harm() {
    World::new().passes("test_process.py");
}

#[test]
fn windows_open_for_a_person_and_close_with_whoever_asked() {
    World { display: Some(Display::start()), ..World::new() }.passes("test_windows.py");
}

/// The mistakes are marked in the file: none is missed, and there are no others.
#[test]
fn type_checkers_know_the_package_and_find_mistakes() {
    let world = World::new();
    let (output, said) = world.checks(&["sample.py"]);
    assert!(output, "{said}");
    let (output, said) = world.checks(&["mistakes.py"]);
    assert!(!output, "{said}");
    let text = fs::read_to_string(tests().join("mistakes.py")).unwrap();
    let marked = (1..).zip(text.lines()).flat_map(|(number, line)| {
        let codes = line.split_once("# E: ").map_or("", |(_, codes)| codes).split(", ");
        codes.filter(|code| !code.is_empty()).map(move |code| (number, code.to_owned()))
    });
    let mut marked: Vec<(usize, String)> = marked.collect();
    let mut found: Vec<_> = said.lines().filter_map(mistake).collect();
    marked.sort();
    found.sort();
    assert_eq!(found, marked, "{said}");
}

/// `mistakes.py:6: error: .. [arg-type]`
fn mistake(line: &str) -> Option<(usize, String)> {
    let (place, rest) = line.split_once(": error: ")?;
    let code = rest.rsplit_once('[')?.1.trim_end_matches(']');
    Some((place.rsplit_once(':')?.1.parse().ok()?, code.to_owned()))
}

/// A home and a keyring that nobody else has.
struct World {
    home: TempDir,
    keyring: SecretService,
    display: Option<Display>,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { home, keyring: SecretService::start(), display: None }
    }

    /// Has Python run the tests in this file.
    fn passes(&self, file: &str) {
        let output = self.python().arg(tests().join(file)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
    }

    /// Whether the type checker passes these files, and what it says.
    fn checks(&self, files: &[&str]) -> (bool, String) {
        let mut mypy = Command::new(package("python-tools/bin/mypy"));
        mypy.args(["--strict", "--no-error-summary", "--cache-dir"]).arg(self.home.path());
        mypy.arg("--python-executable").arg(package("python/bin/python"));
        let output = mypy.args(files).current_dir(tests()).stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// The interpreter that has the package.
    fn python(&self) -> Command {
        let mut python = Command::new(package("python/bin/python"));
        python
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home.path())
            .env("LC_ALL", "C.UTF-8")
            .envs(self.keyring.variables())
            .envs(self.display.iter().flat_map(Display::variables))
            .args(["-s", "-B"])
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        python
    }
}

/// What `cargo xtask test` builds and installs.
fn package(path: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let file = target.join("packages").join(path);
    assert!(file.exists(), "{} is missing: run `cargo xtask test`", file.display());
    file
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../bindings/python/tests")
        .canonicalize()
        .unwrap()
}
