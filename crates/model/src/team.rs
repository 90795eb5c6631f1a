//! Many tenants on one installation: who they are, what they call with, and what they register.
//!
//! An *organization* has *tenants*; a tenant has servers, credentials and services, and *API keys*
//! whose holders act for it. An organization also has *kernel keys*, whose holders act for any of its
//! tenants and name it with every call. [`TenantCtx`] is what authentication ends in.

mod id;
mod key;
mod scope;
mod server;

use std::fmt;
use std::time::SystemTime;

use crate::principal::Name;

pub use id::{CredentialId, IdError, KeyId, OrganizationId, ServerId, ServiceId, TenantId};
pub use key::{ApiKey, KernelKey, KeyKind, Token};
pub use scope::{Scope, ScopeError, Scopes};
pub use server::{
    FieldError, McpServer, NewServer, RawServer, SecretField, ServerChange, ServerSpec, advertised,
    is_label,
};

/// An organization: it has tenants and kernel keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name, unique in the installation.
    pub name: String,
    /// When it was made.
    pub created: SystemTime,
}

/// A tenant: all that belongs to it is seen by nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its id; never used again after the tenant was deleted.
    pub id: TenantId,
    /// The organization that it belongs to.
    pub organization: OrganizationId,
    /// Its name, unique in the organization.
    pub name: String,
    /// Whether its keys, and kernels for it, are let in.
    pub enabled: bool,
    /// When it was made.
    pub created: SystemTime,
}

/// On whose behalf something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The holder of an API key of the tenant.
    ApiKey(KeyId),
    /// The holder of a kernel key of its organization.
    Kernel(KeyId),
    /// The operator, at the command line or with the scope `admin`.
    Operator,
}

/// A tenant, and who acts for it: made by authentication, or by the operator's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TenantCtx {
    /// Whose data.
    pub tenant: TenantId,
    /// Who asks.
    pub actor: Actor,
}

impl TenantCtx {
    /// The name of whoever holds the key, in rules, grants and records of calls. It has the tenant in it
    /// where one key is good for several, because sessions are found by it. The operator calls nothing.
    pub fn principal(&self) -> Option<Name> {
        let name = match self.actor {
            Actor::ApiKey(key) => format!("key-{key}"),
            Actor::Kernel(key) => format!("kernel-{key}-{}", self.tenant),
            Actor::Operator => return None,
        };
        Some(name.parse().expect("ids have hexadecimal digits and hyphens: 60 characters at most"))
    }
}

/// As the records of what was administered have it.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiKey(id) => write!(f, "key {id}"),
            Self::Kernel(id) => write!(f, "kernel {id}"),
            Self::Operator => f.write_str("operator"),
        }
    }
}

/// Longest name of an organization, a tenant or a key, in characters.
pub const LONGEST_NAME: usize = 200;

/// Checks a name that people read: 1 to [`LONGEST_NAME`] characters, no control characters, no space
/// at either end.
pub fn check_name(name: &str) -> Result<(), FieldError> {
    let length = name.chars().count();
    if length == 0 || length > LONGEST_NAME {
        return Err(FieldError::new("name", "has 1 to 200 characters"));
    }
    if name.chars().any(char::is_control) || name.trim() != name {
        return Err(FieldError::new("name", "has no control characters and no space at its ends"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_somebody_else_for_each_tenant_and_an_api_key_has_one() {
        let key: KeyId = "0123456789abcdef".parse().unwrap();
        let of = |byte, actor| TenantCtx { tenant: TenantId::from_random([byte; 16]), actor };
        let name = of(1, Actor::ApiKey(key)).principal().unwrap();
        assert_eq!(name.as_str(), "key-0123456789abcdef");
        let kernel = |byte| of(byte, Actor::Kernel(key)).principal().unwrap();
        assert_ne!(kernel(1), kernel(2));
        assert_eq!(of(1, Actor::Operator).principal(), None);
    }
}
