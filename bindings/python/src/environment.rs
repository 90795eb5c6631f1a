//! What the process knows about itself. The one place that reads its environment.

use std::path::PathBuf;
use std::sync::Arc;

use strongroom_sdk::{Environment, Os, Surroundings};

use crate::notices;

/// The surroundings of a server whose script is `program`, with the window in the folder `window`.
///
/// The environment is read anew each time: a server may set a variable before it names itself.
#[expect(clippy::disallowed_methods, reason = "here it is captured, to be passed in from here on")]
pub(crate) fn surroundings(program: Option<PathBuf>, window: PathBuf, cache: bool) -> Surroundings {
    Surroundings {
        program,
        window: Some(window),
        notices: Some(Arc::new(notices::tell)),
        cache,
        ..Surroundings::new(Environment::new(Os::CURRENT, std::env::vars_os()))
    }
}
