//! Whether a person can be asked by a window: the program that shows it, and a display or a terminal.

use strongroom_dialog::{NoWindow, Places, Terminal, Window};

use super::Finding;
use crate::commands::shown;
use crate::environment::Host;

/// What brings the program.
const BUILD: &str = "cargo xtask dist";

pub(super) fn examine(host: &Host) -> Finding {
    let places = Places::beside(&host.program, &host.environment);
    let program = shown(&places.program(), &host.environment);
    let about = "window";
    match Window::find(&places) {
        Ok(_) => {
            Finding::fine(about, format!("{program} belongs to this build; there is a display"))
        }
        Err(NoWindow::NoDisplay) => {
            let found = format!(
                "{program} belongs to this build; there is no display, and {}",
                without_display(&places)
            );
            Finding::warning(about, found, "strongroom approvals")
        }
        Err(error @ (NoWindow::Missing { .. } | NoWindow::Manifest { .. })) => {
            let found = format!("{error}: {}", without_display(&places));
            Finding::warning(about, found, BUILD)
        }
        Err(error @ NoWindow::Changed { .. }) => {
            Finding::problem(about, error.to_string(), Some(BUILD.to_owned()))
        }
        Err(error) => {
            let hint = error.hint();
            Finding::problem(about, super::chain(&error), hint)
        }
    }
}

/// How else a person is asked.
fn without_display(places: &Places) -> &'static str {
    if Terminal::find(places).is_ok() {
        "a person is asked at this terminal"
    } else {
        "a person can only answer by `strongroom approvals`"
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::sync::Arc;

    use strongroom_seal::{hex, sha256};
    use strongroom_testkit::fakes::FakeClock;

    use super::super::Level;
    use super::*;
    use crate::environment::Terminals;
    use crate::paths::{Environment, Os};

    fn host(folder: &Path, display: &[(&str, &str)]) -> Host {
        let folder_text = folder.to_str().unwrap();
        let home = [("HOME", folder_text), ("XDG_RUNTIME_DIR", folder_text)];
        Host {
            arguments: Vec::new(),
            environment: Environment::new(Os::CURRENT, home.iter().chain(display).copied()),
            program: folder.join("strongroom"),
            directory: folder.to_owned(),
            terminals: Terminals::default(),
            clock: Arc::new(FakeClock::default()),
        }
    }

    fn write(file: &Path, text: &str) {
        fs::write(file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    // SC-08
    #[test]
    fn doctor_says_whether_the_window_is_there_and_is_the_right_one_and_what_to_type() {
        let private = fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().permissions(private).tempdir().unwrap();
        let folder = folder.path();
        let display = host(folder, &[("DISPLAY", ":0")]);

        let missing = examine(&display);
        assert_eq!((missing.level, missing.fix.as_deref()), (Level::Warning, Some(BUILD)));
        assert!(missing.found.starts_with("there is no window program in"), "{missing:?}");

        let program = folder.join(format!("strongroom-dialog{}", std::env::consts::EXE_SUFFIX));
        write(&program, "a program");
        let unlisted = examine(&display);
        assert_eq!((unlisted.level, unlisted.fix.as_deref()), (Level::Warning, Some(BUILD)));

        let manifest = format!(
            r#"{{"version":1,"programs":{{"{}-{}":{{"file":"strongroom-dialog","sha256":"{}"}}}}}}"#,
            std::env::consts::OS,
            std::env::consts::ARCH,
            hex(&sha256(b"a program")),
        );
        write(&folder.join("strongroom-dialog.manifest.json"), &manifest);
        assert_eq!(examine(&display).level, Level::Fine);
        if Os::CURRENT == Os::Linux {
            let headless = examine(&host(folder, &[]));
            assert_eq!(headless.level, Level::Warning);
            assert!(headless.found.ends_with("by `strongroom approvals`"), "{headless:?}");
        }

        write(&program, "another program");
        let changed = examine(&display);
        assert_eq!((changed.level, changed.fix.as_deref()), (Level::Problem, Some(BUILD)));
        assert!(changed.found.ends_with("is not the window program of this build"), "{changed:?}");

        fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
        let open = examine(&display);
        assert_eq!(open.level, Level::Problem);
        assert!(open.fix.unwrap().starts_with("run `chmod go-w '"));
    }
}
