//! Whether there is a display, and what the window program is told of it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use strongroom_model::paths::{Environment, Os};

use crate::session::with_session;

/// What leads to the display, the session and the language. Nothing here names a file that is loaded as
/// code (`GTK_MODULES`, `GTK_PATH`, `LD_PRELOAD` and their like), or a folder of styles.
const LINUX: [&str; 10] = [
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION_TYPE",
    "XDG_CURRENT_DESKTOP",
    "DBUS_SESSION_BUS_ADDRESS",
    "AT_SPI_BUS_ADDRESS",
    "LANG",
    "LANGUAGE",
];

/// How it looks: words and numbers, and nothing else.
const LOOKS: [&str; 6] =
    ["GTK_THEME", "GDK_SCALE", "GDK_DPI_SCALE", "GTK_A11Y", "XCURSOR_THEME", "XCURSOR_SIZE"];

const MACOS: [&str; 3] = ["HOME", "LANG", "__CF_USER_TEXT_ENCODING"];

const WINDOWS: [&str; 3] = ["SystemRoot", "TEMP", "TMP"];

/// `environment`, if it leads to a display that a window can be on: as it is, or with what the login
/// session tells. Whether the display answers is known when it is asked.
pub(crate) fn with_display(environment: &Environment) -> Option<Environment> {
    if has_display(environment) {
        return Some(environment.clone());
    }
    with_session(environment, &LINUX).filter(has_display)
}

fn has_display(environment: &Environment) -> bool {
    let set = |name: &&str| environment.get(name).is_some();
    environment.os != Os::Linux || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(set)
}

/// The whole environment of the window program.
pub(crate) fn variables(environment: &Environment) -> Vec<(OsString, OsString)> {
    let names = match environment.os {
        Os::Linux => &LINUX[..],
        Os::Macos => &MACOS[..],
        Os::Windows => &WINDOWS[..],
    };
    let value = |name: &str| Some((OsString::from(name), environment.get(name)?.to_owned()));
    let mut variables: Vec<_> = names.iter().filter_map(|name| value(name)).collect();
    if environment.os != Os::Windows {
        let locale = |(name, _): &(&OsStr, &OsStr)| name.as_encoded_bytes().starts_with(b"LC_");
        let owned = |(name, value): (&OsStr, &OsStr)| (name.to_owned(), value.to_owned());
        variables.extend(environment.variables().filter(locale).map(owned));
    }
    if environment.os == Os::Linux {
        // The program has no home, where the display's key is looked for else.
        if let (None, Some(home)) = (environment.get("XAUTHORITY"), environment.get("HOME")) {
            let key = Path::new(home).join(".Xauthority").into_os_string();
            variables.push(("XAUTHORITY".into(), key));
        }
        let looks = LOOKS.iter().filter_map(|name| value(name));
        variables.extend(looks.filter(|(_, value)| is_word(value)));
        // Another backend would serve the window over the network.
        let known = |value: &OsStr| {
            matches!(value.to_str(), Some("x11" | "wayland" | "wayland,x11" | "x11,wayland"))
        };
        variables.extend(value("GDK_BACKEND").filter(|(_, value)| known(value)));
    }
    variables
}

fn is_word(value: &OsStr) -> bool {
    let bytes = value.as_encoded_bytes();
    bytes.len() <= 64
        // A dot in front could lead to another folder.
        && !bytes.starts_with(b".")
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_:.+".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(os: Os, variables: &[(&str, &str)]) -> Vec<String> {
        let environment = Environment::new(os, variables.iter().copied());
        let mut shown: Vec<_> = super::variables(&environment)
            .into_iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect();
        shown.sort_unstable();
        shown
    }

    #[test]
    fn the_program_gets_what_leads_to_the_display_and_nothing_that_loads_code() {
        let variables = [
            ("DISPLAY", ":0"),
            ("XAUTHORITY", "/run/user/1000/xauth"),
            ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/user/1000/bus"),
            ("LANG", "de_DE.UTF-8"),
            ("LC_TIME", "C"),
            ("GTK_THEME", "Adwaita:dark"),
            ("GDK_SCALE", "2"),
            ("GDK_BACKEND", "x11"),
            ("PATH", "/usr/bin"),
            ("HOME", "/home/me"),
            ("GTK_MODULES", "canary"),
            ("GTK_PATH", "/canary"),
            ("GIO_EXTRA_MODULES", "/canary"),
            ("XDG_DATA_HOME", "/canary"),
            ("LD_PRELOAD", "/canary.so"),
            ("API_KEY", "canary"),
        ];
        assert_eq!(
            given(Os::Linux, &variables),
            [
                "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus",
                "DISPLAY=:0",
                "GDK_BACKEND=x11",
                "GDK_SCALE=2",
                "GTK_THEME=Adwaita:dark",
                "LANG=de_DE.UTF-8",
                "LC_TIME=C",
                "XAUTHORITY=/run/user/1000/xauth",
            ]
        );
        assert_eq!(
            given(Os::Macos, &variables),
            ["HOME=/home/me", "LANG=de_DE.UTF-8", "LC_TIME=C"]
        );
        assert!(given(Os::Windows, &variables).is_empty());
    }

    #[test]
    fn how_it_looks_is_a_word_and_its_backend_is_the_display() {
        let strange =
            [("GTK_THEME", "../../tmp/canary"), ("GDK_SCALE", "2 3"), ("GDK_BACKEND", "broadway")];
        assert!(given(Os::Linux, &strange).is_empty());
    }

    #[test]
    fn a_display_is_named_on_linux_and_always_there_elsewhere() {
        let on = |os, variables: &[(&str, &str)]| {
            has_display(&Environment::new(os, variables.iter().copied()))
        };
        assert!(on(Os::Linux, &[("DISPLAY", ":0")]) && on(Os::Linux, &[("WAYLAND_DISPLAY", "w")]));
        assert!(!on(Os::Linux, &[("DISPLAY", ""), ("PATH", "/usr/bin")]));
        assert!(on(Os::Macos, &[]) && on(Os::Windows, &[]));
    }
}
