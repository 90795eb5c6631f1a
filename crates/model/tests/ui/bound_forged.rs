use std::sync::Arc;

use strongroom_model::injection::{Bound, Credential};
use strongroom_model::service::Origin;

fn forge(origin: Origin) -> Bound {
    Bound { credential: Arc::new(Credential::default()), to: origin }
}

fn main() {
    let _ = forge;
}
