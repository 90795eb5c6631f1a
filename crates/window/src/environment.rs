//! What the process was started with, captured once and passed in from there on.

use std::ffi::OsString;

/// What the process was started with.
pub(crate) struct Environment {
    /// The arguments, without the program's name.
    pub(crate) arguments: Vec<OsString>,
    /// The display of X11, which may be another machine's.
    #[cfg(target_os = "linux")]
    pub(crate) display: Option<OsString>,
    /// Whether there is a bus of the session that can be found without starting one.
    #[cfg(target_os = "linux")]
    pub(crate) bus: bool,
}

impl Environment {
    /// Captures this process. Called once, in `main`, before anything else.
    #[cfg_attr(
        target_os = "linux",
        expect(clippy::disallowed_methods, reason = "the one place that reads the environment")
    )]
    pub(crate) fn capture() -> Self {
        Self {
            arguments: std::env::args_os().skip(1).collect(),
            #[cfg(target_os = "linux")]
            display: std::env::var_os("DISPLAY"),
            #[cfg(target_os = "linux")]
            bus: std::env::var_os("DBUS_SESSION_BUS_ADDRESS")
                .is_some_and(|address| is_found(&address))
                || std::env::var_os("XDG_RUNTIME_DIR")
                    .is_some_and(|folder| std::path::Path::new(&folder).join("bus").exists()),
        }
    }
}

/// Whether this address leads to a bus that is there. One that is launched (`autolaunch:`, also with a scope behind
/// it or as one of several) would be a program that outlives us.
#[cfg(target_os = "linux")]
fn is_found(address: &std::ffi::OsStr) -> bool {
    let address = address.as_encoded_bytes();
    !address.is_empty()
        && !address.split(|byte| *byte == b';').any(|one| one.starts_with(b"autolaunch:"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_bus_that_would_be_launched_counts_as_none() {
        let is_found = |address: &str| is_found(address.as_ref());
        for address in ["unix:path=/run/user/7/bus", "tcp:host=localhost,port=1;unix:path=/x"] {
            assert!(is_found(address), "{address}");
        }
        for address in [
            "",
            "autolaunch:",
            "autolaunch:scope=*user",
            "unix:path=/x;autolaunch:",
            "autolaunch:;unix:path=/x",
        ] {
            assert!(!is_found(address), "{address}");
        }
    }
}
