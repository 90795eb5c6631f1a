//! Starts a tenant's server: looked at again, permitted, given its credentials, recorded, confined.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use strongroom_gateway::launcher::{self, Place, Plan, System};
use strongroom_gateway::upstream::far::{self, Address, Reach};
use strongroom_gateway::upstream::running::Child;
use strongroom_gateway::upstream::server::{Launch, Launched};
use strongroom_model::audit::{Draft, Kind, Lookup};
use strongroom_model::base_url::BaseUrl;
use strongroom_model::code::{Code, Refusal};
use strongroom_model::far::Site;
use strongroom_model::network::Cidr;
use strongroom_model::ports::BoxFuture;
use strongroom_model::principal::Name;
use strongroom_model::redact::{Labelled, Redactor};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::server::{Stdio, Template};
use strongroom_model::team::{Actor, McpServer, TenantCtx};
use strongroom_process::Start;
use strongroom_seal::{hex, sha256};
use strongroom_server::{AllowedCommand, allowed_command};
use strongroom_store::team::{CredentialValues, Team, TeamError, TenantStore, Which};
use tracing::warn;

use super::binding::{self, Binding};
use super::confine::{Confine, Folder, Nowhere, Program};
use super::fleet::Fleet;
use super::slots::Placed;
use crate::config::team::ServerCaps;

/// What the servers of all tenants are started with.
pub struct Ground {
    /// Starts their programs.
    pub confine: Arc<dyn Confine>,
    /// The programs that the operator allows.
    pub allowed: Vec<AllowedCommand>,
    /// What every program gets of our own environment: `PATH`, languages, the time zone.
    pub environment: Vec<(OsString, OsString)>,
    /// Where they start, so that arguments of the operator's list that are paths mean something.
    pub directory: PathBuf,
    /// Where each has a folder of its own.
    pub folders: PathBuf,
    /// Addresses that are not public and may be reached all the same.
    pub networks: Vec<Cidr>,
    /// What one tenant's servers may use.
    pub caps: ServerCaps,
}

/// Starts one server as it was configured once, and not any more when it is configured otherwise.
pub(super) struct Starter {
    pub(super) ground: Arc<Ground>,
    pub(super) team: Team,
    pub(super) ctx: TenantCtx,
    pub(super) fleet: Weak<Fleet>,
    /// What it is called where it is mounted.
    pub(super) name: Name,
    pub(super) server: McpServer,
}

/// The credentials of one start.
#[derive(Default)]
struct Given {
    /// Variables, or headers.
    places: BTreeMap<String, Template>,
    secrets: BTreeMap<SecretRef, Arc<Secret>>,
    known: Vec<Labelled>,
}

impl Launch for Starter {
    fn launch(&self) -> BoxFuture<'_, Result<Launched, Refusal>> {
        Box::pin(self.start())
    }
}

impl Starter {
    async fn start(&self) -> Result<Launched, Refusal> {
        self.is_current().await?;
        let Some(command) = &self.server.command else { return self.reach().await };
        let allowed = self.ground.permits(command, &self.server.args)?;
        let given = self.given().await?;
        let fleet = self.fleet.upgrade().ok_or_else(changed)?;
        let slot = fleet.slots.take(|| fleet.rest_one()).await?;
        self.record(&given).await?;
        let redactor = Arc::new(Redactor::new(&given.known));
        let (ground, server) = (Arc::clone(&self.ground), self.server.clone());
        let allowed = allowed.clone();
        let started =
            tokio::task::spawn_blocking(move || ground.program(&server, &given, &allowed));
        let child = started.await.map_err(|_| failed("the server cannot be started"))??;
        Ok(Launched::child(Box::new(Placed::new(child, slot)), redactor))
    }

    /// A server at an address: nothing is started, and nothing is sent before it is called.
    async fn reach(&self) -> Result<Launched, Refusal> {
        let given = self.given().await?;
        let fleet = self.fleet.upgrade().ok_or_else(changed)?;
        self.record(&given).await?;
        let site = self.site(&given)?;
        Ok(Launched::far(site, fleet.sites(), Arc::new(Redactor::new(&given.known))))
    }

