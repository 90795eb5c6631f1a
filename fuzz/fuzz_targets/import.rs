//! Whatever a file of others says, a draft names its own slots and no other secret; a client's file may
//! name those that its user wrote.
//!
//! Input: a byte of flags, then the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom_gateway::registry::Text;
use strongroom_gateway::registry::import::{Options, read};

fuzz_target!(|data: &[u8]| {
    let Some((flags, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let values =
        [("a".to_owned(), "op://Vault/Item/field".to_owned()), ("b".to_owned(), "{{".to_owned())];
    let options = Options {
        allow_visible_secrets: flags & 1 != 0,
        values: if flags & 2 != 0 { &values } else { &[] },
        way: (flags & 4 != 0).then_some("remote"),
        ..Options::default()
    };
    let Ok(import) = read(&Text::new("f", text), &options) else { return };
    let is_client = import.kind == "a client's configuration";
    for draft in import.servers.into_iter().flatten() {
        assert!(draft.visible == draft.server.shows_secrets());
        assert!(!draft.visible || options.allow_visible_secrets);
        let own = format!("local://{}/", draft.name);
        for reference in draft.server.references() {
            let is_slot = draft.slots.iter().any(|slot| slot.reference == *reference);
            assert!(is_slot && reference.as_str().starts_with(&own) || is_client, "{reference}");
        }
        let _ = draft.table();
    }
});
