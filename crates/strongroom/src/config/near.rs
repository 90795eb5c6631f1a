//! Did you mean: the known word that is nearest to one that is not known.

pub use strongroom_model::near::nearest;

use crate::failure::Failure;

/// There is no service of this name.
pub fn no_service<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Failure {
    let failure = Failure::failed(there_is_no("service", name));
    match nearest(name, known) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint("run `strongroom list` to see the services"),
    }
}

/// Says that there is no `what` of this name. The name is repeated only where it is one at all: what
/// was typed may be a secret in the wrong place.
pub fn there_is_no(what: &str, name: &str) -> String {
    match name.parse::<strongroom_model::principal::Name>() {
        Ok(name) if name.as_str().len() <= 32 => format!("there is no {what} `{name}`"),
        _ => format!("there is no such {what}"),
    }
}
