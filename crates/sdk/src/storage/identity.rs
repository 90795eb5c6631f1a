//! Two servers of one name, told apart by which program they are.
//!
//! The first program that stores something under a name is written down beside its secrets, in the
//! item [`ACCOUNT`]. Another program that comes with the same name gets a namespace of its own,
//! `com.mcp.{server}#{mark}`, and is told so: it neither reads the first one's secrets nor writes
//! over them. Where the first program is gone (moved, installed anew elsewhere), the next one takes
//! over what it had, and is told that; one that only cannot be looked at is not gone.
//!
//! This keeps servers from each other by mistake, not by force: whoever may use the keychain of the
//! user can read all of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strongroom_model::display::escape_line;
use strongroom_model::secret::Secret;
use strongroom_seal::{hex, sha256};

use super::space::Space;
use crate::error::Error;

/// The account of the item that says which program has the name.
pub(super) const ACCOUNT: &str = "__server_identity__";

/// Who has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// This program, or one that is not known to be another.
    Us,
    /// No program yet.
    Nobody,
    /// A program that is not there any more.
    Gone(String),
    /// Another program.
    Other {
        /// Which.
        program: String,
        /// What this program's namespace is marked with.
        mark: String,
    },
}

/// What the item says.
#[derive(Deserialize, Serialize)]
struct Record {
    program: String,
}

/// Who has the name whose items are in `base`.
pub(super) fn owner(base: &Space, program: Option<&Path>) -> Result<Owner, Error> {
    let Some(program) = program else { return Ok(Owner::Us) };
    let Some(item) = base.value(ACCOUNT)? else { return Ok(Owner::Nobody) };
    let record = serde_json::from_slice::<Record>(item.expose()).ok();
    Ok(judge(record.map(|record| record.program), &canonical(program), &|path| {
        path.try_exists().unwrap_or(true)
    }))
}

/// Writes down that the name is this program's. The turn to write is ours.
pub(super) fn claim(base: &Space, program: &Path) -> Result<(), Error> {
    let program = canonical(program).to_string_lossy().into_owned();
    let record = serde_json::to_vec(&Record { program }).expect("one text is JSON");
    base.put(ACCOUNT, Arc::new(Secret::new(record)))
}

fn judge(recorded: Option<String>, program: &Path, exists: &dyn Fn(&Path) -> bool) -> Owner {
    let us = program.to_string_lossy();
    let mark = hex(&sha256(us.as_bytes())[..8]);
    match recorded {
        // Not one of our records: whoever wrote it is not us.
        None => Owner::Other { program: UNKNOWN.to_owned(), mark },
        Some(recorded) if recorded == us => Owner::Us,
        Some(recorded) => {
            let shown = escape_line(&recorded, 300).0;
            if exists(Path::new(&recorded)) {
                Owner::Other { program: shown, mark }
            } else {
                Owner::Gone(shown)
            }
        }
    }
}

/// What is said of a program whose record cannot be read.
const UNKNOWN: &str = "a program that is not known";

/// One path of a program: links are followed where it is there.
fn canonical(program: &Path) -> PathBuf {
    program.canonicalize().unwrap_or_else(|_| program.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_program_has_the_name_and_another_is_told_apart() {
        let us = Path::new("/srv/a.py");
        let of = |recorded: Option<&str>, there: bool| {
            judge(recorded.map(str::to_owned), us, &|_| there)
        };
        assert!(matches!(of(None, true), Owner::Other { .. }), "it cannot be read");
        assert_eq!(of(Some("/srv/a.py"), true), Owner::Us);
        assert_eq!(of(Some("/srv/b.py"), false), Owner::Gone("/srv/b.py".to_owned()));
        let Owner::Other { program, mark } = of(Some("/srv/b.py"), true) else { panic!() };
        assert_eq!((program.as_str(), mark.len()), ("/srv/b.py", 16));
    }

    #[test]
    fn a_forged_record_cannot_act_on_a_terminal() {
        let owner = judge(Some("/x\u{1b}[2J".to_owned()), Path::new("/srv/a.py"), &|_| true);
        let Owner::Other { program, .. } = owner else { panic!() };
        assert_eq!(program, "/x\\u{1b}[2J");
    }
}
