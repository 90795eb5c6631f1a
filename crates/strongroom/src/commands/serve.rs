//! `strongroom serve`: the broker, over stdio for one client or over HTTP for several, or a team.

mod client;
mod team;
mod traces;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use strongroom_gateway::http::Options;
use strongroom_gateway::wire::Limits;
use strongroom_gateway::{Behind, Servers, http, stdio};
use strongroom_model::principal::{Name, Principal, Source};
use strongroom_server::traces::SpanLayer;
use strongroom_store::Vault;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::app::{self, App};
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::gateway::board::Board;
use crate::home::DEFAULT_PRINCIPAL;
use crate::near;
use crate::output::Output;

/// Where `serve --http` listens unless it is told otherwise.
pub const LISTEN: &str = "127.0.0.1:8787";

/// Serve agents, over MCP
///
/// Behind it are the broker's tools, and those of every MCP server that is enabled here as `SERVER_TOOL`;
/// `strongroom servers status` says how they are. A client starts this; `strongroom connect` writes the
/// line that does. Changes of the configuration and of keys are used from the next call on. Nothing but
/// MCP goes to stdout.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom serve --as claude-code
  strongroom serve --http
  strongroom serve --team")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Args {
    /// Serve the client at the other end of stdio as this principal
    #[arg(long = "as", value_name = "NAME", conflicts_with = "http")]
    principal: Option<Name>,
    /// Serve HTTP, where a token says who calls (`strongroom principal create`)
    #[arg(long)]
    http: bool,
    /// Serve a team over HTTP: tenants, their servers and credentials, by keys of their own
    #[arg(long, conflicts_with_all = ["http", "principal"])]
    team: bool,
    /// Serve the broker's own tools alone, and none of the MCP servers that are enabled
    #[arg(long, conflicts_with = "team")]
    broker_only: bool,
    /// Where to listen; beyond loopback with `--team` only [default: 127.0.0.1:8787, with `--team` 127.0.0.1:8443]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// A proxy before this server ends TLS: speak plain HTTP beyond loopback too
    #[arg(long, requires = "team")]
    behind_tls_proxy: bool,
    /// What to log on stderr: `warn`, `info`, `strongroom_proxy=debug`
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

/// Serves until the client is gone, or until the process is told to end.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    if args.team {
        let (layer, traces) = traces::wanted(host)?.unzip();
        log(args, host, layer)?;
        return team::run(args, host, *output, traces);
    }
    log(args, host, None)?;
    if args.listen.is_some() && !args.http {
        return Err(Failure::usage("`--listen` goes with `--http` or `--team`")
            .hint("run `strongroom serve --http --listen ADDRESS`"));
    }
    let app = app::build(host, &host.home()?, *output)?;
    sweep(&app, host)?;
    if args.http {
        over_http(args, app, host, *output)
    } else {
        over_stdio(args, &app, host, *output)
    }
}

fn over_stdio(args: &Args, app: &App, host: &Host, output: Output) -> Result<(), Failure> {
    let name = match &args.principal {
        Some(name) => name.clone(),
        None => DEFAULT_PRINCIPAL.parse().map_err(Failure::failed)?,
    };
    check_principal(&app.vault, &name)?;
    if host.terminals.stdin {
        output.say("Speaking MCP on stdin and stdout: a client starts this. Ctrl-D ends it.");
    }
    let principal = Principal { name, source: Source::Stdio };
    let runtime = runtime(&mut Builder::new_current_thread())?;
    let (stdin, stdout) = (client::Stdin::open().map_err(Failure::failed)?, stdout()?);
    let served = runtime.block_on(async {
        let behind = behind(args, app, host, format!("stdio as {}", principal.name), output);
        stdio::serve(behind, principal, stdin, stdout, Limits::default()).await
    });
    let served = served.or_else(client::gone_is_fine);
    // A thread that reads stdin may wait for a line that never comes.
    runtime.shutdown_background();
    served.map_err(Failure::failed)
}

fn over_http(args: &Args, app: App, host: &Host, output: Output) -> Result<(), Failure> {
    let listen = match args.listen {
        Some(listen) => listen,
        None => LISTEN.parse().map_err(Failure::failed)?,
    };
    if !listen.ip().is_loopback() {
        return Err(Failure::usage("the address is not a loopback address")
            .hint("use 127.0.0.1:PORT or [::1]:PORT; other machines come in with `strongroom serve --team`"));
    }
    let runtime = runtime(Builder::new_multi_thread().worker_threads(workers()))?;
    let served: Result<(), Failure> = runtime.block_on(async {
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            Failure::new(Exit::Unavailable, Unbound { address: listen, source: error })
                .hint("another process may have it: choose one by `--listen`")
        })?;
        let address = listener.local_addr().map_err(Failure::failed)?;
        output.say(&format!("Speaking MCP on http://{address}/mcp"));
        let behind = behind(args, &app, host, format!("http://{address}/mcp"), output);
        http::serve(listener, behind, app.authenticator, Options::default(), told_to_end())
            .await
            .map_err(Failure::failed)
    });
    runtime.shutdown_background();
    served
}

