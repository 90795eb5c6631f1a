//! Where helper programs are, and the environment that all of them get.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use strongroom_model::ports::ResolveError;

/// A helper program.
#[derive(Debug)]
pub struct Tool {
    /// The scheme of the provider that it serves.
    pub scheme: &'static str,
    /// Its name, without `.exe`.
    pub name: &'static str,
    /// Where its installer puts it on Windows, below `C:\Program Files`.
    pub windows: &'static str,
    /// Variables of our environment that it gets beside those that every program gets.
    pub keep: &'static [&'static str],
}

/// Looks up a variable.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The program of `tool`: `configured`, else in a directory of the system.
///
/// # Errors
///
/// It is not there, or somebody else could change it.
pub(crate) fn locate(
    tool: &Tool,
    configured: Option<&Path>,
    home: &Path,
    variable: Lookup<'_>,
) -> Result<PathBuf, ResolveError> {
    let Tool { scheme, name, .. } = tool;
    let set = |path: &str| format!("run `strongroom provider set {scheme} --program {path}`");
    if let Some(path) = configured {
        if !path.is_file() {
            let why = format!("there is no program `{}`", path.display());
            return Err(ResolveError::absent(scheme, why, set("/path/to/it")));
        }
        return trusted(scheme, path).map(|()| path.to_owned());
    }
    let places = places(tool, home, cfg!(windows));
    if let Some(path) = places.into_iter().find(|path| path.is_file()) {
        return trusted(scheme, &path).map(|()| path);
    }
    Err(match in_path(tool, variable) {
        Some(path) => ResolveError::absent(
            scheme,
            format!("`{name}` is in no directory of the system, and `PATH` is not trusted"),
            set(&path.display().to_string()),
        ),
        None => ResolveError::absent(
            scheme,
            format!("the program `{name}` is not on this machine"),
            format!("install `{name}`, or {}", set("/path/to/it")),
        ),
    })
}

/// The program of `tool` in `PATH`: for a person to look at, never to be run unasked.
pub(crate) fn in_path(tool: &Tool, variable: Lookup<'_>) -> Option<PathBuf> {
    let path = variable("PATH")?;
    let name = file_name(tool.name, cfg!(windows));
    let absolute = std::env::split_paths(&path).filter(|dir| dir.is_absolute());
    absolute.map(|dir| dir.join(&name)).find(|path| path.is_file())
}

/// Where `tool` is looked for, in this order.
fn places(tool: &Tool, home: &Path, windows: bool) -> Vec<PathBuf> {
    if windows {
        let files = Path::new(r"C:\Program Files");
        return vec![files.join(tool.windows).join(file_name(tool.name, windows))];
    }
    let ours = [".local/bin", ".cargo/bin", ".nix-profile/bin"].map(|dir| home.join(dir));
    let dirs = DIRECTORIES.iter().map(PathBuf::from).chain(ours);
    dirs.map(|dir| dir.join(tool.name)).collect()
}

/// The directories of the system.
const DIRECTORIES: [&str; 7] = [
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/opt/homebrew/bin",
    "/snap/bin",
    "/run/current-system/sw/bin",
    "/nix/var/nix/profiles/default/bin",
];

fn file_name(name: &str, windows: bool) -> String {
    if windows { format!("{name}.exe") } else { name.to_owned() }
}

/// What every program gets: where it is at home, whose it is, and messages in the one language that
/// is looked for in them.
pub(super) fn environment(
    home: &Path,
    windows: bool,
    variable: Lookup<'_>,
) -> Vec<(OsString, OsString)> {
    let keep = |names: &[&str]| {
        let kept = names.iter().filter_map(|name| Some((OsString::from(name), variable(name)?)));
        kept.collect::<Vec<_>>()
    };
    if windows {
        let mut env =
            keep(&["SystemRoot", "APPDATA", "LOCALAPPDATA", "ProgramData", "TEMP", "TMP"]);
        env.push(("USERPROFILE".into(), home.into()));
        env.push(("PATH".into(), r"C:\Windows\System32;C:\Windows".into()));
        return env;
    }
    let mut env = keep(&["USER", "LOGNAME", "TMPDIR"]);
    let language = if cfg!(target_os = "macos") { "en_US.UTF-8" } else { "C.UTF-8" };
    let path = format!("{}:/usr/sbin:/sbin", DIRECTORIES.join(":"));
    env.push(("HOME".into(), home.into()));
    env.push(("PATH".into(), path.into()));
    env.push(("LC_ALL".into(), language.into()));
    env
}

