//! Batch files of Windows: `npx.cmd` and its kin.
//!
//! `cmd.exe` reads their arguments by rules of its own. The standard library quotes for it
//! (CVE-2024-24576) and refuses what cannot be quoted; what it refuses is said here, with its place.

use std::ffi::OsString;
use std::path::Path;

use super::{PlanError, System};

/// Refuses an argument that a batch file cannot be given safely.
pub(super) fn check(program: &Path, args: &[OsString], system: System) -> Result<(), PlanError> {
    if system != System::Windows || !is_batch(program) {
        return Ok(());
    }
    for (number, argument) in args.iter().enumerate() {
        if argument.as_encoded_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            let place = format!("the argument {}", number + 1);
            return Err(PlanError::Text { place, what: "a line break" });
        }
    }
    Ok(())
}

/// By the name's end as Windows reads it: blanks and dots behind it do not count.
fn is_batch(program: &Path) -> bool {
    let bytes = program.as_os_str().as_encoded_bytes();
    let end =
        bytes.iter().rposition(|byte| !matches!(byte, b' ' | b'.')).map_or(0, |last| last + 1);
    let end = &bytes[..end];
    end.len() >= 4
        && [".cmd", ".bat"]
            .iter()
            .any(|extension| end[end.len() - 4..].eq_ignore_ascii_case(extension.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_file_is_known_by_its_name_as_windows_reads_it() {
        for name in [r"C:\x\npx.cmd", r"C:\x\npx.CMD", r"C:\x\a.bat", r"C:\x\a.bat. ."] {
            assert!(is_batch(Path::new(name)), "{name}");
        }
        for name in [r"C:\x\node.exe", "/bin/cmd", r"C:\x.cmd\node", "cmd"] {
            assert!(!is_batch(Path::new(name)), "{name}");
        }
    }
}
