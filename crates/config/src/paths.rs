//! Where everything of one user lives: a pure function of the captured environment.
//!
//! Nothing here asks the operating system, and every platform's answer can be computed on every
//! other, so that the tables in the tests are the specification.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

pub use strongroom_model::paths::{Environment, Os, PathsError};
use strongroom_secrets::keychain::Keychain;

/// The directories of one user's Strongroom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// What people edit: `strongroom.toml`.
    pub config: PathBuf,
    /// What can be made again.
    pub cache: PathBuf,
    /// What has happened: the audit.
    pub state: PathBuf,
    /// What must not be lost: the vault and its key.
    pub share: PathBuf,
    os: Os,
    /// Whether somebody chose it, beside the one that everybody has.
    own: bool,
    session: Session,
}

/// The variables that lead to the keychain of the session that we were started in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Session(Vec<(&'static str, OsString)>);

/// By which a Secret Service is found.
const SESSION: [&str; 2] = ["DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"];

impl Home {
    /// The home that `environment` stands for.
    ///
    /// `$STRONGROOM_HOME` puts all four under one directory; otherwise each platform's own custom
    /// holds.
    pub fn locate(environment: &Environment) -> Result<Self, PathsError> {
        let variable = |name| Some((name, environment.get(name)?.to_owned()));
        let session = Session(SESSION.into_iter().filter_map(variable).collect());
        Ok(Self { session, ..Self::directories_of(environment)? })
    }

    fn directories_of(environment: &Environment) -> Result<Self, PathsError> {
        let os = environment.os;
        let of = |base: &OsStr, below: &str| os.join(base, below);
        if environment.get("STRONGROOM_HOME").is_some() {
            return Ok(Self::under(os, environment.absolute("STRONGROOM_HOME")?));
        }
        match os {
            Os::Linux => {
                let place = |variable: &str, default: &str| match environment.directory(variable) {
                    Some(directory) => Ok(of(directory, "strongroom")),
                    None => Ok(of(environment.user_home()?, &format!("{default}/strongroom"))),
                };
                Ok(Self {
                    config: place("XDG_CONFIG_HOME", ".config")?,
                    cache: place("XDG_CACHE_HOME", ".cache")?,
                    state: place("XDG_STATE_HOME", ".local/state")?,
                    share: place("XDG_DATA_HOME", ".local/share")?,
                    os,
                    own: false,
                    session: Session::default(),
                })
            }
            Os::Macos => {
                let library = of(environment.user_home()?, "Library");
                let support = of(library.as_os_str(), "Application Support/strongroom");
                Ok(Self {
                    config: support.clone(),
                    cache: of(library.as_os_str(), "Caches/strongroom"),
                    state: support.clone(),
                    share: support,
                    os,
                    own: false,
                    session: Session::default(),
                })
            }
            Os::Windows => {
                let local = of(environment.absolute("LOCALAPPDATA")?, "strongroom");
                Ok(Self {
                    config: of(environment.absolute("APPDATA")?, "strongroom"),
                    cache: of(local.as_os_str(), "cache"),
                    state: local.clone(),
                    share: local,
                    os,
                    own: false,
                    session: Session::default(),
                })
            }
        }
    }

    /// The variables that lead to the home, where they are set: for what is started without our
    /// environment, by the system.
    pub fn variables(environment: &Environment) -> Vec<(&'static str, &OsStr)> {
        if let Some(root) = environment.get("STRONGROOM_HOME") {
            return vec![("STRONGROOM_HOME", root)];
        }
        if environment.os != Os::Linux {
            return Vec::new();
        }
        let set = |name| Some((name, environment.directory(name)?));
        ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"]
            .into_iter()
            .filter_map(set)
            .collect()
    }

    /// A home of its own under `root`, as `$STRONGROOM_HOME` makes one.
    pub fn under(os: Os, root: &OsStr) -> Self {
        let of = |below: &str| os.join(root, below);
        Self {
            config: of("config/strongroom"),
            cache: of("cache/strongroom"),
            state: of("state/strongroom"),
            share: of("share/strongroom"),
            os,
            own: true,
            session: Session::default(),
        }
    }

    /// The configuration that people edit.
    pub fn config_file(&self) -> PathBuf {
        self.file(&self.config, "strongroom.toml")
    }

    /// The vault.
    pub fn vault_file(&self) -> PathBuf {
        self.file(&self.share, "vault.db")
    }

    /// The secret that the machine key is made from.
    pub fn machine_key_file(&self) -> PathBuf {
        self.file(&self.share, "machine.key")
    }

