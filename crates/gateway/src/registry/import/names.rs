//! Names of others, made to fit ours.

use strongroom_model::principal::Name;

/// The longest name.
const LONGEST: usize = 64;

/// The last part of a name such as `io.github.somebody/my-server`, in the characters that ours have.
pub(super) fn fit(raw: &str) -> Option<Name> {
    let last = raw.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    words(last, false).parse().ok()
}

/// The name of a slot: lower-case words joined by `-`.
pub(super) fn slot(raw: &str) -> String {
    let words = words(raw, true);
    if words.is_empty() { "secret".to_owned() } else { words }
}

/// `raw` in lower case, with one `-` for each run of other characters. A capital behind a small
/// letter begins a word where `humps` says so.
fn words(raw: &str, humps: bool) -> String {
    let mut out = String::new();
    let mut before = ' ';
    for c in raw.chars() {
        if c.is_ascii_alphanumeric() {
            if humps && c.is_ascii_uppercase() && before.is_ascii_lowercase() {
                out.push('-');
            }
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
        before = c;
        if out.len() >= LONGEST {
            break;
        }
    }
    out.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_part_of_a_name_is_made_to_fit() {
        for (raw, name) in [
            ("io.github.x/my-server", Some("my-server")),
            ("com.example/My_Server.v2", Some("my-server-v2")),
            ("GitHub (work)", Some("github-work")),
            ("x; id", Some("x-id")),
            ("../x", Some("x")),
            ("-rf", Some("rf")),
            ("a/", Some("a")),
            ("日本", None),
            ("", None),
            ("/", None),
        ] {
            assert_eq!(fit(raw).as_ref().map(Name::as_str), name, "{raw}");
        }
        assert_eq!(fit(&"x".repeat(10_000)).unwrap().as_str().len(), 64);
    }

    #[test]
    fn a_slot_has_words_with_dashes() {
        for (raw, words) in [
            ("GITHUB_PERSONAL_ACCESS_TOKEN", "github-personal-access-token"),
            ("apiKey", "api-key"),
            ("X-API-Key", "x-api-key"),
            ("stripe.secret_key", "stripe-secret-key"),
            ("--token", "token"),
            ("{}", "secret"),
        ] {
            assert_eq!(slot(raw), words);
        }
    }

    proptest! {
        #[test]
        fn what_fits_is_a_name_and_every_slot_makes_a_reference(raw: String) {
            if let Some(name) = fit(&raw) {
                prop_assert!(name.as_str().len() <= LONGEST);
            }
            let reference = format!("local://x/{}", slot(&raw));
            prop_assert!(reference.parse::<strongroom_model::reference::SecretRef>().is_ok());
        }
    }
}
