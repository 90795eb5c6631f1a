//! `strongroom remote`: the team servers that this machine is logged in to, and which one is in use.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use strongroom_model::display::DisplaySafe;
use strongroom_model::principal::Name;
use strongroom_secrets::remote::{Address, Login};

use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::keys;
use crate::output::{Output, Report, Style, rfc3339, table};
use crate::remote::{Chosen, Remote, is_headless, kept};
use crate::{admin, confirm};

/// Log in to team servers, and choose the one that commands act on
///
/// `add`, `list`, `show`, `edit`, `remove`, `mcp`, `secrets`, `logs`, `approvals`, `grants`, `lock` and
/// `unlock` act on a team server with `--remote NAME`, or after `strongroom remote use NAME`; each says
/// on stderr where it acts. All other commands, and `--local`, act on this machine.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Log in to a team server with an API key of your tenant
    ///
    /// The key is asked for without being shown, tried at the server, and kept sealed in the vault
    /// together with the server's address: it is sent nowhere else. Nothing acts on the server yet: see
    /// `--remote` and `strongroom remote use`.
    #[command(after_help = "Examples:
  strongroom remote login https://team.example.com
  strongroom remote login https://team.example.com:8443 --name work --ca team-ca.pem
  pass show team/key | strongroom remote login https://team.example.com --key-stdin")]
    Login(LoginArgs),
    /// List the team servers that you are logged in to
    #[command(after_help = "Example:
  strongroom remote list")]
    List,
    /// Ask a team server who you are there, and what your key may do
    #[command(after_help = "Example:
  strongroom remote show work")]
    Show {
        /// Its name; the one that is in use, or the only one, where it is left out
        name: Option<Name>,
    },
    /// Let commands act on a team server, until `--none`
    #[command(after_help = "Examples:
  strongroom remote use work
  strongroom remote use --none")]
    Use {
        /// Its name
        #[arg(required_unless_present = "none")]
        name: Option<Name>,
        /// Let commands act on this machine again
        #[arg(long, conflicts_with = "name")]
        none: bool,
    },
    /// Forget the key of a team server
    #[command(after_help = "Example:
  strongroom remote logout work")]
    Logout {
        /// Its name
        name: Name,
    },
}

#[derive(Debug, clap::Args)]
struct LoginArgs {
    /// Its address: https, or http on this machine
    #[arg(value_name = "URL")]
    url: String,
    /// What you call it; made of its host where it is left out
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// Read the key from stdin; a person confirms the address
    #[arg(long)]
    key_stdin: bool,
    /// Believe the certificates of these authorities only: a PEM file, which is kept
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// The largest file of authorities.
const LARGEST_CA: u64 = 256 << 10;

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    match &args.command {
        Command::Login(args) => login(args, host, *output),
        Command::List => list(host, *output),
        Command::Show { name } => show(name.as_ref(), host, *output),
        Command::Use { name, .. } => choose(name.as_ref(), host, *output),
        Command::Logout { name } => logout(name, host, *output),
    }
}

fn login(args: &LoginArgs, host: &Host, output: Output) -> Result<(), Failure> {
    let address = Address::parse(&args.url).map_err(|why| {
        Failure::usage(format!("the address of a team server cannot be used: {why}"))
            .hint("write `https://HOST` or `https://HOST:PORT`")
    })?;
    let name = args.name.clone().map_or_else(|| name_of(&address), Ok)?;
    // Before the key is asked for: it may not be kept.
    let vault = kept::vault(host)?;
    if let Some(there) = kept::read(&vault, &name)?
        && there.address.origin() != address.origin()
    {
        let origin = there.address.origin();
        return Err(Failure::failed(format!("`{name}` is the team server {origin} already")).hint(
            format!("choose another `--name`, or run `strongroom remote logout {name}` first"),
        ));
    }
    let authority = args.ca.as_deref().map(|path| authority(path, host)).transpose()?;
    let key = keys::secret(host, args.key_stdin, &format!("API key of {}", address.origin()))?;
    let origin = address.origin();
    let login = Login::new(address, authority, key).ok_or_else(|| {
        Failure::failed("this is not the text of an API key, so nothing was sent")
            .hint("an admin of the tenant makes one: `strongroom key create --tenant TENANT`")
    })?;
    // Who typed the key at the terminal is the person. Otherwise a later command could lead to a server
    // that an agent chose.
    if args.key_stdin && !is_headless(host)? {
        let heading = "This logs in to a team server";
        let change =
            format!("calls {origin} `{name}`, for `--remote {name}` and `remote use {name}`");
        confirm::in_person(heading, &[change], host).inspect_err(|_| {
            admin::record_if_possible(host, &output, "remote.login.refused", name.as_str());
        })?;
    }
    let remote = Remote::with(Chosen { name: name.clone(), named: true }, login, &output)?;
    let whoami = remote.whoami()?;
    let login = remote.into_login().known_as(&whoami);
    if whoami.key_id != login.key_id {
        return Err(Failure::new(Exit::Unavailable, format!("{origin} takes us for another key"))
            .hint("ask its operator whether it is a team server"));
    }
    admin::record(host, &host.home()?, "remote.login", name.as_str())?;
    kept::put(&vault, &name, &login)?;
    let view = View::of(&name, &login, Some(host.clock.now()), host)?;
    output.report(&LoggedIn { view, scopes: whoami.scopes.clone() })?;
    output.hint(&format!(
        "add `--remote {name}` to a command, as in `strongroom mcp list --remote {name}`, or run \
         `strongroom remote use {name}`"
    ));
    Ok(())
}

