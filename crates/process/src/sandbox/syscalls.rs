//! System calls that no server needs, and that rooms have been left by.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op,
    SeccompCondition as Condition, SeccompFilter, SeccompRule as Rule, TargetArch,
};

/// Other rooms, other processes, the kernel itself, the clock.
const FORBIDDEN: [i64; 47] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
];

/// Families of sockets that are not refused: local ones, IPv4, IPv6, and what tells a program which
/// addresses it has. Not among them: packets, virtual machines' hosts, the kernel's ciphers.
const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// What would put a new process into a room that it is root of.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// Orders to a terminal that type for whoever sits there.
const TYPING: [u64; 2] = [0x5412, 0x541C];

/// The bit by which x86-64 kernels may offer every call a second time (x32).
#[cfg(target_arch = "x86_64")]
const SECOND: Option<i64> = Some(0x4000_0000);
#[cfg(not(target_arch = "x86_64"))]
const SECOND: Option<i64> = None;

/// From now on this process, and what it becomes and starts, cannot make them. It cannot get rights by
/// what it starts either.
pub(super) fn bound() -> Result<(), Error> {
    // What a filter cannot look into must not be there: the C library then does it by `clone`.
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    seccompiler::apply_filter(&program(clone3, libc::ENOSYS)?)?;
    seccompiler::apply_filter(&program(rules()?, libc::EPERM)?)
}

fn rules() -> Result<BTreeMap<i64, Vec<Rule>>, Error> {
    let mut rules: BTreeMap<i64, Vec<Rule>> =
        FORBIDDEN.iter().map(|call| (*call, Vec::new())).collect();
    #[cfg(target_arch = "x86_64")]
    rules.extend([libc::SYS_ioperm, libc::SYS_iopl].map(|call| (call, Vec::new())));
    let flags = NAMESPACES.iter().map(|flag| {
        let flag = u64::from(flag.cast_unsigned());
        rule(vec![Condition::new(0, Len::Qword, Op::MaskedEq(flag), flag)])
    });
    rules.insert(libc::SYS_clone, flags.collect::<Result<_, _>>()?);
    let families = FAMILIES
        .iter()
        .map(|family| Condition::new(0, Len::Dword, Op::Ne, u64::from(family.cast_unsigned())));
    rules.insert(libc::SYS_socket, vec![rule(families.collect())?]);
    let typing =
        TYPING.iter().map(|order| rule(vec![Condition::new(1, Len::Dword, Op::Eq, *order)]));
    rules.insert(libc::SYS_ioctl, typing.collect::<Result<_, _>>()?);
    if let Some(bit) = SECOND {
        let second: Vec<_> =
            rules.iter().map(|(call, rules)| (call | bit, rules.clone())).collect();
        rules.extend(second);
    }
    Ok(rules)
}

fn rule(conditions: Vec<Result<Condition, seccompiler::BackendError>>) -> Result<Rule, Error> {
    let conditions = conditions.into_iter().collect::<Result<Vec<_>, _>>();
    conditions.and_then(Rule::new).map_err(Error::Backend)
}

fn program(rules: BTreeMap<i64, Vec<Rule>>, error: i32) -> Result<BpfProgram, Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(Error::Backend)?;
    let refuse = SeccompAction::Errno(error.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch);
    filter.and_then(BpfProgram::try_from).map_err(Error::Backend)
}
