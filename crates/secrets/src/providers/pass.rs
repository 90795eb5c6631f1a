//! `pass://NAME` and `pass://NAME#FIELD`: the standard Unix password manager.
//!
//! An entry is a file that gpg opens. Its first line is the password; `FIELD` names a further line,
//! `FIELD: value`. Nobody is asked for a passphrase: where gpg's agent does not have it, the store
//! counts as locked.

use std::path::PathBuf;

use strongroom_model::ports::{BoxFuture, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use zeroize::Zeroize as _;

use super::program::{Answered, Call, PASS_ENV, PROGRAM, Program, Tool, each};
use super::usable;
use crate::settings::{Context, Field, Kind, SettingError, Settings};

/// What `[providers.pass]` takes.
pub(super) const FIELDS: &[Field] = &[
    Field {
        name: "store",
        kind: Kind::Path,
        about: "the store, where it is not `~/.password-store`",
    },
    Field {
        name: "gnupg_home",
        kind: Kind::Path,
        about: "gpg's directory, where it is not `~/.gnupg`",
    },
    PROGRAM,
    PASS_ENV,
];

/// The program.
pub(super) static TOOL: Tool =
    Tool { scheme: "pass", name: "pass", windows: "pass", keep: &["XDG_RUNTIME_DIR"] };

/// gpg asks nobody, and says by `--status-fd` what happened.
const GPG_OPTIONS: &str = "--batch --no-tty --pinentry-mode=error --status-fd=2";

/// Asks `pass`.
pub(super) struct PassProvider {
    program: Program,
    store: PathBuf,
}

/// The provider of `[providers.pass]`.
pub(super) fn new(settings: &Settings, context: &Context) -> Result<PassProvider, SettingError> {
    let mut program = Program::new(&TOOL, settings, context)?;
    let store = settings.text("store").map(PathBuf::from);
    let store = store.unwrap_or_else(|| context.home.join(".password-store"));
    program.set("PASSWORD_STORE_DIR", &store);
    program.set("PASSWORD_STORE_GPG_OPTS", GPG_OPTIONS);
    if let Some(home) = settings.text("gnupg_home") {
        program.set("GNUPGHOME", home);
    }
    Ok(PassProvider { program, store })
}

impl PassProvider {
    async fn value(&self, reference: &SecretRef) -> Result<Secret, ResolveError> {
        if !self.store.is_dir() {
            return Err(ResolveError::absent(
                "pass",
                format!("there is no password store at `{}`", self.store.display()),
                "run `strongroom provider set pass --set store=/path/to/it`",
            ));
        }
        // Asked for a directory, `pass` lists it, and that is no secret.
        if !self.store.join(format!("{}.gpg", reference.path())).is_file() {
            return Err(ResolveError::NotFound { reference: reference.clone() });
        }
        let args = ["show", reference.path()].map(Into::into).to_vec();
        let answered = self.program.ask(Call { args, ..Call::default() }).await?;
        if answered.code != Some(0) {
            return Err(trouble(&answered, reference));
        }
        if answered.flooded {
            return answered.into_secret(reference);
        }
        let mut line = match reference.fragment() {
            None => first_line(&answered.stdout),
            Some(field) => field_of(&answered.stdout, field)
                .ok_or_else(|| ResolveError::NotFound { reference: reference.clone() })?,
        };
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let secret = usable(Secret::new(std::mem::take(&mut line)), reference);
        line.zeroize();
        secret
    }
}

impl Provider for PassProvider {
    fn scheme(&self) -> &'static str {
        "pass"
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        Box::pin(each(refs, |reference| self.value(reference)))
    }
}

fn first_line(text: &[u8]) -> Vec<u8> {
    text.split(|byte| *byte == b'\n').next().unwrap_or_default().to_vec()
}

/// The value in the first line behind the password that starts with the field's name.
fn field_of(text: &[u8], field: &str) -> Option<Vec<u8>> {
    text.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = line[..colon].trim_ascii();
        name.eq_ignore_ascii_case(field.as_bytes()).then(|| line[colon + 1..].trim_ascii().to_vec())
    })
}

fn trouble(answered: &Answered, reference: &SecretRef) -> ResolveError {
    if answered.says(&["is not in the password store"]) {
        return ResolveError::NotFound { reference: reference.clone() };
    }
    if answered.says(&["nodata", "no valid openpgp data"]) {
        return ResolveError::Unusable {
            reference: reference.clone(),
            why: "its file is not one that gpg has made",
        };
    }
    if answered.says(&["decryption_failed"]) {
        // gpg names the keys that the file is for, and after that the one that it has, if any.
        let said = answered.said();
        let for_whom = said.rfind("enc_to").unwrap_or_default();
        return if said[for_whom..].contains("key_considered") {
            ResolveError::Locked { scheme: "pass".to_owned() }
        } else {
            ResolveError::Denied {
                reference: reference.clone(),
                why: "it is encrypted for a key that gpg does not have here".to_owned(),
            }
        };
    }
    ResolveError::unreachable("pass", "its program failed in a way that is not known")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_line_behind_the_first() {
        let text = b"pw: x\nUser: bob\nurl:https://x:1/\nempty:\n";
        let field = |name| field_of(text, name).map(|value| String::from_utf8(value).unwrap());
        assert_eq!(first_line(text), b"pw: x");
        assert_eq!(field("user").as_deref(), Some("bob"));
        assert_eq!(field("url").as_deref(), Some("https://x:1/"));
        assert_eq!(field("empty").as_deref(), Some(""));
        assert_eq!((field("pw"), field("https")), (None, None));
    }
}
