//! No network: a program that is told secrets has nobody to tell them but its stdout.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op,
    SeccompCondition as Condition, SeccompFilter, SeccompRule as Rule, TargetArch,
};

/// From here on sockets of this machine only. A display on another machine is let be: without the
/// network it could not be drawn on.
pub(super) fn none(display: Option<&OsStr>) {
    if display.is_none_or(is_here) {
        // Where the kernel has no filters, the window is shown without one.
        drop(program().and_then(|program| seccompiler::apply_filter_all_threads(&program)));
    }
}

/// `:0`, `unix:0` or a path; `host:0` is elsewhere.
fn is_here(display: &OsStr) -> bool {
    let display = display.as_encoded_bytes();
    display.is_empty()
        || [b":".as_slice(), b"unix:", b"/"].iter().any(|here| display.starts_with(here))
}

fn program() -> Result<BpfProgram, Error> {
    let families = [libc::AF_UNIX]
        .map(|family| Condition::new(0, Len::Dword, Op::Ne, u64::from(family.cast_unsigned())));
    let families = families.into_iter().collect::<Result<Vec<_>, _>>().map_err(Error::Backend)?;
    let rule = Rule::new(families).map_err(Error::Backend)?;
    let rules = BTreeMap::from([(libc::SYS_socket, vec![rule])]);
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(Error::Backend)?;
    let refuse = SeccompAction::Errno(libc::EAFNOSUPPORT.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch);
    filter.and_then(BpfProgram::try_from).map_err(Error::Backend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_without_a_host_is_here() {
        for here in ["", ":0", ":97.0", "unix:0", "/run/user/1/x"] {
            assert!(is_here(here.as_ref()), "{here}");
        }
        for elsewhere in ["localhost:10.0", "10.0.0.1:0", "host:0"] {
            assert!(!is_here(elsewhere.as_ref()), "{elsewhere}");
        }
    }

    #[test]
    fn the_filter_is_one_that_the_kernel_can_run() {
        assert!(!program().unwrap().is_empty());
    }
}
