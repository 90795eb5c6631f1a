//! Finds a program as a shell would, without being one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{Place, PlanError, System};

/// What a name without an extension may stand for on Windows, in this order. `PATHEXT` is not
/// asked: it may be anything.
const EXTENSIONS: [&str; 4] = ["exe", "com", "cmd", "bat"];

/// The absolute path of `program`: a path, from `directory`, or a name in `path`.
pub(super) fn program(
    program: &str,
    path: Option<&OsStr>,
    directory: &Path,
    place: &Place<'_>,
) -> Result<PathBuf, PlanError> {
    if program.contains('\0') {
        return Err(PlanError::Text { place: "the command".to_owned(), what: "a NUL" });
    }
    let not_found = || PlanError::NotFound { program: program.to_owned() };
    let is_path = match place.system {
        System::Unix => program.contains('/'),
        System::Windows => program.contains(['/', '\\', ':']),
    };
    if is_path {
        let path = if is_absolute(Path::new(program), place.system) {
            PathBuf::from(program)
        } else {
            join(directory, program, place.system)
        };
        return candidates(path.clone(), place.system)
            .into_iter()
            .find(|candidate| (place.is_program)(candidate))
            .ok_or(PlanError::NotAProgram { path });
    }
    if program.is_empty() || matches!(program, "." | "..") {
        return Err(not_found());
    }
    // Empty and relative entries stand for the current directory, which may be anybody's.
    let folders = split(path.unwrap_or_default(), place.system);
    folders
        .into_iter()
        .filter(|folder| is_absolute(folder, place.system))
        .flat_map(|folder| candidates(join(&folder, program, place.system), place.system))
        .find(|candidate| (place.is_program)(candidate))
        .ok_or_else(not_found)
}

/// On Windows: the path as it is where it has an extension, and with each that a program may have.
fn candidates(path: PathBuf, system: System) -> Vec<PathBuf> {
    if system == System::Unix {
        return vec![path];
    }
    let bytes = path.as_os_str().as_encoded_bytes();
    let name = bytes.rsplit(|byte| matches!(byte, b'\\' | b'/')).next().unwrap_or_default();
    let with = |extension: &str| {
        let mut text = path.as_os_str().to_owned();
        text.push(".");
        text.push(extension);
        PathBuf::from(text)
    };
    let mut all: Vec<PathBuf> = Vec::new();
    if name.contains(&b'.') {
        all.push(path.clone());
    }
    all.extend(EXTENSIONS.iter().map(|extension| with(extension)));
    all
}

fn split(path: &OsStr, system: System) -> Vec<PathBuf> {
    #[cfg(unix)]
    if system == System::Unix {
        use std::os::unix::ffi::OsStrExt as _;
        let folders = path.as_bytes().split(|byte| *byte == b':');
        return folders.map(|folder| PathBuf::from(OsStr::from_bytes(folder))).collect();
    }
    let separator = if system == System::Windows { ';' } else { ':' };
    let folders = path.to_str().unwrap_or_default().split(separator);
    folders.map(|folder| PathBuf::from(folder.trim_matches('"'))).collect()
}

fn is_absolute(path: &Path, system: System) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    match system {
        System::Unix => bytes.first() == Some(&b'/'),
        System::Windows => {
            bytes.starts_with(br"\\")
                || matches!(bytes, [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
        }
    }
}

fn join(folder: &Path, name: &str, system: System) -> PathBuf {
    let mut text = folder.as_os_str().to_owned();
    let separator = if system == System::Windows { "\\" } else { "/" };
    if !matches!(text.as_encoded_bytes().last(), Some(b'/' | b'\\')) {
        text.push(separator);
    }
    text.push(name);
    PathBuf::from(text)
}
