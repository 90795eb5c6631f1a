//! The folder of files that all servers of a user share: the locks, and the sealed files where there
//! is no keychain.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use strongroom_model::paths::{Environment, Os};
use strongroom_seal::{Guard, SecureDir, hex, sha256};

use crate::error::Error;

/// How long another process may be at it.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
const BETWEEN: Duration = Duration::from_millis(10);

/// The folder, which is made when it is first needed.
pub(super) struct Home(PathBuf);

impl Home {
    /// The folder of this user: `mcp-secrets` where the platform keeps data of programs.
    pub(super) fn of(environment: &Environment) -> Result<Self, Error> {
        let os = environment.os;
        let home = || environment.directory("HOME");
        let data = match os {
            Os::Windows => environment.directory("LOCALAPPDATA").map(OsStr::to_owned),
            Os::Macos => home().map(|home| os.join(home, "Library/Application Support").into()),
            Os::Linux => {
                let data = environment.directory("XDG_DATA_HOME").map(OsStr::to_owned);
                data.or_else(|| Some(os.join(home()?, ".local/share").into()))
            }
        };
        Ok(Self(os.join(&data.ok_or(Error::NoHome)?, "mcp-secrets")))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The folder, made where it is missing.
    pub(super) fn dir(&self) -> Result<SecureDir, Error> {
        Ok(SecureDir::create(&self.0)?)
    }

    /// Waits for the turn to write what belongs to `service`. It ends with the value, or with the
    /// process.
    pub(super) fn lock(&self, service: &str) -> Result<Guard, Error> {
        turn(&self.dir()?, &format!("{}.lock", file_of(service)), PATIENCE)
    }
}

/// Waits for the lock on the file `name` for as long as `patience`: a process that is stopped while it has it
/// must not stop us too.
pub(super) fn turn(dir: &SecureDir, name: &str, patience: Duration) -> Result<Guard, Error> {
    let until = Instant::now() + patience;
    loop {
        if let Some(guard) = dir.try_lock(name)? {
            return Ok(guard);
        }
        if Instant::now() >= until {
            return Err(Error::Busy);
        }
        thread::sleep(BETWEEN);
    }
}

/// The name of the files of `service`: any text may be in that.
pub(super) fn file_of(service: &str) -> String {
    hex(&sha256(service.as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_where_the_user_keeps_data() {
        let of = |os, variables: &[(&str, &str)]| {
            let environment = Environment::new(os, variables.iter().copied());
            Home::of(&environment).map(|home| home.0.into_os_string().into_string().unwrap())
        };
        let linux = |variables: &[(&str, &str)]| of(Os::Linux, variables);
        assert_eq!(linux(&[("HOME", "/h")]).unwrap(), "/h/.local/share/mcp-secrets");
        let both = [("HOME", "/h"), ("XDG_DATA_HOME", "/d")];
        assert_eq!(linux(&both).unwrap(), "/d/mcp-secrets");
        let relative = [("HOME", "/h"), ("XDG_DATA_HOME", "d")];
        assert_eq!(linux(&relative).unwrap(), "/h/.local/share/mcp-secrets");
        assert_eq!(linux(&[]).unwrap_err().code(), "no_home");
        let library = "/h/Library/Application Support/mcp-secrets";
        assert_eq!(of(Os::Macos, &both).unwrap(), library);
        let local = [("LOCALAPPDATA", r"C:\l")];
        assert_eq!(of(Os::Windows, &local).unwrap(), r"C:\l\mcp-secrets");
    }

    #[test]
    fn one_writer_at_a_time_has_the_turn() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home(folder.path().join("mcp-secrets"));
        let turn = home.lock("com.mcp.a").unwrap();
        assert!(home.lock("com.mcp.b").is_ok(), "another server's turn is another's");
        let dir = home.dir().unwrap();
        let name = format!("{}.lock", file_of("com.mcp.a"));
        let refused = super::turn(&dir, &name, Duration::ZERO).unwrap_err();
        assert_eq!(refused.code(), "storage_busy");
        drop(turn);
        assert!(home.lock("com.mcp.a").is_ok());
    }
}
