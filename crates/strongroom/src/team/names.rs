//! Organizations, tenants and keys, found by what people type: a name, or an id.

use strongroom_model::team::{ApiKey, KernelKey, KeyId, Organization, Tenant};
use strongroom_store::team::TeamError;

use super::Operator;
use crate::failure::Failure;
use crate::near::{nearest, there_is_no};

impl Operator {
    /// The organization with this name or id.
    pub fn organization(&self, text: &str) -> Result<Organization, Failure> {
        let all = self.wait(self.team.organizations())?;
        let found = all.iter().find(|one| one.name == text || one.id.as_str() == text);
        found.cloned().ok_or_else(|| {
            not_there("organization", "org", text, all.iter().map(|one| one.name.as_str()))
        })
    }

    /// The tenant with this name or id. A name that several organizations have is refused.
    pub fn tenant(&self, text: &str) -> Result<Tenant, Failure> {
        let found = match text.parse() {
            Ok(id) => self.wait(self.team.find_tenant(&id))?.into_iter().collect(),
            Err(_) => self.wait(self.team.tenants_named(text))?,
        };
        match <[Tenant; 1]>::try_from(found) {
            Ok([tenant]) => Ok(tenant),
            Err(found) if found.is_empty() => Err(not_there("tenant", "tenant", text, [])),
            Err(_) => Err(Failure::usage("several tenants have this name")
                .hint("name it by its id: `strongroom tenant list`")),
        }
    }

    /// The API key of `tenant` with this name or id.
    pub fn api_key(&self, tenant: &Tenant, text: &str) -> Result<ApiKey, Failure> {
        let all = self.wait(self.team.api_keys(&tenant.id))?;
        let text = public(text);
        one_of(all.iter().filter(|key| key.name == text || key.id.as_str() == text), || {
            not_there("key", "key", text, all.iter().map(|key| key.name.as_str()))
        })
    }

    /// The kernel key of `organization` with this name or id.
    pub fn kernel_key(
        &self,
        organization: &Organization,
        text: &str,
    ) -> Result<KernelKey, Failure> {
        let all = self.wait(self.team.kernel_keys(&organization.id))?;
        let text = public(text);
        one_of(all.iter().filter(|key| key.name == text || key.id.as_str() == text), || {
            not_there("kernel", "kernel", text, all.iter().map(|key| key.name.as_str()))
        })
    }

    /// Does what says whether there was anything to do it to.
    pub fn done(&self, act: impl Future<Output = Result<bool, TeamError>>) -> Result<(), Failure> {
        if self.wait(act)? { Ok(()) } else { Err(TeamError::NotFound.into()) }
    }
}

/// The id in what may be a whole key that somebody pasted.
fn public(text: &str) -> &str {
    let rest = ["mcp_", "krn_"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    let id = rest.split('_').next().unwrap_or(rest);
    if id.parse::<KeyId>().is_ok() { id } else { text }
}

fn one_of<'a, T: Clone + 'a>(
    mut found: impl Iterator<Item = &'a T>,
    none: impl FnOnce() -> Failure,
) -> Result<T, Failure> {
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.clone()),
        (Some(_), Some(_)) => {
            Err(Failure::usage("several keys have this name").hint("name it by its id"))
        }
        (None, _) => Err(none()),
    }
}

fn not_there<'a>(
    what: &str,
    command: &str,
    text: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Failure {
    let failure = Failure::failed(there_is_no(what, text));
    match nearest(text, known) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("run `strongroom {command} list`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_public_part_alone() {
        let id = "0123456789abcdef";
        for text in [id, "mcp_0123456789abcdef", "krn_0123456789abcdef_secret"] {
            assert_eq!(public(text), id);
        }
        assert_eq!(public("ci"), "ci");
        assert_eq!(public("mcp_x"), "mcp_x");
    }
}
