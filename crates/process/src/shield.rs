//! What this process keeps from the others of its user.

use std::io;

/// Keeps the memory of this process out of core files and, on Linux, away from debuggers and from
/// `/proc/PID/mem` of the same user.
///
/// This raises the cost, it is no boundary: the same user may still start us under a debugger.
pub fn shield() -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let maximum = getrlimit(Resource::Core).maximum;
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum })?;
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};

        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}
