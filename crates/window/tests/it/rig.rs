//! Starting the program, and a screen reader that looks at it.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use strongroom_testkit::display::Display;
use tempfile::TempDir;

/// Nothing here takes as long on a machine that has time.
const PATIENCE: Duration = Duration::from_mins(1);

/// One question on a screen of its own.
pub(crate) struct Asked {
    pub(crate) display: Display,
    pub(crate) child: Child,
    bus: Option<Bus>,
    home: TempDir,
}

/// A consent without more in it.
pub(crate) const CONSENT: &str = r#"{"title":"Allow it?","kind":"consent","description":"It."}"#;

/// What the program ended with.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Asked {
    /// Asks `template` where there is no bus, and so no screen reader.
    pub(crate) fn with(template: &str) -> Self {
        Self::start(template, false)
    }

    /// Asks `template` where a screen reader can look on.
    pub(crate) fn read(template: &str) -> Self {
        Self::start(template, true)
    }

    fn start(template: &str, readable: bool) -> Self {
        let home = tempfile::tempdir().unwrap();
        let display = Display::start();
        let mut variables = display.variables();
        variables.push(("HOME", home.path().display().to_string()));
        let bus = readable.then(|| Bus::start(&variables));
        if let Some(bus) = &bus {
            variables.push(("DBUS_SESSION_BUS_ADDRESS", bus.address.clone()));
        }
        let child = program(&[], &variables, template);
        Self { display, child, bus, home }
    }

    /// Asks by a program that `start` starts with these variables.
    pub(crate) fn by(start: impl FnOnce(&[(&'static str, String)]) -> Child) -> Self {
        let home = tempfile::tempdir().unwrap();
        let display = Display::start();
        let mut variables = display.variables();
        variables.push(("HOME", home.path().display().to_string()));
        let child = start(&variables);
        Self { display, child, bus: None, home }
    }

    /// The window, once it is shown and takes what is typed.
    pub(crate) fn window(&self) -> String {
        self.display.window("Strongroom")
    }

    /// The same, once it takes a press on the button that sends, unless the machine stalls.
    pub(crate) fn settled_window(&self) -> String {
        let window = self.window();
        std::thread::sleep(Duration::from_millis(1_200));
        window
    }

    /// Presses Enter, which sends, until it is gone.
    pub(crate) fn submit(&self) {
        self.display.submit("Strongroom");
    }

    /// Whether it is still asking.
    pub(crate) fn is_open(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) fn ended(self) -> Ended {
        ended(self.child)
    }

    /// Clicks at a place of the window: from its left, and from its bottom.
    pub(crate) fn click(&self, window: &str, left: i32, bottom: i32, times: u32) {
        let geometry = self.display.person(&["getwindowgeometry", "--shell", window]).unwrap();
        let height = geometry.lines().find_map(|line| line.strip_prefix("HEIGHT=")).unwrap();
        let top = height.parse::<i32>().unwrap() - bottom;
        let (left, top, times) = (left.to_string(), top.to_string(), times.to_string());
        let place = ["mousemove", "--window", window, &left, &top];
        let click = ["click", "--repeat", &times, "--delay", "50", "1"];
        self.display.person(&[place.as_slice(), &click].concat()).unwrap();
    }

    /// What a screen reader sees: each thing with `role`, `name`, `description`, `text` and `states`.
    pub(crate) fn seen(&self) -> Vec<Value> {
        let bus = self.bus.as_ref().expect("there is a bus");
        let mut reader = Command::new("/usr/bin/python3");
        let reader = reader
            .args(["-c", include_str!("reader.py")])
            .env_clear()
            .envs(self.display.variables())
            .env("HOME", self.home.path())
            .env("DBUS_SESSION_BUS_ADDRESS", &bus.address)
            .output()
            .unwrap();
        serde_json::from_slice(&reader.stdout).unwrap_or_default()
    }

    /// What the screen reader sees, once that is so.
    pub(crate) fn seen_when(&self, what: &str, so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let seen = self.seen();
            if so(&seen) {
                return seen;
            }
            assert!(began.elapsed() < PATIENCE, "waited for {what} in vain: {seen:#?}");
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let group = format!("-{}", self.daemon.id());
        drop(Command::new("kill").args(["-KILL", "--", &group]).status());
        drop(self.daemon.wait());
    }
}

/// A bus with what a screen reader needs.
struct Bus {
    daemon: Child,
    address: String,
}

impl Bus {
    fn start(variables: &[(&str, String)]) -> Self {
        let mut daemon = Command::new("dbus-daemon");
        let mut daemon = daemon
            .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
            .env_clear()
            .envs(variables.iter().cloned())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon starts: `cargo xtask test` installs it");
        let mut address = String::new();
        let stdout = daemon.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut address).unwrap();
        Self { daemon, address: address.trim().to_owned() }
    }
}

/// The program, with nothing but these variables.
pub(crate) fn program(arguments: &[&str], variables: &[(&str, String)], template: &str) -> Child {
    spawn(
        Command::new(env!("CARGO_BIN_EXE_strongroom-dialog")).args(arguments),
        variables,
        template,
    )
}

/// Starts `command` with nothing but these variables, and `template` on its stdin.
pub(crate) fn spawn(command: &mut Command, variables: &[(&str, String)], template: &str) -> Child {
    let mut child = command
        .env_clear()
        .envs(variables.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who refuses early may not read all of it.
    drop(child.stdin.take().unwrap().write_all(template.as_bytes()));
    child
}

/// Waits for the end of a program.
pub(crate) fn ended(child: Child) -> Ended {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Looks again and again until it is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(50));
    }
}
