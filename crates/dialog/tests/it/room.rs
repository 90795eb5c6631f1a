//! A folder with a window program in it, which is the stand-in, and a home of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use strongroom_dialog::{Answers, Asking, Ended, Places, Window, ask};
use strongroom_model::form::{Field, Form, Kind};
use strongroom_model::paths::{Environment, Os};
use strongroom_seal::{hex, sha256};
use tempfile::TempDir;

/// Long enough for a machine that is very busy.
pub(crate) const LONG: Duration = Duration::from_mins(1);

pub(crate) struct Room {
    pub(crate) folder: TempDir,
    pub(crate) home: TempDir,
}

impl Room {
    /// One in which all is as `cargo xtask dist` leaves it.
    pub(crate) fn new() -> Self {
        let room = Self { folder: private(), home: private() };
        // A link, and no copy: a file that was just written may not be started while it is still open
        // for writing in a process that another test is starting.
        let program = room.program();
        if fs::hard_link(example("stand_in"), &program).is_err() {
            fs::copy(example("stand_in"), &program).unwrap();
        }
        room.write_manifest(&hex(&sha256(&fs::read(&program).unwrap())));
        room
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.folder.path().join("strongroom-dialog")
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.folder.path().join("strongroom-dialog.manifest.json")
    }

    pub(crate) fn write_manifest(&self, sha256: &str) {
        let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        let text = format!(
            r#"{{"version":1,"programs":{{"{platform}":{{"file":"strongroom-dialog","sha256":"{sha256}"}}}}}}"#
        );
        fs::write(self.manifest(), text).unwrap();
        fs::set_permissions(self.manifest(), fs::Permissions::from_mode(0o644)).unwrap();
    }

    pub(crate) fn environment(&self, more: &[(&str, &str)]) -> Environment {
        let home = self.home.path().to_str().unwrap();
        let home = [("HOME", home), ("XDG_RUNTIME_DIR", home), ("PATH", "/usr/bin:/bin")];
        Environment::new(Os::CURRENT, home.iter().chain(more).copied())
    }

    pub(crate) fn places(&self) -> Places {
        Places::within(self.folder.path(), &self.environment(&[("DISPLAY", ":0")]))
    }

    pub(crate) fn window(&self) -> Window {
        Window::find(&self.places()).unwrap()
    }

    /// Asks a question of one field, whose answer would be `placeholder`.
    pub(crate) fn ask(&self, script: &str, placeholder: &str) -> Asking {
        ask(&self.window(), &form("t", script, placeholder), LONG)
    }

    pub(crate) async fn outcome(&self, script: &str) -> Result<Answers, Ended> {
        self.ask(script, "canary").answers().await
    }

    /// A file of the home.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }
}

/// A question of one field `a`.
pub(crate) fn form(title: &str, script: &str, placeholder: &str) -> Form {
    let field = Field { name: "a".into(), placeholder: placeholder.to_owned(), ..Field::default() };
    Form {
        title: title.to_owned(),
        description: script.to_owned(),
        kind: Kind::Fields,
        fields: vec![field],
    }
}

/// The answer to the field `a`.
pub(crate) fn answer(answers: &Answers) -> String {
    String::from_utf8(answers.get("a").unwrap().expose().to_vec()).unwrap()
}

/// A program of this crate's examples.
pub(crate) fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().with_file_name("examples").join(name)
}

/// A folder that nobody else can write to, beside what was built: hard links lead there.
pub(crate) fn private() -> TempDir {
    let tests = std::env::current_exe().unwrap();
    tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(tests.parent().unwrap())
        .unwrap()
}

/// Waits until `there` has something.
pub(crate) fn until<T>(what: &str, mut there: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(it) = there() {
            return it;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The lines of a file, none where it is not there.
pub(crate) fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}