    fn site(&self, given: &Given) -> Result<Site, Refusal> {
        let url = self.server.url.clone().unwrap_or_default();
        let fixed = self.server.headers.iter();
        let mut headers: BTreeMap<String, Template> = fixed
            .map(|(name, value)| (name.to_ascii_lowercase(), Template::literal(value)))
            .collect();
        for (name, value) in &given.places {
            let name = name.to_ascii_lowercase();
            let value = match value.references().next().and_then(|one| given.secrets.get(one)) {
                // A token alone is one of RFC 6750; whoever has another scheme stores it with the value.
                Some(secret) if name == "authorization" && !has_scheme(secret) => {
                    let bearer = format!("Bearer {{{{{value}}}}}");
                    bearer.parse().map_err(|_| failed("the credential cannot stand in a header"))?
                }
                _ => value.clone(),
            };
            headers.insert(name, value);
        }
        let reach = Reach {
            here: self.ground.is_named(&url),
            allow_ips: self.ground.networks.clone(),
            revision: self.server.config_rev,
            ..Reach::default()
        };
        let url = Template::literal(url);
        let address = Address { name: &self.name, url: &url, headers: &headers };
        let secrets = |reference: &SecretRef| given.secrets.get(reference).map(AsRef::as_ref);
        far::site(address, &secrets, reach)
            .map_err(|_| failed("the server's address or headers cannot be used"))
    }

    /// A call may have waited for a person's answer: what it was judged by is looked at again.
    async fn is_current(&self) -> Result<(), Refusal> {
        let store = self.team.tenant(&self.ctx);
        let tenant = TenantCtx { actor: Actor::Operator, ..self.ctx };
        if !self.team.still_lets_in(&tenant).await.map_err(unreadable)? {
            return Err(changed());
        }
        if store.locked().await.map_err(unreadable)?.stops_start(&self.name).is_some() {
            return Err(Refusal::new(Code::Locked, "the kill switch is on"));
        }
        let now = store.server(&self.server.server_id).await.map_err(unreadable)?;
        let same = |now: &McpServer| {
            now.enabled && (now.id, now.config_rev) == (self.server.id, self.server.config_rev)
        };
        if now.as_ref().is_some_and(same) { Ok(()) } else { Err(changed()) }
    }

    /// Every credential that it has to have.
    async fn given(&self) -> Result<Given, Refusal> {
        let store = self.team.tenant(&self.ctx);
        let stored = store.credentials(None).await.map_err(unreadable)?;
        let binding = Binding::of(&self.server, &stored);
        let mut opened = BTreeMap::new();
        for (service, kind) in binding.needs() {
            opened.insert((service, kind), open(&store, service, kind).await?);
        }
        let fields = |service: &str, kind: &str| {
            let values = opened.get(&(service, kind));
            values.map(|values| values.names().into_iter().collect()).unwrap_or_default()
        };
        let mut given = Given::default();
        for (place, from) in binding.places(fields)? {
            if self.server.command.is_some() {
                binding::may_be_set(&place).map_err(|why| {
                    Refusal::new(Code::InvalidRequest, format!("a place in `secrets` {why}"))
                })?;
            }
            let values = opened.get(&(&*from.service, &*from.credential_type));
            let secret = values.and_then(|values| values.field(&from.field));
            let reference = binding::reference(&from);
            let (Some(secret), Some(reference)) = (secret, reference) else {
                let text = format!(
                    "the credential of `{}` has no field `{}`, which this server is started with",
                    from.service, from.field
                );
                return Err(Refusal::new(Code::SecretUnavailable, text));
            };
            let secret = Arc::new(secret);
            given.known.push(Labelled { label: from.service, secret: Arc::clone(&secret) });
            given.places.insert(place, Template::secret(reference.clone()));
            given.secrets.insert(reference, secret);
        }
        Ok(given)
    }

    /// That these secrets are handed out. What cannot be recorded is not done.
    async fn record(&self, given: &Given) -> Result<(), Refusal> {
        let lookup = |reference: &SecretRef| Lookup {
            reference: reference.to_string(),
            from: "local",
            age_s: None,
        };
        let draft = Draft {
            kind: Kind::Release,
            server: Some(self.name.to_string()),
            count: Some(given.secrets.len() as u64),
            references: given.secrets.keys().map(lookup).collect(),
            ..Draft::default()
        };
        let recorded = self.team.record_act(Some(self.ctx.tenant), draft).await;
        recorded.map(drop).map_err(|_| {
            let text = "the audit record could not be written, so nothing is started";
            Refusal::new(Code::AuditUnavailable, text)
        })
    }
}

impl Ground {
    /// One on which no program is started.
    pub fn bare() -> Self {
        Self {
            confine: Arc::new(Nowhere::new("the operator allows no command")),
            allowed: Vec::new(),
            environment: Vec::new(),
            directory: PathBuf::new(),
            folders: PathBuf::new(),
            networks: Vec::new(),
            caps: ServerCaps::default(),
        }
    }

    /// The entry of the operator's list that allows `command` with `args`.
    ///
    /// # Errors
    ///
    /// `command_not_allowed`: there is none, or there is no sandbox.
    pub(super) fn permits(
        &self,
        command: &str,
        args: &[String],
    ) -> Result<&AllowedCommand, Refusal> {
        let Some(allowed) = allowed_command(&self.allowed, command, args) else {
            let text = "the operator does not allow this command with these arguments";
            return Err(Refusal::new(Code::CommandNotAllowed, text));
        };
        match self.confine.missing() {
            Some(why) => Err(Refusal::new(Code::CommandNotAllowed, why)),
            None => Ok(allowed),
        }
    }

