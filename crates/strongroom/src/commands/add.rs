//! `strongroom add`: a service, its key and its policy.

mod at;

use std::sync::Arc;

use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use toml_edit::{Item, Table};

use crate::config::edit::Editor;
use crate::environment::Host;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::keys::{Key, KeyFlags};
use crate::near;
use crate::output::Output;
use crate::programs::ProgramFlags;
use crate::programs::add::Add;
use crate::templates::{self, Template};
use crate::view::{Brief, ServiceView};
use crate::{admin, confirm, home, stored};

pub use at::at;
pub(super) use at::refuse_files;

/// Add a service: a key, where it may go, and what agents may do with it
///
/// NAME may be that of a known service, which `strongroom templates` lists: its URL, its way to take
/// the key and a careful policy are known. Otherwise say where it is and how it takes its key. Without
/// rules agents may read: GET and HEAD.
///
/// A service may be a program, too: `git`, `gh` and `curl` are known, any other is added with
/// `--command`. Agents run it with `exec`; without rules they may do nothing with it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom add github
  strongroom add stripe --key-from-env STRIPE_KEY
  strongroom add jira --set site=acme --set user=me@acme.example
  pass show acme | strongroom add acme --base-url https://api.acme.example \\
      --auth bearer --key-stdin
  strongroom add tickets --base-url https://t.example/v2 \\
      --auth headers --auth-header X-Api-Key \\
      --allow 'GET|POST /tickets/**' --deny 'DELETE /**'
  strongroom add git --askpass github.com --workdir ~/src/site
  strongroom add deploy --command ./deploy.sh --env 'TOKEN={{token}}' \\
      --allow 'deploy.sh staging'")]
pub struct Args {
    /// What agents call it
    name: Name,
    /// Use the template of this name under another one
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// What the template has to know of your account (repeatable): site=acme
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    program: ProgramFlags,
    #[command(flatten)]
    key: KeyFlags,
}

/// Adds the service.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let Args { name, flags, program, key, .. } = args;
    let add = Add { name, template: args.template.as_deref(), flags, program, key };
    if add.is_meant() {
        return add.run(host, output);
    }
    let home = host.home()?;
    let vault = home::open(&home, Arc::clone(&host.clock))?;
    let plan = Plan::new(args)?;
    // Asked before the key is, and again when it is our turn.
    refuse_second(&Editor::open(&home)?, &args.name)?;
    let key = args.key.obtain(host, output, &plan.prompt, &plan.fields)?;
    if let Key::At(references) = &key {
        let mut wider = Vec::new();
        for reference in references {
            stored::check_use(&vault, reference, &args.name)?;
            if reference.scheme() == "local" {
                wider.push(format!("uses the stored secret `{reference}`"));
            }
        }
        if !wider.is_empty() && !Editor::open(&home)?.config().headless {
            confirm::by_a_person(&wider, host).inspect_err(|_| {
                admin::record_if_possible(host, output, "service.add.refused", args.name.as_str());
            })?;
        }
    }

    let mut editor = Editor::open(&home)?;
    refuse_second(&editor, &args.name)?;
    let secrets = plan.references(&args.name, &key);
    editor.put(args.name.as_str(), plan.table(args, host, &secrets));
    let config = editor.check()?;
    admin::record(host, &home, "service.add", args.name.as_str())?;
    if let Key::Values(values) = &key {
        for ((_, reference), value) in secrets.iter().zip(values) {
            stored::put(&vault, reference, &args.name, value)?;
        }
    }
    editor.save()?;

    key.warn_if_absent(host, output);
    output.report(&Brief(ServiceView::new(config.service(args.name.as_str())?)))?;
    output.hint("run `strongroom connect` to let a client use it");
    Ok(())
}

fn refuse_second(editor: &Editor, name: &Name) -> Result<(), Failure> {
    if editor.config().names().any(|there| there == name) {
        return Err(Failure::failed(format!("there is a service `{name}` already")).hint(format!(
            "run `strongroom edit {name}` to change it, `strongroom edit {name} --key-stdin` for a new key"
        )));
    }
    Ok(())
}

/// What will be written, before the key is known.
struct Plan {
    template: Option<Template>,
    auth: String,
    fields: Vec<String>,
    prompt: String,
}

