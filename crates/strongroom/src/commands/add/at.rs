//! `strongroom add` on a team server.

use strongroom_secrets::remote::answers::{Done, Services};

use super::{Args, Plan};
use crate::environment::Host;
use crate::failure::Failure;
use crate::flags::Flags;
use crate::keys::{Key, KeyFlags};
use crate::output::Output;
use crate::programs::add::Add;
use crate::remote::{Remote, credentials, definition};
use crate::view::Brief;

/// Adds a service to a team's tenant, and stores its key there.
pub fn at(args: &Args, remote: &Remote, host: &Host, output: &Output) -> Result<(), Failure> {
    let Args { name, flags, program, key, .. } = args;
    let add = Add { name, template: args.template.as_deref(), flags, program, key };
    if add.is_meant() {
        return Err(Failure::usage("programs run on this machine only")
            .hint("add `--local`, or add an API with `--base-url`"));
    }
    refuse_files(flags, key)?;
    let plan = Plan::new(args)?;
    let there: Services = remote.get_exact(definition::PATH, &[])?;
    if there.services.iter().any(|service| service.name == name.as_str()) {
        return Err(Failure::failed(format!("there is a service `{name}` already"))
            .hint(format!("run `strongroom edit {name} --remote {}` to change it", remote.name)));
    }
    let Key::Values(values) = key.obtain(host, output, &plan.prompt, &plan.fields)? else {
        return Err(no_reference());
    };
    let key = Key::Values(values);
    let secrets = plan.references(name, &key);
    let table = plan.table(args, host, &secrets);
    let new = definition::json(table)?;
    // A mistake is said before anything is sent.
    definition::service(name.as_str(), &new)?;
    let view = definition::put(remote, name.as_str(), &new)?;
    if let Key::Values(values) = &key {
        let places = secrets.into_iter().map(|(_, reference)| reference);
        let pairs: Vec<_> = places.zip(values).collect();
        credentials::store(remote, &pairs).inspect_err(|_| {
            // A service without its key is of no use: it goes again, if it can.
            drop(remote.delete::<Done>(definition::PATH, &[("name", name.as_str())]));
        })?;
    }
    output.report(&Brief(view))
}

/// A team's service names nothing of this machine.
pub(in super::super) fn refuse_files(flags: &Flags, key: &KeyFlags) -> Result<(), Failure> {
    if flags.ca_file.is_some() {
        return Err(Failure::usage("`--ca-file` is not for the services of a team"));
    }
    if key.key_from.is_empty() { Ok(()) } else { Err(no_reference()) }
}

fn no_reference() -> Failure {
    Failure::usage("a team server takes the key itself, not a reference to it")
        .hint("give it by `--key-stdin`, or at the prompt")
}