/// `team-example-com` of `https://team.example.com:8443`.
fn name_of(address: &Address) -> Result<Name, Failure> {
    let origin = address.origin();
    let host = origin.split("://").nth(1).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { host.trim_matches('.') }
    });
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = host.chars().map(plain).take(64).collect();
    name.trim_matches('-')
        .parse()
        .map_err(|_| Failure::usage("its host makes no name for it").hint("add `--name NAME`"))
}

fn authority(path: &Path, host: &Host) -> Result<String, Failure> {
    let path = host.directory.join(path);
    let problem = |what: &str| {
        Failure::failed(format!("{} {what}", path.display()))
            .hint("let `--ca` name a PEM file with the certificate of your authority")
    };
    match std::fs::metadata(&path) {
        Ok(found) if found.len() > LARGEST_CA => return Err(problem("is larger than 256 KiB")),
        Ok(_) => {}
        Err(_) => return Err(problem("cannot be read")),
    }
    let text = std::fs::read_to_string(&path).map_err(|_| problem("cannot be read as text"))?;
    if text.contains("PRIVATE KEY") {
        return Err(problem("holds a private key, which is nobody else's to have"));
    }
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(problem("holds no certificate"));
    }
    Ok(text)
}

fn list(host: &Host, output: Output) -> Result<(), Failure> {
    let all = kept::all(&kept::vault(host)?)?;
    let views = all.iter().map(|kept| View::of(&kept.name, &kept.login, Some(kept.since), host));
    let views = views.collect::<Result<Vec<_>, _>>()?;
    let none = views.is_empty();
    output.report(&List(views))?;
    if none {
        output.say("You are logged in to no team server.");
        output.hint("run `strongroom remote login URL`");
    }
    Ok(())
}

fn show(name: Option<&Name>, host: &Host, output: Output) -> Result<(), Failure> {
    let name = match name {
        Some(name) => name.clone(),
        None => meant(host)?,
    };
    let login = kept::login(host, &name)?;
    let view = View::of(&name, &login, None, host)?;
    let remote = Remote::with(Chosen { name, named: true }, login, &output)?;
    let whoami = remote.whoami()?;
    output.report(&Shown {
        view,
        organization_id: whoami.organization_id,
        scopes: whoami.scopes,
        operator: whoami.operator,
    })
}

/// The one that is in use, or the only one.
fn meant(host: &Host) -> Result<Name, Failure> {
    if let Some(name) = kept::in_use(&host.home()?)? {
        return Ok(name);
    }
    let mut names = kept::names(&kept::vault(host)?)?;
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        (Some(_), false) => Err(Failure::usage("there are several team servers")
            .hint("give a name: `strongroom remote list`")),
        (None, _) => Err(Failure::failed("you are logged in to no team server")
            .hint("run `strongroom remote login URL`")),
    }
}

fn choose(name: Option<&Name>, host: &Host, output: Output) -> Result<(), Failure> {
    let home = host.home()?;
    let Some(name) = name else {
        admin::record_if_possible(host, &output, "remote.use", "none");
        kept::put_in_use(&home, None)?;
        return output.report(&Used { remote: None, url: None });
    };
    let login = kept::login(host, name)?;
    admin::record(host, &home, "remote.use", name.as_str())?;
    kept::put_in_use(&home, Some(name))?;
    output.report(&Used { remote: Some(name.to_string()), url: Some(login.address.origin()) })?;
    output
        .hint("add `--local` where this machine is meant; `strongroom remote use --none` ends it");
    Ok(())
}