impl Plan {
    fn new(args: &Args) -> Result<Self, Failure> {
        let template = find_template(args)?;
        if template.is_none() && args.flags.base_url.is_none() {
            return Err(no_url(&args.name));
        }
        let template = match template {
            Some(template) => Some(filled(template, args)?),
            None if args.set.is_empty() => None,
            None => {
                return Err(Failure::usage("`--set` is for what a template leaves open")
                    .hint("run `strongroom templates` to see the templates"));
            }
        };
        let now = template.as_ref().map(|template| (template.auth.as_str(), &*template.secrets));
        let (auth, fields) = args.flags.auth_fields(now)?;
        let has_user = template.iter().any(|template| template.auth_text("user").is_some());
        if auth == "basic" && args.flags.user.is_none() && !has_user {
            return Err(
                Failure::usage("`--user` is missing").hint("`--auth basic` needs `--user NAME`")
            );
        }
        let prompt = match &template {
            Some(template) => format!("{}: {}", template.about, template.key),
            None => args.name.to_string(),
        };
        Ok(Self { template, auth, fields, prompt })
    }

    /// Where each secret is, or will be.
    fn references(&self, name: &Name, key: &Key) -> Vec<(String, SecretRef)> {
        let reference = |(at, field): (usize, &String)| match key {
            Key::At(references) => (field.clone(), references[at].clone()),
            Key::Values(_) => (field.clone(), stored::place(name, field)),
        };
        self.fields.iter().enumerate().map(reference).collect()
    }

    fn table(&self, args: &Args, host: &Host, secrets: &[(String, SecretRef)]) -> Table {
        let mut table = Table::new();
        let mut base = self.template.as_ref().map(|t| t.table.clone()).unwrap_or_default();
        if let Some(url) = args.flags.base_url.as_deref() {
            flags::set(&mut base, "base_url", url);
        }
        // The order in which people read it: where, how, what.
        if let Some(url) = base.remove("base_url") {
            table.insert("base_url", url);
        }
        let template = self.template.as_ref();
        let user = template.and_then(|template| template.auth_text("user"));
        flags::put_auth(&mut table, &self.auth, args.flags.user.as_deref().or(user), secrets);
        for (key, value) in template.iter().flat_map(|template| &template.auth_settings) {
            if let Some(auth) = table.get_mut("auth").and_then(Item::as_table_like_mut)
                && !auth.contains_key(key)
            {
                auth.insert(key, Item::Value(value.clone()));
            }
        }
        flags::put_auth_settings(&mut table, args.flags.auth_settings());
        for (key, value) in &base {
            table.insert(key, value.clone());
        }
        if self.template.is_none() && !args.flags.has_rules() {
            flags::append(&mut table, "allow", ["GET /**", "HEAD /**"]);
        }
        args.flags.apply(&mut table, &host.directory);
        let comment = match &self.template {
            Some(template) => format!("\n# {}: {}\n", template.about, template.docs),
            None => "\n".to_owned(),
        };
        table.decor_mut().set_prefix(comment);
        table
    }
}

/// The template with what the person said. What a flag says instead needs no setting.
fn filled(mut template: Template, args: &Args) -> Result<Template, Failure> {
    if args.flags.base_url.is_some() {
        template.table.remove("base_url");
    }
    if args.flags.auth.as_ref().is_some_and(|auth| *auth != template.auth) {
        template.auth_settings.clear();
    } else if args.flags.user.is_some() {
        template.auth_settings.retain(|(key, _)| key != "user");
    }
    template.fill(&args.set).map_err(|error| {
        let hint = error.hint();
        Failure::usage(error).hint(hint)
    })
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write `NAME=VALUE`".to_owned()),
    }
}

fn find_template(args: &Args) -> Result<Option<Template>, Failure> {
    let Some(name) = &args.template else { return Ok(templates::find(args.name.as_str())) };
    let Some(template) = templates::find(name) else {
        let names = templates::names();
        let failure = Failure::failed("there is no such template");
        return Err(match near::nearest(name, names.iter().map(String::as_str)) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("run `strongroom templates` to see those that there are"),
        });
    };
    Ok(Some(template))
}

fn no_url(name: &Name) -> Failure {
    let names = templates::names();
    let failure =
        Failure::usage(format!("`{name}` is not a known service, and `--base-url` is missing"));
    match near::nearest(name.as_str(), names.iter().map(String::as_str)) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(
            "add `--base-url https://HOST --auth bearer`, or use one of `strongroom templates`",
        ),
    }
}
