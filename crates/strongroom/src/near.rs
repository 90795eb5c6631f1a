//! Did you mean: the known word that is nearest to one that is not known.

use strongroom_config::NoService;

pub use strongroom_model::near::{nearest, there_is_no};

use crate::failure::Failure;

/// There is no service of this name.
pub fn no_service<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Failure {
    NoService::new(name, known).into()
}