fn logout(name: &Name, host: &Host, output: Output) -> Result<(), Failure> {
    let home = host.home()?;
    let vault = kept::vault(host)?;
    let was_in_use = kept::in_use(&home).ok().flatten().as_ref() == Some(name);
    // Its id is said while it can be: it may be what has to be switched off.
    let key_id = kept::read(&vault, name).ok().flatten().map(|login| login.key_id);
    if !kept::remove(&vault, name)? {
        return Err(kept::unknown(name, &kept::names(&vault)?));
    }
    admin::record_if_possible(host, &output, "remote.logout", name.as_str());
    if was_in_use {
        kept::put_in_use(&home, None)?;
    }
    output.report(&LoggedOut { name: name.to_string(), key_id, was_in_use })
}

#[derive(Serialize)]
struct View {
    name: String,
    url: String,
    tenant: String,
    tenant_id: String,
    key_id: String,
    own_authority: bool,
    in_use: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

impl View {
    fn of(
        name: &Name,
        login: &Login,
        since: Option<std::time::SystemTime>,
        host: &Host,
    ) -> Result<Self, Failure> {
        let in_use = kept::in_use(&host.home()?)?;
        Ok(Self {
            name: name.to_string(),
            url: login.address.origin(),
            tenant: login.tenant.clone(),
            tenant_id: login.tenant_id.clone(),
            key_id: login.key_id.clone(),
            own_authority: login.authority.is_some(),
            in_use: in_use.as_ref() == Some(name),
            since: since.map(rfc3339),
        })
    }

    fn lines(&self, style: Style) -> String {
        let mut text = format!(
            "{}\n  url     {}\n  tenant  {}\n  key     {}\n",
            style.bold(&self.name),
            self.url,
            DisplaySafe(&self.tenant),
            self.key_id
        );
        if self.own_authority {
            text += "  trust   an authority of its own\n";
        }
        text
    }
}

#[derive(Serialize)]
struct LoggedIn {
    #[serde(flatten)]
    view: View,
    scopes: Vec<String>,
}

impl Report for LoggedIn {
    fn text(&self, style: Style) -> String {
        format!("{}  may     {}\n", self.view.lines(style), words(&self.scopes))
    }
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    view: View,
    organization_id: String,
    scopes: Vec<String>,
    operator: bool,
}

impl Report for Shown {
    fn text(&self, style: Style) -> String {
        let mut text = format!("{}  may     {}\n", self.view.lines(style), words(&self.scopes));
        if self.operator {
            text += "  is      an operator of the installation\n";
        }
        if self.view.in_use {
            text += "  in use  commands act on it\n";
        }
        text
    }
}

fn words(scopes: &[String]) -> String {
    DisplaySafe(&scopes.join(", ")).to_string()
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<View>);

impl Report for List {
    fn text(&self, style: Style) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let head = ["NAME", "URL", "TENANT", "KEY", ""].map(|word| style.dim(word)).to_vec();
        let rows = self.0.iter().map(|view| {
            let used = if view.in_use { style.yellow("in use") } else { String::new() };
            let tenant = DisplaySafe(&view.tenant).to_string();
            vec![view.name.clone(), view.url.clone(), tenant, view.key_id.clone(), used]
        });
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}

#[derive(Serialize)]
struct Used {
    remote: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl Report for Used {
    fn text(&self, _: Style) -> String {
        match (&self.remote, &self.url) {
            (Some(name), Some(url)) => format!("commands act on `{name}` now: {url}\n"),
            _ => "commands act on this machine now\n".to_owned(),
        }
    }
}

#[derive(Serialize)]
struct LoggedOut {
    name: String,
    key_id: Option<String>,
    was_in_use: bool,
}

impl Report for LoggedOut {
    fn text(&self, _: Style) -> String {
        let still = self.key_id.iter().map(|id| {
            format!("It is good still: an admin ends it with `strongroom key disable {id}`.\n")
        });
        let mut text = format!("the key of `{}` is forgotten here\n", self.name);
        text.extend(still);
        if self.was_in_use {
            text += "Commands act on this machine now.\n";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_called_after_its_host() {
        for (url, name) in [
            ("https://team.example.com", "team-example-com"),
            ("https://Team.Example.com:8443/", "team-example-com"),
            ("http://127.0.0.1:8080", "127-0-0-1"),
            ("http://[::1]:8080", "1"),
            ("http://localhost", "localhost"),
        ] {
            assert_eq!(name_of(&Address::parse(url).unwrap()).unwrap().as_str(), name, "{url}");
        }
    }
}
