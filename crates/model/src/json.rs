//! JSON that is judged: strictly read, and kept as it was written.
//!
//! [`check`] refuses what two readers could understand differently; nothing else here is given a text
//! that it has not let through. [`Members`] are the parts of an object with their text, for what passes
//! through byte for byte; [`Json`] is a whole value, for rules that look into a body.

mod members;
mod strict;
mod tree;

pub use members::{Members, string};
pub use strict::{Flaw, check};
pub(crate) use tree::fold;
pub use tree::{Json, Object};
