//! What can be asked: every route, and what it does.

pub(crate) mod authorize;
pub(crate) mod kernels;
pub(crate) mod keys;
pub(crate) mod locks;
pub(crate) mod organizations;
pub(crate) mod servers;
pub(crate) mod tenants;

use serde::Serialize;
use strongroom_model::secret::Secret;
use strongroom_model::team::Scope;

use crate::problem::Problem;
use crate::route::{Access, Data, Handle, Recorded, Route};
use crate::shape::{Field, Kind, Shape};

/// Every route.
pub(crate) fn all() -> impl Iterator<Item = &'static Route> {
    let groups: [&'static [Route]; 7] = [
        servers::ROUTES,
        authorize::ROUTES,
        organizations::ROUTES,
        tenants::ROUTES,
        keys::ROUTES,
        kernels::ROUTES,
        locks::ROUTES,
    ];
    groups.into_iter().flatten()
}

/// What a row of the table says unless it says otherwise.
const BLANK: Route = Route {
    method: "POST",
    path: "",
    aliases: &[],
    access: Access::Tenant(Scope::Admin, None, false),
    act: "",
    subject: &[],
    about: "",
    path_fields: Shape::EMPTY,
    fields: Shape::EMPTY,
    answer: Shape::EMPTY,
    says_status: false,
    repeatable: false,
    recorded: Recorded::After,
    handle: Handle(|_, _| Box::pin(async { Err(Problem::not_found()) })),
};

/// A row that is named by a UUID in the path.
const BY_UUID: Shape = Shape::of(&[Field::required("id", Kind::UUID, "")]);

/// A key that is named in the path.
const BY_KEY: Shape = Shape::of(&[Field::required("id", Kind::KEY_ID, "The key's public id.")]);

/// What a deletion is answered with.
const DELETED: Shape = Shape::of(&[
    Field::required("id", Kind::text(16, 36, crate::shape::Form::Label), ""),
    Field::required("deleted", Kind::Flag, ""),
]);

fn deleted(done: bool, id: &str) -> Result<Data, Problem> {
    #[derive(Serialize)]
    struct Deleted<'a> {
        id: &'a str,
        deleted: bool,
    }
    if done { Data::of(&Deleted { id, deleted: true }) } else { Err(Problem::not_found()) }
}

/// The text of a new key: it leaves in the answer to whoever made it, and is kept nowhere.
fn shown_once(token: &Secret) -> Result<&str, Problem> {
    std::str::from_utf8(token.expose()).map_err(|_| Problem::invalid("the key is not a text"))
}
