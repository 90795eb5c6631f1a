//! A file of variables is kept byte for byte but for the variable that is written, which is read back.
//!
//! Input: a value, a zero byte, a file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom_gateway::launcher::dotenv::EnvFile;
use strongroom_model::secret::Secret;

fuzz_target!(|data: &[u8]| {
    let Some(at) = data.iter().position(|byte| *byte == 0) else { return };
    let (value, text) = (Secret::new(data[..at].to_vec()), &data[at + 1..]);
    let Ok(file) = EnvFile::parse(Secret::new(text.to_vec())) else { return };
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    for name in &names {
        let _ = file.get(name);
    }
    let Ok(written) = file.with(&[("FUZZED", &value)]) else { return };
    let read = written.get("FUZZED").expect("it was written").expect("it is there");
    assert!(read.ct_eq(&value));
    let (back, removed) = written.without(&["FUZZED"]).expect("it was read before");
    assert_eq!(removed, 1);
    let (rest, _) = file.without(&["FUZZED"]).expect("it was read before");
    if names.iter().any(|name| name == "FUZZED") {
        assert!(back.text().ct_eq(rest.text()));
        return;
    }
    // A line end may have been added behind the last line, so that the variable has its own.
    let mut ended = text.to_vec();
    if !ended.is_empty() && ended.last() != Some(&b'\n') {
        ended.push(b'\n');
    }
    assert!(back.text().ct_eq(&Secret::new(ended)));
});