    /// Whether somebody chose it, so that there may be others beside it.
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// The keychain of the session that we were started in. Nothing is asked yet.
    pub fn keychain(&self) -> Keychain {
        Keychain::new(&|name| {
            let found = self.session.0.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.clone())
        })
    }

    /// What was installed for pinned servers: a folder each.
    pub fn servers_dir(&self) -> PathBuf {
        self.file(&self.share, "servers")
    }

    /// What agents save and send: a folder for each principal.
    pub fn files_dir(&self) -> PathBuf {
        self.file(&self.share, "files")
    }

    /// Where programs that agents run have their folders, each for as long as it runs.
    pub fn exec_dir(&self) -> PathBuf {
        self.file(&self.cache, "exec")
    }

    /// Where the MCP servers of tenants have their folders, each for as long as it runs.
    pub fn tenants_dir(&self) -> PathBuf {
        self.file(&self.cache, "tenants")
    }

    /// The audit: one file a day.
    pub fn audit_dir(&self) -> PathBuf {
        self.file(&self.state, "audit")
    }

    /// The directories, each once, in a fixed order.
    pub fn directories(&self) -> Vec<&Path> {
        let mut all: Vec<&Path> = Vec::new();
        for directory in [&self.config, &self.cache, &self.state, &self.share] {
            if !all.contains(&directory.as_path()) {
                all.push(directory);
            }
        }
        all
    }

    fn file(&self, directory: &Path, name: &str) -> PathBuf {
        self.os.join(directory.as_os_str(), name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variables; config, cache, state, share.
    type Row<'a, T = [&'a str; 4]> = (Os, &'a [(&'a str, &'a str)], T);

    fn locate(os: Os, variables: &[(&str, &str)]) -> Result<Home, PathsError> {
        Home::locate(&Environment::new(os, variables.iter().copied()))
    }

    #[test]
    fn the_home_follows_each_platforms_custom() {
        let table: &[Row] = &[
            (
                Os::Linux,
                &[("HOME", "/home/ann")],
                [
                    "/home/ann/.config/strongroom",
                    "/home/ann/.cache/strongroom",
                    "/home/ann/.local/state/strongroom",
                    "/home/ann/.local/share/strongroom",
                ],
            ),
            (
                Os::Linux,
                &[
                    ("HOME", "/home/ann"),
                    ("XDG_CONFIG_HOME", "/c"),
                    ("XDG_CACHE_HOME", "relative/is/ignored"),
                    ("XDG_STATE_HOME", ""),
                    ("XDG_DATA_HOME", "/d/"),
                ],
                [
                    "/c/strongroom",
                    "/home/ann/.cache/strongroom",
                    "/home/ann/.local/state/strongroom",
                    "/d/strongroom",
                ],
            ),
            (
                Os::Macos,
                &[("HOME", "/Users/ann"), ("XDG_CONFIG_HOME", "/not/looked/at")],
                [
                    "/Users/ann/Library/Application Support/strongroom",
                    "/Users/ann/Library/Caches/strongroom",
                    "/Users/ann/Library/Application Support/strongroom",
                    "/Users/ann/Library/Application Support/strongroom",
                ],
            ),
            (
                Os::Windows,
                &[("AppData", r"C:\U\ann\AppData\Roaming"), ("LOCALAPPDATA", r"C:\U\ann\Local")],
                [
                    r"C:\U\ann\AppData\Roaming\strongroom",
                    r"C:\U\ann\Local\strongroom\cache",
                    r"C:\U\ann\Local\strongroom",
                    r"C:\U\ann\Local\strongroom",
                ],
            ),
            (
                Os::Linux,
                &[("STRONGROOM_HOME", "/h"), ("HOME", "/home/ann"), ("XDG_CONFIG_HOME", "/c")],
                [
                    "/h/config/strongroom",
                    "/h/cache/strongroom",
                    "/h/state/strongroom",
                    "/h/share/strongroom",
                ],
            ),
        ];
        for (os, variables, expected) in table {
            let home = locate(*os, variables).unwrap();
            let found = [home.config, home.cache, home.state, home.share];
            assert_eq!(found.map(PathBuf::into_os_string), expected.map(OsString::from), "{os:?}");
        }
    }

    #[test]
    fn what_is_started_with_these_variables_alone_has_the_same_home() {
        let names = ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"];
        let xdg = [(names[0], "/c"), (names[1], "relative"), (names[2], ""), (names[3], "/d")];
        for (own, expected) in
            [(None, &["XDG_CONFIG_HOME", "XDG_DATA_HOME"][..]), (Some("/h"), &["STRONGROOM_HOME"])]
        {
            let all = [("HOME", "/ann"), ("VAULT_TOKEN", "canary")].into_iter().chain(xdg);
            let all =
                Environment::new(Os::Linux, all.chain(own.map(|own| ("STRONGROOM_HOME", own))));
            let kept = Home::variables(&all);
            let found: Vec<_> = kept.iter().map(|(name, _)| *name).collect();
            assert_eq!(found, expected);
            let kept = kept.into_iter().map(|(name, value)| (name, value.to_owned()));
            let again = Environment::new(Os::Linux, kept.chain([("HOME", "/ann".into())]));
            assert_eq!(Home::locate(&again), Home::locate(&all));
        }
        let mac = Environment::new(Os::Macos, [("HOME", "/ann"), ("XDG_CONFIG_HOME", "/c")]);
        assert!(Home::variables(&mac).is_empty());
    }

    #[test]
    fn a_home_that_is_not_known_is_an_error_and_not_the_current_directory() {
        let table: &[Row<PathsError>] = &[
            (Os::Linux, &[], PathsError::Unset { name: "HOME" }),
            (Os::Macos, &[("HOME", "")], PathsError::Unset { name: "HOME" }),
            (Os::Windows, &[("LOCALAPPDATA", r"C:\L")], PathsError::Unset { name: "APPDATA" }),
            (
                Os::Linux,
                &[("HOME", "/h"), ("STRONGROOM_HOME", "here")],
                PathsError::Relative { name: "STRONGROOM_HOME" },
            ),
        ];
        for (os, variables, expected) in table {
            assert_eq!(locate(*os, variables).unwrap_err(), *expected);
        }
        // HOME is not needed where every directory is named.
        let named = ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"];
        assert!(locate(Os::Linux, &named.map(|name| (name, "/x"))).is_ok());
    }

    #[test]
    fn directories_that_coincide_are_named_once() {
        let mac = locate(Os::Macos, &[("HOME", "/Users/ann")]).unwrap();
        assert_eq!(mac.directories().len(), 2);
        assert_eq!(locate(Os::Linux, &[("HOME", "/h")]).unwrap().directories().len(), 4);
    }
}
