//! The key of what clients keep for us: of this process alone.

use std::sync::LazyLock;

use strongroom_seal::{Key, MacKey};

/// `None`: the system has no random bytes, and nothing is handed out.
pub(super) static KEY: LazyLock<Option<MacKey>> =
    LazyLock::new(|| Some(Key::generate().ok()?.mac("strongroom protocol state")));
