//! What was kept in the sealed file while there was no keychain, on a machine that has one by now.
//!
//! It is still there for whoever asks: a secret that the keychain does not have is read from the file, what is
//! stored goes to the keychain and leaves the file, and what is deleted or cleared is gone from both.
//!
//! Who has the name is told in each of the two places by what is written down there: two programs of one name
//! may have come to them in different orders.

use super::identity::{self, Owner};
use super::space::Space;
use super::{Storage, apart};
use crate::error::Error;

impl Storage {
    /// Our secrets in the sealed file, beside those of `space` in the keychain. `None` where there is no
    /// such file to look at.
    pub(super) fn left(&self, space: &Space) -> Result<Option<Space>, Error> {
        let Some(file) = self.places()?.left.clone() else { return Ok(None) };
        let base = Space::new(file, self.server().service());
        let is_first = space.service() == base.service();
        Ok(match identity::owner(&base, self.surroundings.program.as_deref())? {
            Owner::Us => Some(base),
            // They go with the name, which is told by the keychain now.
            Owner::Nobody | Owner::Gone(_) => is_first.then_some(base),
            Owner::Other { mark, .. } => Some(base.of(&apart(base.service(), &mark))),
        })
    }

    /// What `read` finds among them. A file that cannot be opened keeps nobody from the keychain: it has
    /// nothing, and that is told once.
    pub(super) fn of_left<T: Default>(
        &self,
        space: &Space,
        read: impl FnOnce(&Space) -> Result<T, Error>,
    ) -> T {
        let found = self.left(space).and_then(|left| left.as_ref().map_or(Ok(T::default()), read));
        found.unwrap_or_else(|error| {
            self.tell("sealed_file_unusable", &format!(
                "secrets of `{}` that were stored while there was no keychain cannot be read, and are left out: {error}",
                self.server()
            ));
            T::default()
        })
    }
}

/// Removes `names` from the file, and all of it where no secret is left; says whether one was there. The turn to
/// write is ours.
pub(super) fn take<'a>(left: &Space, names: impl Iterator<Item = &'a str>) -> Result<bool, Error> {
    let mut taken = false;
    for name in names {
        if left.remove(name)? {
            left.unlist(name)?;
            taken = true;
        }
    }
    if taken && left.names()?.0.is_empty() {
        left.clear()?;
    }
    Ok(taken)
}
