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
            bus: std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some_and(|address| {
                // Anything else would have a program started that outlives us.
                !address.is_empty() && address != "autolaunch:"
            }) || std::env::var_os("XDG_RUNTIME_DIR")
                .is_some_and(|folder| std::path::Path::new(&folder).join("bus").exists()),
        }
    }
}
