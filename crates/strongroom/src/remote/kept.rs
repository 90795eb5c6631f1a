//! What this machine keeps of team servers: a sealed row of the vault for each, and the name of the one
//! that is in use.

use std::sync::Arc;
use std::time::SystemTime;

use strongroom_model::principal::Name;
use strongroom_seal::{FileError, SecureDir};
use strongroom_secrets::remote::Login;
use strongroom_store::{SecretUse, Vault};

use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::paths::Home;
use crate::{home, near};

/// The name of the server that is in use: a file of the configuration's directory. It names one that
/// somebody logged in to, so it can send no key to a new place.
const IN_USE: &str = "remote";

/// A team server that we are logged in to.
pub struct Kept {
    /// What it is called here.
    pub name: Name,
    /// Whose key is sent where.
    pub login: Login,
    /// Since when.
    pub since: SystemTime,
}

/// The vault of this machine.
pub fn vault(host: &Host) -> Result<Vault, Failure> {
    Ok(home::open(&host.home()?, Arc::clone(&host.clock))?)
}

/// Which server is in use, if any is.
pub fn in_use(home: &Home) -> Result<Option<Name>, Failure> {
    let read = SecureDir::open(&home.config).and_then(|dir| dir.read(IN_USE, 256));
    let unclear = |failure: Failure| failure.hint("add `--local` to act on this machine");
    let text = match read {
        Ok(text) => text,
        Err(FileError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(unclear(error.into())),
    };
    let name = std::str::from_utf8(&text).ok().and_then(|text| text.trim_end().parse().ok());
    name.map(Some).ok_or_else(|| {
        let path = home.config.join(IN_USE);
        let problem = format!("{} does not name a team server", path.display());
        unclear(Failure::new(Exit::Unavailable, problem))
    })
}

/// Uses `name` from now on, or this machine.
pub fn put_in_use(home: &Home, name: Option<&Name>) -> Result<(), Failure> {
    let dir = SecureDir::open(&home.config)?;
    match name {
        Some(name) => dir.write_atomic(IN_USE, format!("{name}\n").as_bytes())?,
        None => drop(dir.remove(IN_USE)?),
    }
    Ok(())
}

/// Every server that we are logged in to, by name.
pub fn all(vault: &Vault) -> Result<Vec<Kept>, Failure> {
    let mut all = Vec::new();
    for stored in vault.list()? {
        if let SecretUse::Remote(name) = stored.used_by
            && let Some(login) = read(vault, &name)?
        {
            all.push(Kept { name, login, since: stored.updated });
        }
    }
    Ok(all)
}

/// The login that is called `name`.
pub fn login(host: &Host, name: &Name) -> Result<Login, Failure> {
    let vault = vault(host)?;
    match read(&vault, name)? {
        Some(login) => Ok(login),
        None => Err(unknown(name, &names(&vault)?)),
    }
}

/// There is none of this name.
pub fn unknown(name: &Name, known: &[Name]) -> Failure {
    let near = near::nearest(name.as_str(), known.iter().map(Name::as_str));
    Failure::failed(format!("you are not logged in to a team server `{name}`")).hint(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("run `strongroom remote login URL --name {name}`"),
    })
}

/// The names.
pub fn names(vault: &Vault) -> Result<Vec<Name>, Failure> {
    let names = vault.list()?.into_iter().filter_map(|stored| match stored.used_by {
        SecretUse::Remote(name) => Some(name),
        _ => None,
    });
    Ok(names.collect())
}

/// What is kept under `name`, if anything is.
pub fn read(vault: &Vault, name: &Name) -> Result<Option<Login>, Failure> {
    let place = place(name);
    match vault.used_by(&place)? {
        None => return Ok(None),
        Some(used_by) if used_by == SecretUse::Remote(name.clone()) => {}
        Some(used_by) => {
            return Err(Failure::new(
                Exit::Denied,
                format!("`local://{place}` is for `{used_by}` and for nothing else"),
            )
            .hint("choose another `--name`"));
        }
    }
    let damaged = |_| {
        Failure::new(Exit::Unavailable, format!("what is kept of `{name}` cannot be read"))
            .hint(format!("run `strongroom remote logout {name}`, and log in again"))
    };
    match vault.get_many(&[&place])?.pop() {
        Some(Ok(secret)) => Login::read(&secret).map(Some).map_err(damaged),
        _ => Err(damaged(strongroom_secrets::remote::LoginError)),
    }
}

/// Keeps `login` as `name`.
pub fn put(vault: &Vault, name: &Name, login: &Login) -> Result<(), Failure> {
    Ok(vault.put(&place(name), &SecretUse::Remote(name.clone()), &login.to_secret())?)
}

/// Forgets `name`; says whether there was anything.
pub fn remove(vault: &Vault, name: &Name) -> Result<bool, Failure> {
    let is_ours = vault.used_by(&place(name))? == Some(SecretUse::Remote(name.clone()));
    Ok(is_ours && vault.remove(&place(name))?)
}

fn place(name: &Name) -> String {
    format!("remote/{name}")
}