/// The broker with the servers of the project, which are looked after from now on.
fn behind(args: &Args, app: &App, host: &Host, serves: String, output: Output) -> Behind {
    if args.broker_only {
        return Arc::clone(&app.calls).into();
    }
    let board = host.home().and_then(|home| Ok(Board::open(host, &home, serves)?));
    if board.is_err() {
        output.warn("`strongroom servers status` will not know of this process");
    }
    let vault = Arc::clone(&app.vault);
    let stored = move || vault.data_version().unwrap_or_default();
    tokio::spawn(Arc::clone(&app.gateway).tend(board.ok(), stored));
    let mounted: Arc<dyn Servers> = Arc::clone(&app.gateway) as _;
    Behind { calls: Arc::clone(&app.calls), servers: Some(mounted) }
}

/// Half of the processors: the servers and their clients are on the same machine. One worker that does not
/// have to wake another is quicker than two, and answers more calls than a machine of two has clients for.
fn workers() -> usize {
    thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2))
}

/// Removes what is old from the exchange folders, now and from time to time, for as long as the
/// process lives.
fn sweep(app: &App, host: &Host) -> Result<(), Failure> {
    let (exchange, clock) = (app.exchange.clone(), Arc::clone(&host.clock));
    let sweeping = thread::Builder::new().name("sweep".into()).stack_size(128 << 10);
    let sweeping = sweeping.spawn(move || {
        loop {
            exchange.sweep(clock.now());
            thread::sleep(SWEEP);
        }
    });
    sweeping.map(drop).map_err(Failure::failed)
}

/// How often the exchange folders are looked at.
const SWEEP: Duration = Duration::from_mins(10);

#[derive(Debug, thiserror::Error)]
#[error("`{address}` cannot be listened on")]
struct Unbound {
    address: SocketAddr,
    source: io::Error,
}

/// An unknown name is refused: it would be a principal that no list shows (decision 29).
fn check_principal(vault: &Arc<Vault>, name: &Name) -> Result<(), Failure> {
    if vault.principals().exists(name)? {
        return Ok(());
    }
    let list = vault.principals().list()?;
    if list.iter().any(|info| info.name == *name) {
        return Err(Failure::new(Exit::Denied, format!("the principal `{name}` is disabled")));
    }
    let failure = Failure::failed(format!("there is no principal `{name}`"));
    Err(match near::nearest(name.as_str(), list.iter().map(|info| info.name.as_str())) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("run `strongroom principal create {name}`")),
    })
}

fn runtime(builder: &mut Builder) -> Result<Runtime, Failure> {
    builder.enable_all().build().map_err(Failure::failed)
}

/// stdout as a plain file: one write for each answer, and nothing held back in a buffer.
#[cfg(unix)]
fn stdout() -> Result<File, Failure> {
    use std::os::fd::AsFd as _;
    let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(Failure::failed)?;
    // A large answer goes to the client in fewer pieces. What is no pipe stays as it is.
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(&stdout, 256 << 10);
    Ok(File::from(stdout))
}

#[cfg(windows)]
fn stdout() -> Result<File, Failure> {
    use std::os::windows::io::AsHandle as _;
    io::stdout().as_handle().try_clone_to_owned().map(File::from).map_err(Failure::failed)
}

#[cfg(unix)]
async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

#[cfg(not(unix))]
async fn told_to_end() {
    drop(tokio::signal::ctrl_c().await);
}

/// Logs go to stderr and hold no payload. The default says what went wrong and nothing else.
fn log(args: &Args, host: &Host, spans: Option<SpanLayer>) -> Result<(), Failure> {
    let from_environment = host.environment.get("STRONGROOM_LOG").and_then(|text| text.to_str());
    let filter = args.log.as_deref().or(from_environment).unwrap_or("warn");
    let filter = EnvFilter::try_new(filter).map_err(|_| {
        Failure::usage("the log filter is not one").hint("write `--log info`, or `--log warn`")
    })?;
    // A second subscriber in one process can only be a test's, and then the first one stays.
    // Its own errors would be a panic where stderr is a pipe that nobody reads any more, and the end of
    // the call that had something to say.
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(false).log_internal_errors(false);
    let lines = lines.with_filter(filter);
    let ours = FilterFn::new(SpanLayer::looks_at).with_max_level_hint(LevelFilter::INFO);
    let spans = spans.map(|spans| spans.with_filter(ours));
    drop(tracing_subscriber::registry().with(lines).with(spans).try_init());
    Ok(())
}
