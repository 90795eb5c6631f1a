//! What tells this machine from another.

use std::io;
use std::path::{Path, PathBuf};

/// The machine's id: a salt, and no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineId(String);

/// The machine has no id that we can read.
#[derive(Debug, thiserror::Error)]
pub enum MachineIdError {
    /// None of the files is there, or none has an id.
    #[error("this machine has no id: looked at {}", list(.looked_at))]
    Missing {
        /// The files.
        looked_at: Vec<PathBuf>,
    },
    /// The program that knows the id did not say it.
    #[error("`{program}` does not tell this machine's id")]
    Unanswered {
        /// The program.
        program: &'static str,
        /// Why, where it did not run.
        source: Option<io::Error>,
    },
}

impl MachineIdError {
    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } => Some(
                "run `systemd-machine-id-setup` or `dbus-uuidgen --ensure=/etc/machine-id` as root",
            ),
            Self::Unanswered { .. } => None,
        }
    }
}

/// Reads the machine's id where this platform keeps it. `run` starts a program with arguments and
/// returns what it printed; on Linux and the BSDs nothing is started.
pub fn machine_id(
    run: &dyn Fn(&str, &[&str]) -> io::Result<String>,
) -> Result<MachineId, MachineIdError> {
    if cfg!(target_os = "macos") {
        MachineId::from_ioreg(run("/usr/sbin/ioreg", &["-rd1", "-c", "IOPlatformExpertDevice"]))
    } else if cfg!(windows) {
        let key = r"HKLM\SOFTWARE\Microsoft\Cryptography";
        MachineId::from_registry(run(
            r"C:\Windows\System32\reg.exe",
            &["query", key, "/v", "MachineGuid"],
        ))
    } else {
        MachineId::from_files(&["/etc/machine-id", "/var/lib/dbus/machine-id"])
    }
}

impl MachineId {
    /// The id of this text: 32 hexadecimal digits, with or without the hyphens of a UUID.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        let fits = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let digits = digits.to_ascii_lowercase();
        (fits && digits.bytes().any(|b| b != b'0')).then_some(Self(digits))
    }

    /// The id in the first of `files` that has one (machine-id(5)).
    pub fn from_files(files: &[impl AsRef<Path>]) -> Result<Self, MachineIdError> {
        files.iter().find_map(|file| Self::parse(&std::fs::read_to_string(file).ok()?)).ok_or_else(
            || MachineIdError::Missing {
                looked_at: files.iter().map(|file| file.as_ref().to_owned()).collect(),
            },
        )
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `"IOPlatformUUID" = "..."` of macOS' `ioreg`.
    fn from_ioreg(printed: io::Result<String>) -> Result<Self, MachineIdError> {
        answered("ioreg", printed, |text| {
            let (_, rest) = text.split_once("\"IOPlatformUUID\"")?;
            Self::parse(rest.split('"').nth(1)?)
        })
    }

    /// `MachineGuid    REG_SZ    ...` of Windows' `reg query`.
    fn from_registry(printed: io::Result<String>) -> Result<Self, MachineIdError> {
        answered("reg", printed, |text| {
            let (_, rest) = text.split_once("REG_SZ")?;
            Self::parse(rest.lines().next()?)
        })
    }
}

fn answered(
    program: &'static str,
    printed: io::Result<String>,
    find: impl FnOnce(&str) -> Option<MachineId>,
) -> Result<MachineId, MachineIdError> {
    match printed {
        Ok(text) => find(&text).ok_or(MachineIdError::Unanswered { program, source: None }),
        Err(error) => Err(MachineIdError::Unanswered { program, source: Some(error) }),
    }
}

fn list(files: &[PathBuf]) -> String {
    let names: Vec<_> = files.iter().map(|file| format!("`{}`", file.display())).collect();
    names.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_32_digits_that_are_not_all_zero() {
        let id = MachineId::parse("3d1219c7c4c5404aaa1f6d2a48adfda4\n").unwrap();
        assert_eq!(id, MachineId::parse("3D1219C7-C4C5-404A-AA1F-6D2A48ADFDA4").unwrap());
        for bad in ["", "uninitialized\n", "3d12", &"0".repeat(32), &"g".repeat(32)] {
            assert_eq!(MachineId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_first_file_with_an_id_counts_and_all_are_named_where_none_has() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
        let files = [&a, &b];
        let error = MachineId::from_files(&files).unwrap_err();
        assert!(error.to_string().contains(&a.display().to_string()), "{error}");
        assert!(error.to_string().contains(&b.display().to_string()), "{error}");
        std::fs::write(&a, "uninitialized\n").unwrap();
        std::fs::write(&b, "3d1219c7c4c5404aaa1f6d2a48adfda4\n").unwrap();
        assert_eq!(
            MachineId::from_files(&files).unwrap().as_str(),
            "3d1219c7c4c5404aaa1f6d2a48adfda4"
        );
    }

    #[test]
    fn the_ids_of_macos_and_windows_are_found_in_what_their_programs_print() {
        let uuid = "3D1219C7-C4C5-404A-AA1F-6D2A48ADFDA4";
        let ioreg =
            format!("  \"IOPlatformSerialNumber\" = \"C02\"\n  \"IOPlatformUUID\" = \"{uuid}\"\n");
        let registry =
            format!("\r\nHKEY_LOCAL_MACHINE\\..\r\n    MachineGuid    REG_SZ    {uuid}\r\n\r\n");
        let id = MachineId::parse(uuid).unwrap();
        assert_eq!(MachineId::from_ioreg(Ok(ioreg)).unwrap(), id);
        assert_eq!(MachineId::from_registry(Ok(registry)).unwrap(), id);
        for nothing in ["", "\"IOPlatformUUID\"", "REG_SZ"] {
            assert!(MachineId::from_ioreg(Ok(nothing.into())).is_err());
            assert!(MachineId::from_registry(Ok(nothing.into())).is_err());
        }
    }
}