/// Refuses a program that somebody else than root and us could have made or could change.
#[cfg(unix)]
fn trusted(scheme: &str, path: &Path) -> Result<(), ResolveError> {
    use std::os::unix::fs::MetadataExt as _;

    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    const ANYBODY_WRITES: u32 = 0o002;

    let shown = path.display();
    let refuse = |why: String, fix: String| Err(ResolveError::absent(scheme, why, fix));
    let unreadable = || {
        let why = format!("`{shown}` cannot be looked at");
        ResolveError::absent(scheme, why, "run `strongroom doctor`")
    };
    // Links are followed: package managers keep programs behind them.
    let real = fs::canonicalize(path).map_err(|_| unreadable())?;
    let facts = fs::metadata(&real).map_err(|_| unreadable())?;
    let us = rustix::process::geteuid().as_raw();
    if facts.uid() != 0 && facts.uid() != us {
        return refuse(
            format!("`{shown}` belongs to another user"),
            format!(
                "install it as root or as yourself, then run `strongroom provider set {scheme} --program /path/to/it`"
            ),
        );
    }
    if facts.mode() & OTHERS_WRITE != 0 {
        return refuse(
            format!("others can change `{shown}`"),
            format!("run `chmod go-w {}`", real.display()),
        );
    }
    let directory = real.parent().unwrap_or(&real);
    let open = fs::metadata(directory).map_err(|_| unreadable())?.mode();
    if open & ANYBODY_WRITES != 0 && open & STICKY == 0 {
        return refuse(
            format!("anybody can replace `{shown}`"),
            format!("run `chmod o-w {}`", directory.display()),
        );
    }
    Ok(())
}

/// The access lists of `C:\Program Files` and of the profile keep others out.
#[cfg(not(unix))]
fn trusted(_: &str, path: &Path) -> Result<(), ResolveError> {
    fs::metadata(path).map(drop).map_err(|_| {
        ResolveError::absent("", "the program cannot be looked at", "run `strongroom doctor`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OP: Tool = Tool { scheme: "op", name: "op", windows: "1Password CLI", keep: &[] };

    #[test]
    fn a_program_is_looked_for_in_directories_of_the_system_and_of_the_user() {
        let unix = places(&OP, Path::new("/home/me"), false);
        assert_eq!(unix[0], Path::new("/usr/local/bin/op"));
        assert!(unix.contains(&PathBuf::from("/home/me/.local/bin/op")));
        assert!(unix.iter().all(|path| path.is_absolute() || cfg!(windows)));
        assert_eq!(places(&OP, Path::new(r"C:\Users\me"), true).len(), 1);
    }

    #[test]
    fn the_environment_is_written_down_on_every_system() {
        let ours = |name: &str| Some(OsString::from(format!("our {name}")));
        for (windows, must) in [(false, "HOME"), (true, "USERPROFILE")] {
            let env = environment(Path::new("/home/me"), windows, &ours);
            let names: Vec<_> = env.iter().map(|(name, _)| name.to_str().unwrap()).collect();
            assert!(names.contains(&must) && names.contains(&"PATH"), "{names:?}");
            for never in ["LD_PRELOAD", "BASH_ENV", "OP_SERVICE_ACCOUNT_TOKEN", "HTTPS_PROXY"] {
                assert!(!names.contains(&never), "{never}");
            }
            let path = env.iter().find(|(name, _)| name == "PATH").unwrap();
            assert_ne!(path.1, "our PATH");
        }
    }

    #[cfg(unix)]
    mod found {
        use std::fs::{Permissions, set_permissions, write};
        use std::os::unix::fs::PermissionsExt as _;

        use super::*;

        fn tool() -> Tool {
            Tool { name: "a-program-of-no-system", ..OP }
        }

        // LM-12
        #[test]
        fn what_is_only_in_path_is_named_and_not_used() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(tool().name);
            write(&path, "").unwrap();
            let variable = |name: &str| {
                (name == "PATH").then(|| OsString::from(format!("rel:{}", dir.path().display())))
            };
            let error = locate(&tool(), None, Path::new("/nowhere"), &variable).unwrap_err();
            let fix = format!("run `strongroom provider set op --program {}`", path.display());
            assert_eq!((error.kind(), error.hint()), ("absent", Some(fix)));
            assert_eq!(locate(&tool(), Some(&path), Path::new("/"), &|_| None).unwrap(), path);
            let error = locate(&tool(), None, Path::new("/nowhere"), &|_| None).unwrap_err();
            assert!(error.hint().unwrap().starts_with("install"), "{error}");
        }

        #[test]
        fn what_others_can_change_is_refused_with_the_fix() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(tool().name);
            write(&path, "").unwrap();
            for (mode, fine) in [(0o755, true), (0o775, false), (0o757, false), (0o700, true)] {
                set_permissions(&path, Permissions::from_mode(mode)).unwrap();
                let found = locate(&tool(), Some(&path), Path::new("/"), &|_| None);
                assert_eq!(found.is_ok(), fine, "{mode:o}");
                if let Err(error) = found {
                    assert!(error.hint().unwrap().contains("chmod go-w"), "{error}");
                }
            }
            set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
            let error = locate(&tool(), Some(&path), Path::new("/"), &|_| None).unwrap_err();
            assert!(error.hint().unwrap().contains("chmod o-w"), "{error}");
        }
    }
}
