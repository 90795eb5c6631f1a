//! What can be asked: every route, and what it does.

pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod authorize;
pub(crate) mod credentials;
pub(crate) mod grants;
pub(crate) mod kernels;
pub(crate) mod keys;
pub(crate) mod locks;
pub(crate) mod organizations;
pub(crate) mod servers;
pub(crate) mod services;
pub(crate) mod tenants;
pub(crate) mod tools;
pub(crate) mod whoami;

use serde::Serialize;
use strongroom_model::secret::Secret;
use strongroom_model::team::Scope;

use crate::problem::Problem;
use crate::route::{Access, Data, Handle, Route};
use crate::shape::{Field, Form, Kind, Shape};

/// Every route.
pub(crate) fn all() -> impl Iterator<Item = &'static Route> {
    let groups: [&'static [Route]; 14] = [
        servers::ROUTES,
        credentials::ROUTES,
        authorize::ROUTES,
        organizations::ROUTES,
        tenants::ROUTES,
        keys::ROUTES,
        kernels::ROUTES,
        audit::ROUTES,
        locks::ROUTES,
        services::ROUTES,
        whoami::ROUTES,
        approvals::ROUTES,
        tools::ROUTES,
        grants::ROUTES,
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
    recorded: true,
    handle: Handle(|_, _| Box::pin(async { Err(Problem::not_found()) })),
};

const COUNT: Field =
    Field::required("count", Kind::Number { least: 0, most: u32::MAX as u64 }, "How many.");
const CURSOR: Field =
    Field::optional("cursor", Kind::text(1, 512, Form::Printable), "Where the page before ended.");
const NEXT_CURSOR: Field =
    Field::optional("next_cursor", Kind::text(1, 512, Form::Printable), "Where this page ended.");

/// A row that is named by a UUID in the path.
const BY_UUID: Shape = Shape::of(&[Field::required("id", Kind::UUID, "")]);

/// A key that is named in the path.
const BY_KEY: Shape = Shape::of(&[Field::required("id", Kind::KEY_ID, "The key's public id.")]);

/// What a deletion is answered with.
const DELETED: Shape = Shape::of(&[
    Field::required("id", Kind::text(16, 36, Form::Label), ""),
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
