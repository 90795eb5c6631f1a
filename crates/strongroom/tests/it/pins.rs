//! `mcp pin`: the real npm and pip install, from a registry on this machine, and `run` starts it.
#![expect(
    clippy::disallowed_methods,
    reason = "a registry and the user's own tools are started here"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::sandbox::{PROGRAM, Ran, Sandbox};

/// A person's home with their tools in `PATH`, in which nothing needs a person.
fn home() -> Sandbox {
    let sandbox = Sandbox::new().with("PATH", std::env::var_os("PATH").unwrap());
    sandbox.run("init --headless").ok();
    sandbox
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/pins").join(name)
}

/// A registry of npm's kind that ends with this value.
struct Registry(Child);

impl Registry {
    fn start(sandbox: &Sandbox) -> Self {
        let mut node = Command::new("node");
        node.arg(script("registry.cjs")).arg(sandbox.path("registry"));
        let mut child = node.stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        sandbox.write(".npmrc", &format!("registry=http://127.0.0.1:{}/\n", port.trim()));
        Self(child)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Publishes a server that says its version and its arguments, and what it depends on. Its script
/// would leave a mark, were it run.
fn publish(sandbox: &Sandbox, version: &str) {
    let below = |file: &str| format!("registry/echo@{version}/{file}");
    let mark = sandbox.path("mark").display().to_string();
    let manifest = serde_json::json!({
        "name": "@acme/echo", "version": version, "bin": { "echo": "cli.js" },
        "scripts": { "postinstall": format!("touch {mark}") },
        "dependencies": { "@acme/word": "1.0.0" },
    });
    sandbox.write(&below("package.json"), &manifest.to_string());
    let text = "console.log(require('./package.json').version, require('@acme/word'), \
                ...process.argv.slice(2));\n";
    sandbox.write(&below("cli.js"), text);
    let word = r#"{ "name": "@acme/word", "version": "1.0.0" }"#;
    sandbox.write("registry/word@1.0.0/package.json", word);
    sandbox.write("registry/word@1.0.0/index.js", "module.exports = 'says';\n");
}

/// The folder with what was installed for `server`.
fn installed(sandbox: &Sandbox, server: &str) -> PathBuf {
    let parent = sandbox.path(".local/share/strongroom/servers").join(server);
    let folders = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = folders.filter(|path| path.is_dir()).collect();
    folders.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    folders.pop().unwrap()
}

fn refused(ran: &Ran, hint: &str) {
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains(hint), "{ran:?}");
}

// SC-01, SC-02
#[test]
fn a_server_from_npm_is_installed_once_and_started_from_then_on_without_its_registry() {
    let sandbox = home();
    publish(&sandbox, "1.0.0");
    let registry = Registry::start(&sandbox);
    sandbox.run("mcp add echo -- npx -y @acme/echo one").ok();
    let pinned = sandbox.run("mcp pin echo --json").ok().json();
    assert_eq!((&pinned["package"], &pinned["version"]), (&"@acme/echo".into(), &"1.0.0".into()));
    assert!(!sandbox.path("mark").exists(), "a script of the package was run");
    assert_eq!(sandbox.mode(".local/share/strongroom/servers/echo/pin.json"), 0o600);

    publish(&sandbox, "2.0.0");
    drop(registry);
    let ran = sandbox.run("run echo -- two").ok();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("1.0.0 says one two\n", ""));
    let checked = sandbox.run("mcp pin echo --check --json").ok().json();
    assert_eq!(checked["same"], true);

    // What a package depends on is read by `--check`, its own files before each start.
    let modules = installed(&sandbox, "echo").join("node_modules/@acme");
    let word = modules.join("word/index.js");
    fs::write(&word, "module.exports = 'lies';\n").unwrap();
    refused(&sandbox.run("mcp pin echo --check"), "strongroom mcp pin echo");
    fs::write(&word, "module.exports = 'says';\n").unwrap();
    sandbox.run("mcp pin echo --check").ok();

    let entry = modules.join("echo/cli.js");
    let text = fs::read_to_string(&entry).unwrap();
    fs::write(&entry, text.replace("log(", "log (")).unwrap();
    refused(&sandbox.run("run echo"), "strongroom mcp pin echo");
    fs::write(&entry, text).unwrap();
    sandbox.run("run echo").ok();

    let _registry = Registry::start(&sandbox);
    sandbox.run("mcp pin echo --version 1.0.0").ok();
    assert_eq!(sandbox.run("run echo").ok().stdout, "1.0.0 says one\n");
    sandbox.run("mcp pin echo").ok();
    assert_eq!(sandbox.run("run echo").ok().stdout, "2.0.0 says one\n");
    let logs = sandbox.run("logs").ok().stdout;
    assert_eq!(logs.matches("server.pin").count(), 3, "{logs}");
}

