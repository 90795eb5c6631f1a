//! A true Secret Service of a test's own: gnome-keyring on a private D-Bus, in folders that nobody
//! else has. Both end with the value.

#![expect(clippy::disallowed_methods, reason = "a test starts what it needs and ends it itself")]

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A session with a D-Bus and, unless it was asked for without one, a keyring that is unlocked.
#[derive(Debug)]
pub struct SecretService {
    folder: TempDir,
    address: String,
    processes: Vec<Child>,
}

impl SecretService {
    /// A session with a keyring that is unlocked and empty.
    #[must_use]
    pub fn start() -> Self {
        let mut session = Self::bus_only();
        session.begin();
        session
    }

    /// Ends the keyring and starts it anew: what it holds is there again, and nothing that was agreed
    /// with the old one.
    pub fn restart(&mut self) {
        let mut keyring = self.processes.pop().expect("there is one");
        signal("-KILL", keyring.id());
        drop(keyring.wait());
        self.begin();
    }

    fn begin(&mut self) {
        let mut keyring = self.command("gnome-keyring-daemon");
        keyring.args(["--foreground", "--unlock", "--components=secrets"]);
        let mut keyring = keyring
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("gnome-keyring-daemon starts: `cargo xtask install` installs it");
        keyring.stdin.take().expect("piped").write_all(b"pw").expect("it takes the password");
        self.processes.push(keyring);
        self.wait_for_service();
    }

    /// A session with a D-Bus on which no Secret Service answers, nor can be started.
    #[must_use]
    pub fn bus_only() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the session");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).expect("ours alone");
        for name in ["data", "runtime"] {
            let path = folder.path().join(name);
            fs::create_dir(&path).expect("a folder in it");
            fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("ours alone");
        }
        let socket = folder.path().join("bus");
        let config = folder.path().join("bus.conf");
        fs::write(&config, bus_config(&socket)).expect("the configuration of the bus");
        let mut bus = Command::new("dbus-daemon");
        bus.args(["--nofork", "--print-address=1", "--config-file"]).arg(&config);
        let mut bus = bus
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon starts: `cargo xtask install` installs it");
        let mut address = String::new();
        let stdout = bus.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut address).expect("the bus says where it is");
        Self { folder, address: address.trim().to_owned(), processes: vec![bus] }
    }

    /// The variables that lead a program into this session.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let of = |name: &str| self.folder.path().join(name).display().to_string();
        vec![
            ("DBUS_SESSION_BUS_ADDRESS", self.address.clone()),
            ("XDG_DATA_HOME", of("data")),
            ("XDG_RUNTIME_DIR", of("runtime")),
        ]
    }

    /// The address of the bus.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Stores an item with these attributes, as another program does.
    pub fn store(&self, attributes: &[&str], secret: &str) {
        let mut tool = self.command("secret-tool");
        tool.args(["store", "--label=of a test"]).args(attributes);
        let mut tool = tool.stdin(Stdio::piped()).spawn().expect("secret-tool starts");
        tool.stdin.take().expect("piped").write_all(secret.as_bytes()).expect("it takes it");
        assert!(tool.wait().expect("it ends").success(), "secret-tool stores");
    }

    /// What another program finds by these attributes.
    #[must_use]
    pub fn lookup(&self, attributes: &[&str]) -> Option<String> {
        let mut tool = self.command("secret-tool");
        let output = tool.arg("lookup").args(attributes).output().expect("secret-tool starts");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Locks the keyring: what it holds needs a person from here on.
    pub fn lock(&self) {
        let mut lock = self.command("gdbus");
        lock.args(["call", "--session", "--dest=org.freedesktop.secrets"]);
        lock.args(["--object-path=/org/freedesktop/secrets"]);
        lock.args(["--method=org.freedesktop.Secret.Service.Lock"]);
        lock.arg("['/org/freedesktop/secrets/collection/login']").stdout(Stdio::null());
        assert!(lock.status().expect("gdbus starts").success(), "it locks");
    }

    /// Stops the keyring where it stands: it takes questions and never answers.
    pub fn freeze(&self) {
        let keyring = self.processes.last().expect("there is one");
        signal("-STOP", keyring.id());
    }

    /// A program in this session.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.folder.path())
            .envs(self.variables())
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// The daemon owns its name on the bus some time after it was started: the bus itself says when.
    fn wait_for_service(&self) {
        let mut ask = self.command("gdbus");
        ask.args(["wait", "--session", "--timeout=60", "org.freedesktop.secrets"]);
        assert!(ask.status().expect("gdbus starts").success(), "the keyring takes its name");
    }
}

impl Drop for SecretService {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            // Its group: what it has started, too.
            signal("-KILL", process.id());
            drop(process.wait());
        }
    }
}

fn signal(which: &str, group: u32) {
    let group = format!("-{group}");
    let mut kill = Command::new("kill");
    drop(kill.args([which, "--", &group]).stderr(Stdio::null()).status());
}

/// A bus for one user that starts nothing on demand.
fn bus_config(socket: &Path) -> String {
    format!(
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
         \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
         <busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
         <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
         <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>\n",
        socket.display()
    )
}