    /// Whether `url` has an address of this machine that the operator has named: it may be plain http, as it
    /// may be registered.
    fn is_named(&self, url: &str) -> bool {
        let base = url.split_once('?').map_or(url, |(base, _)| base);
        let address =
            BaseUrl::parse(base, true).ok().and_then(|base| base.origin.host.parse().ok());
        address.is_some_and(|address: IpAddr| {
            address.is_loopback() && self.networks.iter().any(|range| range.contains(address))
        })
    }

    /// Starts the program of `server`. It blocks.
    fn program(
        &self,
        server: &McpServer,
        given: &Given,
        allowed: &AllowedCommand,
    ) -> Result<Box<dyn Child>, Refusal> {
        let folder = Folder::under(&self.folders)
            .map_err(|_| failed("there is no room for a folder of the server"))?;
        let plan = self.plan(server, given, &folder)?;
        let digest = allowed.integrity();
        let image = digest.map(|digest| checked(&plan.program, digest)).transpose()?.flatten();
        let start = Start {
            name: Some(plan.name),
            args: plan.args,
            env: plan.env,
            dir: plan.cwd,
            image: image.map(Arc::new),
            ..Start::new(plan.program)
        };
        let program = Program {
            start,
            folder,
            memory: self.caps.memory,
            network: allowed.network(),
            read: allowed.read().to_vec(),
        };
        self.confine.start(program).map_err(|failure| {
            // The reason may be the machine's, which is no tenant's business.
            warn!(program = %failure.program.display(), reason = %failure.source, "not started");
            failed("the server's program cannot be started")
        })
    }

    fn plan(&self, server: &McpServer, given: &Given, folder: &Folder) -> Result<Plan, Refusal> {
        let stdio = Stdio {
            program: server.command.clone().unwrap_or_default(),
            args: server.args.iter().map(Template::literal).collect(),
            env: given.places.clone(),
            pass_env: Vec::new(),
            cwd: Some(self.directory.clone()),
            // It is in one in any case.
            isolate: None,
        };
        let own = [("HOME", folder.home()), ("TMPDIR", folder.temporary())];
        let own = own.map(|(name, path)| (OsString::from(name), path.into_os_string()));
        let environment = self.environment.iter().cloned().chain(own);
        let place =
            Place { system: System::CURRENT, directory: &self.directory, is_program: &is_program };
        let secrets = |reference: &SecretRef| given.secrets.get(reference).map(AsRef::as_ref);
        launcher::plan(&stdio, &secrets, environment, &[], &place).map_err(|_| {
            failed("the server's program is not there, or cannot be given what it gets")
        })
    }
}

/// The credential of `service`, with its values.
async fn open(
    store: &TenantStore<'_>,
    service: &str,
    kind: &str,
) -> Result<CredentialValues, Refusal> {
    let which = Which::named(service, kind).map_err(unreadable)?;
    match store.retrieve_credential(which).await {
        Ok(Some((_, values))) => Ok(values),
        Ok(None) => {
            let text = format!(
                "there is no credential of the service `{service}`, which this server is started with"
            );
            Err(Refusal::new(Code::SecretUnavailable, text))
        }
        Err(error) => Err(unreadable(error)),
    }
}

/// Whether a value of `authorization` says its scheme.
fn has_scheme(secret: &Secret) -> bool {
    secret.expose().contains(&b' ')
}

/// The program's file, where it has to be the one with this digest. One that is no script is started from
/// what was looked at, whatever its path leads to by then.
fn checked(program: &Path, digest: &str) -> Result<Option<File>, Refusal> {
    let read = || -> io::Result<(File, Vec<u8>)> {
        let mut file = File::open(program)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        file.rewind()?;
        Ok((file, bytes))
    };
    let (file, bytes) = read().map_err(|_| failed("the server's program cannot be read"))?;
    let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
    if !hex(&sha256(&bytes)).eq_ignore_ascii_case(digest) {
        let text = "the program is not the one that the operator allows";
        return Err(Refusal::new(Code::CommandNotAllowed, text));
    }
    Ok((!bytes.starts_with(b"#!")).then_some(file))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

fn changed() -> Refusal {
    failed("the server was changed or taken away meanwhile: list the tools, and call again")
}

fn failed(text: &'static str) -> Refusal {
    Refusal::new(Code::UpstreamError, text)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn unreadable(error: TeamError) -> Refusal {
    match error {
        TeamError::Integrity { .. } => {
            Refusal::new(Code::IntegrityError, "the stored credential does not verify")
        }
        _ => Refusal::new(Code::SecretUnavailable, "the store cannot be read now"),
    }
}
