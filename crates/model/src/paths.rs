//! An operating system and the variables of a process, as far as the places of files follow from them.
//!
//! Nothing here asks the operating system, and every platform's answer can be computed on every
//! other.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// An operating system, as far as the places of files are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Os {
    /// Linux, and every other system that follows the XDG base directories.
    Linux,
    /// macOS.
    Macos,
    /// Windows.
    Windows,
}

impl Os {
    /// The one that this program was built for.
    pub const CURRENT: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_os = "macos") {
        Self::Macos
    } else {
        Self::Linux
    };

    /// Its name in tables and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Macos => "macos",
            Self::Windows => "windows",
        }
    }

    /// Whether `path` names a place without help from the current directory.
    pub fn is_absolute(self, path: &OsStr) -> bool {
        let bytes = path.as_encoded_bytes();
        match self {
            Self::Linux | Self::Macos => bytes.first() == Some(&b'/'),
            Self::Windows => {
                bytes.starts_with(br"\\")
                    || matches!(bytes, [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
            }
        }
    }

    /// `base` and the `parts` below it, which are separated by `/` in our own tables.
    pub fn join(self, base: &OsStr, parts: &str) -> PathBuf {
        let separator = if self == Self::Windows { "\\" } else { "/" };
        let mut path = base.to_owned();
        for part in parts.split('/').filter(|part| !part.is_empty()) {
            if !path.as_encoded_bytes().ends_with(separator.as_bytes()) {
                path.push(separator);
            }
            path.push(part);
        }
        PathBuf::from(path)
    }
}

/// The environment of this process, captured once at the start and passed in from there on.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The operating system.
    pub os: Os,
    variables: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// An environment of these variables.
    pub fn new<K: Into<OsString>, V: Into<OsString>>(
        os: Os,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Self { os, variables }
    }

    /// The value of a variable. One that is empty counts as not set.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        let value = self.variables.get(OsStr::new(name)).map(OsString::as_os_str);
        let value = value.or_else(|| {
            let same = |key: &OsStr| key.eq_ignore_ascii_case(name);
            let mut entries = self.variables.iter();
            let found = entries.find(|(key, _)| self.os == Os::Windows && same(key))?;
            Some(found.1.as_os_str())
        });
        value.filter(|value| !value.is_empty())
    }

    /// Every variable.
    pub fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables.iter().map(|(key, value)| (key.as_os_str(), value.as_os_str()))
    }

    /// Every variable, as a child that is ours too gets it.
    pub fn to_vec(&self) -> Vec<(OsString, OsString)> {
        self.variables.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The user's home directory.
    pub fn user_home(&self) -> Result<&OsStr, PathsError> {
        self.absolute(if self.os == Os::Windows { "USERPROFILE" } else { "HOME" })
    }

    /// The absolute path in the variable `name`.
    pub fn absolute(&self, name: &'static str) -> Result<&OsStr, PathsError> {
        let value = self.get(name).ok_or(PathsError::Unset { name })?;
        if self.os.is_absolute(value) { Ok(value) } else { Err(PathsError::Relative { name }) }
    }

    /// The value of `name` if it is an absolute path; XDG says to ignore a relative one.
    pub fn directory(&self, name: &str) -> Option<&OsStr> {
        self.get(name).filter(|value| self.os.is_absolute(value))
    }
}

/// Why the home is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathsError {
    /// A variable that names a directory is missing.
    #[error("`{name}` is not set, so there is no place for Strongroom's files")]
    Unset {
        /// The variable.
        name: &'static str,
    },
    /// It names no absolute path.
    #[error("`{name}` is not an absolute path")]
    Relative {
        /// The variable.
        name: &'static str,
    },
}