#[test]
fn a_version_that_the_registry_does_not_have_is_said_and_the_pin_stays() {
    let sandbox = home();
    publish(&sandbox, "1.0.0");
    let _registry = Registry::start(&sandbox);
    sandbox.run("mcp add echo -- npx -y @acme/echo").ok();
    sandbox.run("mcp pin echo").ok();
    let failed = sandbox.run("mcp pin echo --version 9.9.9");
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains("`npm install @acme/echo@9.9.9` failed: "), "{failed:?}");
    let failed = sandbox.run("mcp pin echo --version latest");
    assert!(failed.stderr.contains("is not a version"), "{failed:?}");
    assert_eq!(sandbox.run("run echo").ok().stdout, "1.0.0 says\n");
    assert_eq!(sandbox.names(".local/share/strongroom/servers/echo").len(), 2);
    sandbox.run("mcp pin echo --remove").ok();
    assert!(!sandbox.path(".local/share/strongroom/servers/echo").exists());
}

#[test]
fn a_pin_and_its_removal_need_a_person() {
    const CONFIG: &str = ".config/strongroom/strongroom.toml";
    let sandbox = home();
    publish(&sandbox, "1.0.0");
    let _registry = Registry::start(&sandbox);
    sandbox.run("mcp add echo -- npx -y @acme/echo").ok();
    let headless = sandbox.read(CONFIG);
    let alone_at_it = headless.replace("headless = true", "headless = false");
    sandbox.write(CONFIG, &alone_at_it);
    // It takes the terminal away that whoever runs the tests may have.
    let alone = |arguments: &[&str]| {
        let all = [&["--wait", PROGRAM], arguments].concat();
        sandbox.start(Path::new("/usr/bin/setsid"), &all)
    };
    // What `npm` is, and where it asks, is in the hands of whoever types the command.
    refused(&alone(&["mcp", "pin", "echo"]), "run the command at a terminal");
    assert!(!sandbox.path(".local/share/strongroom/servers/echo/pin.json").exists());
    sandbox.write(CONFIG, &headless);
    sandbox.run("mcp pin echo").ok();
    sandbox.write(CONFIG, &alone_at_it);
    publish(&sandbox, "2.0.0");
    for arguments in [&["mcp", "pin", "echo"][..], &["mcp", "pin", "echo", "--remove"]] {
        refused(&alone(arguments), "run the command at a terminal");
    }
    assert_eq!(sandbox.run("run echo").ok().stdout, "1.0.0 says\n");
    assert_eq!(sandbox.names(".local/share/strongroom/servers/echo").len(), 2);
}

#[test]
fn a_server_from_pythons_index_is_installed_from_wheels_and_started() {
    let sandbox = home();
    let wheels = sandbox.path("wheels");
    fs::create_dir(&wheels).unwrap();
    let built = Command::new("python3").arg(script("wheel.py")).arg(&wheels).arg("1.0").status();
    assert!(built.unwrap().success());
    let index = format!("[global]\nno-index = true\nfind-links = {}\n", wheels.display());
    sandbox.write(".config/pip/pip.conf", &index);
    sandbox.run("mcp add tool -- uvx acme-tool one").ok();
    assert_eq!(sandbox.run("mcp pin tool --json").ok().json()["version"], "1.0");
    fs::remove_dir_all(&wheels).unwrap();
    assert_eq!(sandbox.run("run tool -- two").ok().stdout, "tool 1.0 one two\n");
    // Running it has changed nothing.
    sandbox.run("mcp pin tool --check").ok();

    let lock = fs::read_to_string(installed(&sandbox, "tool").join("requirements.lock")).unwrap();
    assert!(lock.starts_with("acme-tool==1.0 --hash=sha256:"), "{lock}");
    let site = fs::read_dir(installed(&sandbox, "tool").join("venv/lib")).unwrap();
    let site = site.map(|entry| entry.unwrap().path().join("site-packages")).next().unwrap();
    fs::write(site.join("sitecustomize.py"), "").unwrap();
    refused(&sandbox.run("run tool"), "strongroom mcp pin tool");
}

#[test]
fn an_image_is_run_by_the_digest_that_a_stand_in_of_docker_pulled() {
    use std::os::unix::fs::PermissionsExt as _;

    let digest = format!("sha256:{}", "ab".repeat(32));
    let sandbox = Sandbox::new();
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    let sandbox = sandbox.with("PATH", path);
    sandbox.run("init --headless").ok();
    let docker = format!(
        "#!/bin/sh\ncase $1 in\n  pull) ;;\n  image) echo acme/echo@{digest} ;;\n  *) echo \"$@\" ;;\nesac\n"
    );
    let docker = sandbox.write("bin/docker", &docker);
    fs::set_permissions(docker, fs::Permissions::from_mode(0o755)).unwrap();
    sandbox.run("mcp add echo -- docker run -i --rm acme/echo:latest one").ok();
    sandbox.run("mcp pin echo").ok();
    let ran = sandbox.run("run echo -- two").ok();
    assert_eq!(ran.stdout, format!("run -i --rm acme/echo@{digest} one two\n"));
}
