//! A template is read without a panic, is within its limits and prints as itself; what is shown of it
//! hides nothing; only the exact words allow.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom_model::form::{Choice, FIELDS, Form, LABEL, visible, visible_line};

fuzz_target!(|bytes: &[u8]| {
    let choice = Choice::read(bytes);
    assert_eq!(Choice::read(choice.to_json().as_bytes()), choice);
    let form = match Form::read(bytes) {
        Ok(form) => form,
        Err(error) => {
            assert!(!error.as_str().is_empty());
            return;
        }
    };
    assert_eq!(Form::read(form.to_json().as_bytes()), Ok(form.clone()));
    assert!(form.fields.len() <= FIELDS && form.title.len() <= LABEL);
    let shown = visible(&form.description);
    assert_eq!(visible(&shown), shown);
    for field in &form.fields {
        assert_eq!(visible_line(&field.name), field.name);
        assert!(!field.name.starts_with("__"));
        let label = field.shown_label();
        assert_eq!(visible_line(&label), label);
        let _ = field.check(&field.default);
        let _ = field.check(&field.help_text);
    }
});
