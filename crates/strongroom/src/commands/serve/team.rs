//! `serve --team`: a team over HTTP, from the configuration and the command line.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use strongroom_model::ports::Clock;
use strongroom_model::rate::Gcra;
use strongroom_process::Groups;
use strongroom_proxy::SystemDns;
use strongroom_server::{
    AllowedCommand, Backend, Mount, Options, Rates, Registered, ServeError, Server, TlsFiles,
};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::traces::Traces;
use super::{Args, runtime, told_to_end};
use crate::config::team::{Allowed, Team as Configured, TeamLimits};
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::paths::Home;
use crate::team::confine::{AsWeAre, Confine, Nowhere, Rooms};
use crate::team::{self, Ground, Tenants};

/// How often is looked whether a certificate was replaced.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Serves until the process is told to end.
pub(super) fn run(
    args: &Args,
    host: &Host,
    output: Output,
    traces: Option<Traces>,
) -> Result<(), Failure> {
    let home = host.home()?;
    let configured = team::configured(&home)?;
    let mut options = options(args, &configured)?;
    options.spans = traces.as_ref().map(|traces| traces.exporter.counts());
    let runtime = runtime(&mut Builder::new_multi_thread())?;
    runtime.block_on(async {
        let url = team::database(host, &home, &configured)?;
        let opened = team::open(host, &home, &configured, &url).await?;
        let clock: Arc<dyn Clock> = Arc::clone(&host.clock);
        let team = opened.team.clone();
        let rules = configured.rules.clone();
        let dns = Arc::new(SystemDns);
        let ground = ground(host, &home, (&configured, &options), output);
        let tenants = Tenants::new(team.clone(), rules, ground, Arc::clone(&clock), dns);
        let tenants = Arc::new(tenants.waiting(configured.approval_wait));
        let backend = Backend {
            judge: Arc::new(Registered::with_services(team.clone(), Arc::clone(&tenants) as _)),
            team: team.clone(),
            mcp: Some(Arc::clone(&tenants) as Arc<dyn Mount>),
            fleet: Some(Arc::clone(&tenants) as _),
            services: Some(Arc::clone(&tenants) as _),
            clock,
        };
        let tls = options.tls.is_some();
        let server = Server::bind(backend, options).await?;
        let scheme = if tls { "https" } else { "http" };
        output.say(&format!("Serving a team on {scheme}://{}", server.address()));
        let (stop, stopped) = watch::channel(());
        let mut beside = JoinSet::new();
        beside.spawn(team::watch(Arc::clone(&tenants), stopped.clone()));
        beside.spawn(team::follow(host.clone(), home.clone(), team.clone(), stopped.clone()));
        if let Some(Traces { exporter, collector }) = traces {
            beside.spawn(exporter.run(collector, stopped));
        }
        server.run(told_to_end()).await;
        drop(stop);
        while beside.join_next().await.is_some() {}
        team.shutdown().await;
        Ok(())
    })
}

/// What every program of a tenant gets of our environment: where programs are, languages, the time zone.
const PASSED: [&str; 7] = ["PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TZDIR"];

/// What the servers of tenants are started with.
fn ground(
    host: &Host,
    home: &Home,
    (configured, options): (&Configured, &Options),
    output: Output,
) -> Ground {
    let program = host.program.clone();
    let confine: Arc<dyn Confine> = if !configured.isolate {
        Arc::new(AsWeAre { program })
    } else if configured.allowed_commands.is_empty() {
        // Nothing is ever started: nobody has to find out where.
        Arc::new(Nowhere::new("the operator allows no command"))
    } else {
        let hide = home.directories().into_iter().map(Into::into).collect();
        match Rooms::find(program, hide) {
            Ok(rooms) => match Groups::take() {
                Ok(groups) => Arc::new(rooms.bounded_by(groups)),
                Err(why) => {
                    output.say(&format!(
                        "Each process of a tenant's program is bounded, and not all of them together: {why}"
                    ));
                    Arc::new(rooms)
                }
            },
            Err(missing) => {
                output.warn(&format!(
                    "servers of tenants with a `command` are not started: {missing}"
                ));
                Arc::new(Nowhere::new(missing.to_string()))
            }
        }
    };
    let variable = |name: &str| Some((name.into(), host.environment.get(name)?.to_owned()));
    Ground {
        confine,
        allowed: options.allowed_commands.clone(),
        environment: PASSED.into_iter().filter_map(variable).collect(),
        directory: host.directory.clone(),
        folders: home.tenants_dir(),
        networks: options.allow_ips.clone(),
        caps: configured.limits.servers,
    }
}

fn options(args: &Args, configured: &Configured) -> Result<Options, Failure> {
    let default = Options::default();
    let listen: SocketAddr = args.listen.or(configured.listen).unwrap_or(default.listen);
    let tls = configured.tls.as_ref().map(|tls| TlsFiles {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        look_every: LOOK_EVERY,
    });
    Ok(Options {
        listen,
        tls,
        behind_tls_proxy: args.behind_tls_proxy || configured.behind_tls_proxy,
        allowed_commands: configured
            .allowed_commands
            .iter()
            .map(allowed)
            .collect::<Result<_, _>>()?,
        allow_ips: configured.rules.networks.clone(),
        operators: configured.operators.clone(),
        rates: rates(configured.limits, default.rates),
        ..default
    })
}

/// What the file says counts; as many at once as before in proportion.
fn rates(limits: TeamLimits, default: Rates) -> Rates {
    // What may come at once grows with the rate.
    let rate = |rate: Gcra, said: Option<u32>| match said {
        Some(per_minute) => {
            let burst = u64::from(rate.burst) * u64::from(per_minute) / u64::from(rate.per_minute);
            Gcra { per_minute, burst: u32::try_from(burst).unwrap_or(u32::MAX).max(1) }
        }
        None => rate,
    };
    Rates {
        key: rate(default.key, limits.requests_per_minute),
        source: rate(default.source, limits.requests_per_minute_per_address),
        refusals: rate(default.refusals, limits.refusals_per_minute_per_address),
    }
}

fn allowed(entry: &Allowed) -> Result<AllowedCommand, Failure> {
    let allowed = AllowedCommand::new(&entry.command, &entry.args).map_err(|error| {
        let hint = error.hint;
        Failure::failed(format!("`team.allowed_commands`: {}", error.problem)).maybe_hint(hint)
    })?;
    let mut allowed = allowed.with_network(entry.network).with_read(entry.read.clone());
    if let Some(version) = &entry.version {
        allowed = allowed.with_version(version);
    }
    if let Some(integrity) = &entry.integrity {
        allowed = allowed.with_integrity(integrity);
    }
    Ok(allowed)
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let hint = error.hint();
        Self::new(Exit::Unavailable, error).maybe_hint(hint)
    }
}
