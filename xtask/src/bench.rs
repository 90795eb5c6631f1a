//! `cargo xtask bench`.

use crate::shell::Shell;

pub(crate) fn run(_: &Shell) -> Result<(), String> {
    Err("nothing is measured yet".to_owned())
}
