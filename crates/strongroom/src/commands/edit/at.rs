//! `strongroom edit` on a team server.

use strongroom_model::reference::SecretRef;
use strongroom_secrets::remote::answers::Service;

use super::{Args, Change, references};
use crate::commands::add::refuse_files;
use crate::config::tenant::CredentialField;
use crate::environment::Host;
use crate::failure::Failure;
use crate::keys::Key;
use crate::output::Output;
use crate::remote::{Remote, credentials, definition};
use crate::view::{Brief, ServiceView};
use crate::widening;

/// Changes a service of a team's tenant, or gives it a new key.
pub fn at(args: &Args, remote: &Remote, host: &Host, output: &Output) -> Result<(), Failure> {
    args.refuse_empty()?;
    refuse_files(&args.flags, &args.key)?;
    if !args.program.is_empty() {
        return Err(Failure::usage("programs run on this machine only").hint("add `--local`"));
    }
    let there = definition::find(remote, &args.name)?;
    let old = definition::of(&there)?;
    let (auth, fields) = args.fields(&old)?;
    let key = if args.changes_key() {
        Some(args.key.obtain(host, output, old.name.as_str(), &fields)?)
    } else {
        None
    };
    let secrets = references(&old, &fields, key.as_ref())?;
    if key.is_some() {
        refuse_anothers(&secrets, &args.name)?;
    }
    let mut view = ServiceView::new(&old);
    if !args.is_about_key_only() {
        let mut table = definition::table(&there.definition)?;
        Change { args, host, auth: &auth, secrets: &secrets }.write(&mut table, &old)?;
        let new = definition::json(table)?;
        let wider = widening::of(&old, &definition::service(&args.name, &new)?);
        remote.confirm(&wider, host)?;
        refuse_changed(remote, &there)?;
        view = definition::put(remote, &args.name, &new)?;
    }
    if let Some(Key::Values(values)) = &key {
        let places = secrets.into_iter().map(|(_, reference)| reference);
        let pairs: Vec<_> = places.zip(values).collect();
        credentials::store(remote, &pairs)?;
    }
    output.report(&Brief(view))?;
    if key.is_some() {
        output.say("The new key is used from the next call on.");
    }
    Ok(())
}

/// A credential is stored as a whole: that of another service is not replaced by the way.
fn refuse_anothers(secrets: &[(String, SecretRef)], name: &str) -> Result<(), Failure> {
    let place = |reference| CredentialField::of(reference).map(|place| place.service.to_owned());
    let other = secrets.iter().filter_map(|(_, reference)| place(reference));
    match other.into_iter().find(|service| service != name) {
        None => Ok(()),
        Some(other) => {
            Err(Failure::failed(format!("`{name}` takes its key from the credential of `{other}`"))
                .hint(format!("run `strongroom secrets set {other}`, with each of its fields")))
        }
    }
}

/// Somebody may have changed it while a person was asked.
fn refuse_changed(remote: &Remote, before: &Service) -> Result<(), Failure> {
    if definition::find(remote, &before.name)?.revision == before.revision {
        return Ok(());
    }
    Err(Failure::failed("the service was changed by somebody else in between")
        .hint("run the command again"))
}
