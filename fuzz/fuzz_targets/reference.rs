//! A reference that is read prints back as the same text, and its parts are harmless.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom_model::reference::SecretRef;

fuzz_target!(|text: &str| {
    let reference = match text.parse::<SecretRef>() {
        Ok(reference) => reference,
        Err(error) => {
            let _ = error.hint();
            return;
        }
    };
    assert_eq!(reference.to_string(), text);
    let fragment = reference.fragment().map_or(String::new(), |part| format!("#{part}"));
    assert_eq!(format!("{}://{}{fragment}", reference.scheme(), reference.path()), text);
    let path = reference.path().strip_prefix('/').unwrap_or(reference.path());
    assert!(!path.split('/').any(|part| matches!(part, "" | "." | "..")));
    assert!(!text.chars().any(char::is_control));
});
