//! `strongroom demo`: the real broker at work, with nothing configured.
//!
//! A temporary home, a small API on the loopback interface, and the broker as a child process; the
//! demo talks to it as an agent's MCP client does. Whatever happens, interruption included, the
//! child is ended and the home removed before the command returns.

pub mod client;
pub mod page;
pub mod upstream;

use std::io::{self, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use strongroom_model::principal::{Name, NameError};
use strongroom_model::secret::Secret;
use strongroom_process::{Child, RunError, Start, StartError, Stream};
use strongroom_seal::{FileError, RandomError, random};
use strongroom_store::{SecretUse, VaultError};
use tokio::task::JoinError;

use crate::environment::Host;
use crate::home::{self, HomeError};
use crate::paths::{Environment, Home};
use client::{Client, ClientError};
use page::{Call, Shows, Story};
use upstream::Upstream;

/// The key of the made-up API: it opens nothing.
const KEY: &str = "demo_key_9fK2vXq7LmTz4sRb";
const SERVICE: &str = "shop";
const PRINCIPAL: &str = "claude-code";

/// Longer than any demo takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why there was no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// There is no place for its home.
    #[error("the directory for temporary files cannot be used")]
    Temporary(#[source] io::Error),
    /// Its home was not made.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The vault of its home.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A file of its home.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system has no random numbers.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// A name of ours is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The API did not start.
    #[error("the demo's API cannot listen on 127.0.0.1")]
    Upstream(#[source] io::Error),
    /// The broker did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The broker did not answer as it should.
    #[error("the conversation with the broker broke off{}", said(.stderr))]
    Talk {
        /// What went wrong.
        source: ClientError,
        /// What the broker wrote to its descriptor 2.
        stderr: String,
    },
    /// `strongroom logs` did not end.
    #[error(transparent)]
    Logs(#[from] RunError),
    /// It took far too long.
    #[error("the broker did not answer within {} s", PATIENCE.as_secs())]
    Slow,
    /// The person has seen enough.
    #[error("interrupted")]
    Interrupted,
    /// A thread of ours ended.
    #[error(transparent)]
    Thread(#[from] JoinError),
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!("; its last words: {}", stderr.lines().next().unwrap_or_default())
    }
}

/// Runs the demo.
pub fn run(host: &Host) -> Result<Story, DemoError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(DemoError::Temporary)?;
    // Before anything is made that would have to be removed.
    let interruption = {
        let _context = runtime.enter();
        interruption().map_err(DemoError::Temporary)?
    };
    let stage = Stage::build(&host.environment)?;
    let told = runtime.block_on(async {
        tokio::select! {
            told = stage.perform(host) => told,
            () = interruption => Err(DemoError::Interrupted),
        }
    });
    // What still waits for the child ends with it; nothing of it is of interest any more.
    runtime.shutdown_background();
    let removed = stage.strike();
    let story = told?;
    removed.map_err(DemoError::Temporary)?;
    Ok(story)
}

/// Completes when the process is asked to end. From the call on, that does not end it by itself.
#[cfg(unix)]
fn interruption() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Completes when the process is asked to end.
#[cfg(not(unix))]
fn interruption() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// The temporary home and what runs in it.
struct Stage {
    root: PathBuf,
    home: Home,
    child: std::sync::Mutex<Option<Child>>,
}

impl Stage {
    fn build(environment: &Environment) -> Result<Self, DemoError> {
        let mut name = [0; 8];
        random(&mut name)?;
        let name = format!("strongroom-demo-{:016x}", u64::from_ne_bytes(name));
        let root = temporary(environment).join(name);
        make_private(&root).map_err(DemoError::Temporary)?;
        let home = Home::under(environment.os, root.as_os_str());
        Ok(Self { root, home, child: std::sync::Mutex::new(None) })
    }

    /// The whole story, from the empty home to the audit.
    async fn perform(&self, host: &Host) -> Result<Story, DemoError> {
        let upstream = Upstream::start(KEY).await.map_err(DemoError::Upstream)?;
        self.furnish(host, upstream.address)?;
        let (stdin, stdout, stderr) = self.start_broker(host)?;

        let talk = tokio::task::spawn_blocking(move || converse(stdin, stdout));
        let talked = tokio::time::timeout(PATIENCE, talk).await.map_err(|_| DemoError::Slow)??;
        self.end_broker();
        let (tools, calls) = talked.map_err(|source| {
            let mut text = String::new();
            // What cannot be read is not said.
            let _ = stderr.take(4096).read_to_string(&mut text);
            DemoError::Talk { source, stderr: text }
        })?;
        let story = Story {
            command: host.program.display().to_string(),
            principal: PRINCIPAL.to_owned(),
            key: KEY.to_owned(),
            service: SERVICE.to_owned(),
            tools,
            calls,
            audit: self.audit(host)?,
            requests: upstream.requests(),
        };
        upstream.stop().await;
        Ok(story)
    }

    /// What `init`, `add` and `connect` do.
    fn furnish(&self, host: &Host, address: SocketAddr) -> Result<(), DemoError> {
        let config = format!(
            "{}\n[services.{SERVICE}]\n\
             base_url = \"http://{address}\"\n\
             auth = {{ type = \"bearer\", token = \"local://{SERVICE}/token\" }}\n\
             allow = [\"GET /**\", \"HEAD /**\"]\n\
             insecure_transport = true\n\
             allow_ips = [\"127.0.0.1/32\"]\n",
            home::first_config(true)
        );
        let (vault, _) = home::create(&self.home, &config, Arc::clone(&host.clock))?;
        vault.principals().ensure(&PRINCIPAL.parse::<Name>()?)?;
        let used_by = SecretUse::Service(SERVICE.parse::<Name>()?);
        let key = Secret::new(KEY.as_bytes().to_vec());
        Ok(vault.put(&format!("{SERVICE}/token"), &used_by, &key)?)
    }

    fn start_broker(
        &self,
        host: &Host,
    ) -> Result<(ChildStdin, ChildStdout, std::process::ChildStderr), DemoError> {
        let mut start = self.program(host, &["serve", "--as", PRINCIPAL]);
        start.stdin = Stream::Pipe;
        start.stdout = Stream::Pipe;
        start.stderr = Stream::Pipe;
        let mut child = start.start()?;
        let pipes = child.stdin().zip(child.stdout()).zip(child.stderr());
        *self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(child);
        let ((stdin, stdout), stderr) = pipes.ok_or_else(|| {
            let source = io::Error::other("it has no pipes");
            StartError { program: host.program.clone(), source }
        })?;
        Ok((stdin, stdout, stderr))
    }

    /// What `strongroom logs` says about it.
    fn audit(&self, host: &Host) -> Result<Vec<String>, DemoError> {
        let start = self.program(host, &["logs"]);
        let output = strongroom_process::run(&start, &[], PATIENCE, 64 << 10)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().map(ToOwned::to_owned).collect())
    }

    /// This program, in the demo's home and with nothing else of our environment.
    fn program(&self, host: &Host, arguments: &[&str]) -> Start {
        let mut start = Start::new(&host.program);
        start.args = arguments.iter().map(Into::into).collect();
        start.env = vec![("STRONGROOM_HOME".into(), self.root.clone().into_os_string())];
        for name in ["SystemRoot", "TZ"] {
            if let Some(value) = host.environment.get(name) {
                start.env.push((name.into(), value.to_owned()));
            }
        }
        start
    }

    fn end_broker(&self) {
        let child = self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(mut child) = child {
            // It is gone, or it is killed: there is nothing else to be had.
            let _ = child.end(Duration::from_millis(500));
        }
    }

    /// Ends what runs and removes what was made.
    fn strike(self) -> io::Result<()> {
        self.end_broker();
        std::fs::remove_dir_all(&self.root)
    }
}

/// The agent's side: everything that the page shows.
fn converse(
    stdin: ChildStdin,
    stdout: ChildStdout,
) -> Result<(Vec<String>, Vec<Call>), ClientError> {
    let mut client = Client::new(BufReader::new(stdout), stdin);
    let tools = client.start("strongroom-demo")?;
    client.call("list_services", &json!({}))?;
    let mut calls = Vec::new();
    for (shows, method, path) in [
        (Shows::Allowed, "GET", "/v1/charges"),
        (Shows::Refused, "POST", "/v1/charges"),
        (Shows::Redacted, "GET", "/v1/echo"),
    ] {
        let mut arguments = json!({"service": SERVICE, "method": method, "path": path});
        if method == "POST" {
            arguments["body"] = json!({"amount": 9999});
        }
        calls.push(Call { shows, method, path, answer: client.call("execute", &arguments)? });
    }
    Ok((tools, calls))
}

/// Where this system puts what is not to stay.
fn temporary(environment: &Environment) -> PathBuf {
    let named = ["TMPDIR", "TMP", "TEMP"].into_iter().find_map(|name| environment.get(name));
    named.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

/// Makes a directory that was not there, for us alone.
fn make_private(path: &Path) -> io::Result<()> {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "the mode is a matter of Unix"))]
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
