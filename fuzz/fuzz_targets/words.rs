//! A command line becomes words that quoting gives back; what it was split at stands in no word that was
//! not quoted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom_gateway::registry::words;

fuzz_target!(|line: &str| {
    let split = match words::split(line) {
        Ok(split) => split,
        Err(error) => {
            assert!(!error.hint().is_empty());
            return;
        }
    };
    assert!(!split[0].is_empty());
    assert!(!split.iter().any(|word| word.contains('\0')));
    if !line.contains(['\'', '"', '\\']) {
        let plain: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        assert_eq!(split, plain);
        assert!(!line.contains(['$', '`', ';', '|', '&', '<', '>', '(', ')', '*', '?', '\n']));
    }
    let quote = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
    let quoted = split.iter().map(quote).collect::<Vec<_>>().join(" ");
    assert_eq!(words::split(&quoted).expect("it was quoted"), split);
});
