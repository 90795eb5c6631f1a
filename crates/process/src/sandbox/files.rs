//! The kernel's landlock (since Linux 5.13): what the room's own view of the files says, once more.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};

/// The newest that we know: what the kernel does not know of it is left out.
const KNOWN: ABI = ABI::V6;

/// Whether the kernel has it.
pub(super) fn supported() -> bool {
    let first = AccessFs::from_all(ABI::V1);
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(first).and_then(Ruleset::create).is_ok()
}

/// From now on this process, and what it becomes and starts, writes only below `write`, `/tmp` and
/// `/dev`. It signals nobody outside of the room. Without `network` it neither connects nor listens by
/// TCP. Where the kernel has no landlock, nothing changes.
pub(super) fn bound(write: &[PathBuf], network: bool) -> Result<(), RulesetError> {
    let own = ["/tmp", "/dev"].map(Path::new);
    let writable = write.iter().map(PathBuf::as_path).chain(own);
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?;
    if !network {
        ruleset = ruleset.handle_access(AccessNet::from_all(KNOWN))?;
    }
    ruleset
        .create()?
        .add_rules(path_beneath_rules(["/"], AccessFs::from_read(KNOWN)))?
        .add_rules(path_beneath_rules(writable, AccessFs::from_all(KNOWN)))?
        .restrict_self()?;
    Ok(())
}
