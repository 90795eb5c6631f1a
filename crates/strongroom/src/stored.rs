//! The secrets of services in the vault: their names, and who may use them.

use strongroom_model::ports::Purpose;
use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_store::{SecretUse, Vault};

use crate::failure::{Exit, Failure};

/// Where the secret `field` of `service` is stored.
pub fn place(service: &Name, field: &str) -> SecretRef {
    let plain =
        |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '_' };
    let field: String = field.chars().map(plain).collect();
    format!("local://{service}/{field}").parse().expect("names and plain fields make a reference")
}

/// Refuses a reference whose secret `service` may not use: otherwise whoever can add a service
/// could send the key of another one to a place of their own.
pub fn check_use(vault: &Vault, reference: &SecretRef, service: &Name) -> Result<(), Failure> {
    if reference.scheme() != "local" {
        return Ok(());
    }
    match vault.used_by(reference.path())? {
        None => Err(Failure::failed(format!("nothing is stored at `{reference}`"))
            .hint("run `strongroom list` to see what is stored, or give the key by `--key-stdin`")),
        Some(used_by) if used_by.permits(Purpose::Service(service)) => Ok(()),
        Some(used_by) => Err(Failure::new(
            Exit::Denied,
            format!("`{reference}` is for `{used_by}` and for nothing else"),
        )
        .hint("give this service a key of its own")),
    }
}

/// Stores `secret` at `reference` for `service`. What is there for another use stays.
pub fn put(
    vault: &Vault,
    reference: &SecretRef,
    service: &Name,
    secret: &Secret,
) -> Result<(), Failure> {
    let used_by = match vault.used_by(reference.path())? {
        Some(_) => {
            check_use(vault, reference, service)?;
            vault.used_by(reference.path())?
        }
        None => None,
    };
    let used_by = used_by.unwrap_or_else(|| SecretUse::Service(service.clone()));
    Ok(vault.put(reference.path(), &used_by, secret)?)
}

/// Removes what is stored for `service` alone; says how many secrets that were.
pub fn remove_all(vault: &Vault, service: &Name) -> Result<usize, Failure> {
    let mut removed = 0;
    for stored in vault.list()? {
        if stored.used_by == SecretUse::Service(service.clone()) && vault.remove(&stored.name)? {
            removed += 1;
        }
    }
    Ok(removed)
}
