//! An X display of a test's own: Xvfb with a window manager, and a person who types. All end with the
//! value.

#![expect(clippy::disallowed_methods, reason = "a test starts what it needs and ends it itself")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Nothing here takes as long on a machine that has time.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// A screen that nobody else has.
#[derive(Debug)]
pub struct Display {
    name: String,
    processes: Vec<Child>,
}

impl Display {
    /// A screen with a window manager and nothing on it.
    #[must_use]
    pub fn start() -> Self {
        let (name, server) = (0..ATTEMPTS).find_map(serve).expect("a number of a display is free");
        let mut display = Self { name, processes: vec![server] };
        let mut manager = display.command("openbox");
        let manager = manager.process_group(0).stdout(Stdio::null()).spawn();
        display.processes.push(manager.expect("openbox starts: `cargo xtask test` installs it"));
        // Which desktop is shown is what a window manager says.
        display.until("a window manager", || display.person(&["get_desktop"]).is_some());
        display
    }

    /// The variables that lead a program to this screen.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![("DISPLAY", self.name.clone())]
    }

    /// The window whose title has this in it, once it is shown and takes what is typed.
    #[must_use]
    pub fn window(&self, title: &str) -> String {
        let mut found = None;
        self.until(title, || {
            found = self.find(title);
            let Some(window) = &found else { return false };
            drop(self.person(&["windowactivate", window]));
            self.person(&["getactivewindow"]).as_ref() == Some(window)
        });
        found.expect("it was found")
    }

    /// The window whose title has this in it, where it is shown.
    #[must_use]
    pub fn find(&self, title: &str) -> Option<String> {
        let found = self.person(&["search", "--onlyvisible", "--name", title])?;
        found.lines().next().map(str::to_owned)
    }

    /// Waits until no window has this in its title.
    pub fn wait_until_gone(&self, title: &str) {
        self.until("the window goes", || self.find(title).is_none());
    }

    /// Types `text` where the focus is.
    pub fn type_text(&self, text: &str) {
        self.person(&["type", "--delay", "20", "--", text]).expect("xdotool types");
    }

    /// Presses a key, in xdotool's words: `Return`, `Tab`, `ctrl+a`.
    pub fn press(&self, key: &str) {
        self.person(&["key", "--", key]).expect("xdotool presses");
    }

    /// Presses Enter in the window whose title has this in it until it is gone: one that came to the front a
    /// moment ago takes none yet. Nothing else than sending it may be what Enter does there.
    pub fn submit(&self, title: &str) {
        self.until("the window takes Enter", || {
            let Some(window) = self.find(title) else { return true };
            if self.person(&["getactivewindow"]).as_ref() == Some(&window) {
                self.press("Return");
                std::thread::sleep(TAKEN);
            }
            false
        });
    }

    /// What a person does with `xdotool`, and what it prints. `None`: it could not be done.
    #[must_use]
    pub fn person(&self, arguments: &[&str]) -> Option<String> {
        let output = self.command("xdotool").args(arguments).output();
        let output = output.expect("xdotool starts: `cargo xtask test` installs it");
        let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(printed)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("DISPLAY", &self.name).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < PATIENCE, "waited for {what} on {} in vain", self.name);
            std::thread::sleep(PAUSE);
        }
    }
}

/// The server of the display whose number this process takes next; nothing where somebody has it.
///
/// A number that Xvfb itself looks for is the one of a server that is just about to end, which then takes
/// the socket of the new one along.
fn serve(attempt: u32) -> Option<(String, Child)> {
    let number =
        FIRST + (std::process::id() * 31 + STARTED.fetch_add(1, Relaxed) + attempt) % NUMBERS;
    let name = format!(":{number}");
    let mut server = Command::new("Xvfb");
    // When it is ready, it says its number.
    server.args([&name, "-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"]);
    // Else it begins anew when the first who looks at it has looked, and throws the others out.
    server.arg("-noreset");
    let mut server = server
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("Xvfb starts: `cargo xtask test` installs it");
    let mut ready = String::new();
    let stdout = server.stdout.take().expect("piped");
    let read = BufReader::new(stdout).read_line(&mut ready);
    if read.is_ok() && !ready.trim().is_empty() {
        return Some((name, server));
    }
    drop(server.kill());
    drop(server.wait());
    None
}

/// How long a window has to go when Enter was pressed, before it is pressed again.
const TAKEN: Duration = Duration::from_millis(400);

/// How many numbers are tried, which are used, and how many this process has started.
const ATTEMPTS: u32 = 100;
const FIRST: u32 = 200;
const NUMBERS: u32 = 50_000;
static STARTED: AtomicU32 = AtomicU32::new(0);

impl Drop for Display {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            // Asked to end, the server takes its socket and its lock along.
            let mut kill = Command::new("kill");
            drop(kill.arg(process.id().to_string()).stderr(Stdio::null()).status());
            drop(process.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_types_reaches_the_window_of_that_title() {
        let display = Display::start();
        let script = "import gi; gi.require_version('Gtk', '4.0'); from gi.repository import Gtk\n\
            app = Gtk.Application()\n\
            def show(app):\n\
            \twindow = Gtk.ApplicationWindow(application=app, title='a window of a test')\n\
            \tentry = Gtk.Entry()\n\
            \tentry.connect('activate', lambda entry: (print(entry.get_text()), app.quit()))\n\
            \twindow.set_child(entry); window.present()\n\
            app.connect('activate', show); app.run()";
        let mut program = display.command("/usr/bin/python3");
        let program = program.args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        assert_eq!(display.find("no such window"), None);
        let _window = display.window("a window of a test");
        display.type_text("typed 2 words");
        display.press("Return");
        let output = program.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "typed 2 words\n");
        display.wait_until_gone("a window of a test");
    }
}
