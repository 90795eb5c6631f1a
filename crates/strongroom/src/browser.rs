//! Opens an address in the browser of the person at the terminal.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use strongroom_process::{Start, StartError};

use crate::environment::Host;
use crate::paths::{Environment, Os};

/// What opens an address, which is added as the last argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opener {
    /// Its absolute path.
    pub program: PathBuf,
    /// What comes before the address.
    pub arguments: Vec<String>,
    /// By which it finds the desktop and the person's own settings, and nothing else.
    pub env: Vec<(OsString, OsString)>,
}

/// What a browser and its helpers look at on Linux.
const LINUX: [&str; 22] = [
    "HOME",
    "PATH",
    "LANG",
    "BROWSER",
    "DISPLAY",
    "XAUTHORITY",
    "WAYLAND_DISPLAY",
    "DBUS_SESSION_BUS_ADDRESS",
    "DESKTOP_SESSION",
    "XDG_RUNTIME_DIR",
    "XDG_CURRENT_DESKTOP",
    "XDG_SESSION_DESKTOP",
    "XDG_SESSION_TYPE",
    "XDG_CONFIG_HOME",
    "XDG_CONFIG_DIRS",
    "XDG_DATA_HOME",
    "XDG_DATA_DIRS",
    "XDG_CACHE_HOME",
    "XDG_STATE_HOME",
    "KDE_FULL_SESSION",
    "KDE_SESSION_VERSION",
    "GNOME_DESKTOP_SESSION_ID",
];
const WINDOWS: [&str; 9] = [
    "SystemRoot",
    "SystemDrive",
    "USERPROFILE",
    "LOCALAPPDATA",
    "APPDATA",
    "ProgramData",
    "ProgramFiles",
    "TEMP",
    "Path",
];

/// Opens `url` in the browser; says whether there was something to open it with. What became of it the
/// person sees.
///
/// # Errors
///
/// There was, and it does not start.
pub fn open(host: &Host, url: &str) -> Result<bool, StartError> {
    let Some(opener) = opener(&host.environment, &|path| path.is_file()) else { return Ok(false) };
    let mut start = Start::new(&opener.program);
    start.args = opener.arguments.iter().map(Into::into).collect();
    start.args.push(url.into());
    start.env.clone_from(&opener.env);
    start.dir = opener.program.parent().map(Path::to_owned);
    // A browser that it starts outlives us, and has no business with our terminal.
    start.session = true;
    start.start().map(|_| true)
}

/// What opens addresses for the user of `environment`, if there is a desktop to do it on.
pub fn opener(environment: &Environment, exists: &dyn Fn(&Path) -> bool) -> Option<Opener> {
    let kept = |names: &[&str]| {
        let variable = |name: &&str| Some(((*name).into(), environment.get(name)?.to_owned()));
        names.iter().filter_map(variable).collect()
    };
    match environment.os {
        Os::Linux => {
            environment.get("DISPLAY").or_else(|| environment.get("WAYLAND_DISPLAY"))?;
            let path = environment.get("PATH").unwrap_or(OsStr::new("")).as_encoded_bytes();
            let mut places = path
                .split(|byte| *byte == b':')
                .filter_map(|place| str::from_utf8(place).ok())
                .filter(|place| place.starts_with('/'))
                .map(|place| environment.os.join(place.as_ref(), "xdg-open"));
            let program = places.find(|program| exists(program))?;
            Some(Opener { program, arguments: Vec::new(), env: kept(&LINUX) })
        }
        Os::Macos => {
            let program = PathBuf::from("/usr/bin/open");
            let env = kept(&["HOME", "PATH", "LANG", "TMPDIR", "__CF_USER_TEXT_ENCODING"]);
            exists(&program).then_some(Opener { program, arguments: Vec::new(), env })
        }
        Os::Windows => {
            let program =
                environment.os.join(environment.get("SystemRoot")?, "System32/rundll32.exe");
            let arguments = vec!["url.dll,FileProtocolHandler".to_owned()];
            exists(&program).then_some(Opener { program, arguments, env: kept(&WINDOWS) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(os: Os, variables: &[(&str, &str)], there: &str) -> Option<Opener> {
        let environment = Environment::new(os, variables.iter().copied());
        opener(&environment, &|path| path == Path::new(there))
    }

    #[test]
    fn each_system_has_its_own_way_to_open_an_address() {
        let desktop = [
            ("PATH", "relative:/usr/local/bin:/usr/bin"),
            ("WAYLAND_DISPLAY", "wayland-0"),
            ("AWS_SECRET_ACCESS_KEY", "canary"),
        ];
        let opener = found(Os::Linux, &desktop, "/usr/bin/xdg-open").unwrap();
        assert_eq!(opener.program, Path::new("/usr/bin/xdg-open"));
        assert!(opener.arguments.is_empty());
        let names: Vec<_> = opener.env.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names, ["PATH", "WAYLAND_DISPLAY"], "what is no browser's business stays here");

        let opener = found(Os::Macos, &[("HOME", "/Users/ann")], "/usr/bin/open").unwrap();
        assert_eq!(opener.program, Path::new("/usr/bin/open"));
        assert!(opener.arguments.is_empty());

        let program = "C:\\Windows\\System32\\rundll32.exe";
        let opener = found(Os::Windows, &[("SYSTEMROOT", "C:\\Windows")], program).unwrap();
        assert_eq!(opener.program, Path::new(program));
        assert_eq!(opener.arguments, ["url.dll,FileProtocolHandler"]);
    }

    #[test]
    fn without_a_desktop_or_a_program_nothing_is_opened() {
        let path = ("PATH", "/usr/bin");
        assert_eq!(found(Os::Linux, &[path], "/usr/bin/xdg-open"), None, "a remote shell");
        assert_eq!(found(Os::Linux, &[path, ("DISPLAY", ":0")], "/bin/xdg-open"), None);
        let here = [("PATH", "bin:"), ("DISPLAY", ":0")];
        assert_eq!(found(Os::Linux, &here, "bin/xdg-open"), None, "it depends on where we are");
        assert_eq!(found(Os::Macos, &[], "/bin/open"), None);
        assert_eq!(found(Os::Windows, &[], "rundll32.exe"), None);
    }
}
