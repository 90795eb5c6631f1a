//! Programs that are asked for secrets.
//!
//! A program is used from where the configuration says, or else from a fixed directory of the
//! system, and never from `PATH`, which whoever starts us may have set (LM-12). Nobody but its owner
//! may be able to change it. It gets an environment that is written down, a session without a
//! terminal, so that it cannot ask anybody, a deadline, and a cap on what it prints (LM-14). What it
//! says on stderr is read to find out what happened, and never repeated: it may quote a secret.

mod place;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use strongroom_model::ports::ResolveError;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_process::{RunError, Start, run};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{LARGEST, usable};
use crate::resolver::all;
use crate::settings::{Context, Field, Kind, SettingError, Settings, Variable};

pub use place::Tool;
pub(crate) use place::{in_path, locate};

/// How long a program has, unless `timeout` says otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);

/// How many programs one provider runs at the same time.
const AT_ONCE: usize = 4;

/// What a program may print for each secret.
pub(crate) const MOST: usize = 2 * LARGEST;

pub(crate) const PROGRAM: Field = Field {
    name: "program",
    kind: Kind::Path,
    about: "the program, where it is not in a directory of the system",
};

pub(crate) const PASS_ENV: Field = Field {
    name: "pass_env",
    kind: Kind::Words,
    about: "further variables of the environment that the program gets: `HTTPS_PROXY`",
};

/// A helper program, as it is configured.
pub(crate) struct Program {
    tool: &'static Tool,
    configured: Option<PathBuf>,
    home: PathBuf,
    env: Vec<(OsString, OsString)>,
    variable: Variable,
    timeout: Duration,
}

/// One run.
#[derive(Default)]
pub(crate) struct Call<'a> {
    pub(crate) args: Vec<OsString>,
    /// Written to its standard input.
    pub(crate) input: Zeroizing<Vec<u8>>,
    /// Variables of this run.
    pub(crate) env: Vec<(&'static str, OsString)>,
    /// The secret that it gets in its environment: its token.
    pub(crate) token: Option<(&'static str, &'a Secret)>,
    /// How many secrets it is asked for.
    pub(crate) count: usize,
}

/// What it answered.
pub(crate) struct Answered {
    /// Its exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Zeroizing<Vec<u8>>,
    /// Whether it printed more than it may.
    pub(crate) flooded: bool,
    stderr: Zeroizing<String>,
}

impl Program {
    /// `tool` as `settings` say; nothing is looked at yet.
    pub(crate) fn new(
        tool: &'static Tool,
        settings: &Settings,
        context: &Context,
    ) -> Result<Self, SettingError> {
        let configured = settings.text(PROGRAM.name).map(PathBuf::from);
        if configured.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(SettingError {
                key: PROGRAM.name,
                problem: "it is not an absolute path".to_owned(),
                hint: Some("a program is never looked for in `PATH`".to_owned()),
            });
        }
        let asked_for = settings.words.get(PASS_ENV.name).into_iter().flatten();
        let mut env = place::environment(&context.home, cfg!(windows), &*context.variable);
        for name in tool.keep.iter().copied().chain(asked_for.map(String::as_str)) {
            env.extend((context.variable)(name).map(|value| (name.into(), value)));
        }
        Ok(Self {
            tool,
            configured,
            home: context.home.clone(),
            env,
            variable: Arc::clone(&context.variable),
            timeout: settings.timeout.unwrap_or(TIMEOUT),
        })
    }

    /// A variable that every run gets.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.push((name.into(), value.into()));
    }

    /// How long one run has.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Runs it.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped the program runs on until it ends or its time is over.
    pub(crate) async fn ask(&self, call: Call<'_>) -> Result<Answered, ResolveError> {
        let scheme = self.tool.scheme;
        let path = locate(self.tool, self.configured.as_deref(), &self.home, &*self.variable)?;
        let mut start = Start { args: call.args, session: true, ..Start::new(path) };
        start.dir = Some(PathBuf::from(if cfg!(windows) { r"C:\" } else { "/" }));
        start.env.clone_from(&self.env);
        start.env.extend(call.env.into_iter().map(|(name, value)| (name.into(), value)));
        if let Some((name, token)) = call.token {
            let text = std::str::from_utf8(token.expose()).ok();
            let text = text.filter(|text| !text.contains('\0'));
            let text = text.ok_or_else(|| token_rejected(scheme))?;
            start.env.push((name.into(), text.into()));
        }
        let (input, timeout, most) = (call.input, self.timeout, MOST * call.count.max(1));
        // One byte more than allowed tells that there is more.
        let running = move || run(&start, &input, timeout, most + 1);
        match tokio::task::spawn_blocking(running).await {
            Ok(Ok(output)) => {
                let flooded = output.stdout.len() > most;
                let stderr = Zeroizing::new(output.stderr);
                Ok(Answered {
                    code: output.status.code(),
                    stdout: Zeroizing::new(output.stdout),
                    flooded,
                    stderr: Zeroizing::new(String::from_utf8_lossy(&stderr).to_lowercase()),
                })
            }
            Ok(Err(RunError::Timeout { .. })) => Err(too_slow(scheme, timeout)),
            Ok(Err(RunError::Start(error))) => Err(ResolveError::absent(
                scheme,
                format!("`{}` cannot be started", error.program.display()),
                format!("run `strongroom provider set {scheme} --program /path/to/it`"),
            )),
            Ok(Err(RunError::Io { .. })) | Err(_) => {
                Err(ResolveError::unreachable(scheme, "its program cannot be waited for"))
            }
        }
    }
}

impl Answered {
    /// Whether it says that it went well: by its code, and by saying nothing else on stderr. Some
    /// programs end with 0 after an error.
    pub(crate) fn went_well(&self) -> bool {
        let complains = |line: &str| {
            let line = line.trim_start();
            ["[error]", "error:", "fatal:"].iter().any(|word| line.starts_with(word))
        };
        self.code == Some(0) && !self.stderr.lines().any(complains)
    }

    /// Whether stderr has one of `words`, which are in lower case.
    pub(crate) fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.stderr.contains(word))
    }

    /// What it says, in lower case, for who has to look closer.
    pub(crate) fn said(&self) -> &str {
        &self.stderr
    }

    /// What it printed, without the one line end that belongs to no secret.
    pub(crate) fn into_secret(mut self, reference: &SecretRef) -> Result<Secret, ResolveError> {
        if self.stdout.last() == Some(&b'\n') {
            self.stdout.pop();
            if self.stdout.last() == Some(&b'\r') {
                self.stdout.pop();
            }
        }
        usable(Secret::new(std::mem::take(&mut *self.stdout)), reference)
    }
}

/// Asks for each of `items` by itself, a few at the same time, in order.
pub(crate) async fn each<'a, T: Sync, A: Send + 'a, F: Future<Output = A> + Send>(
    items: &'a [T],
    ask: impl Fn(&'a T) -> F + Sync,
) -> Vec<A> {
    let turns = Semaphore::new(AT_ONCE);
    let (turns, ask) = (&turns, &ask);
    let one = |item| async move {
        let _turn = turns.acquire().await;
        ask(item).await
    };
    let mut asked: Vec<std::pin::Pin<Box<dyn Future<Output = A> + Send + '_>>> = Vec::new();
    for item in items {
        asked.push(Box::pin(one(item)));
    }
    all(asked).await
}

pub(crate) fn token_rejected(scheme: &str) -> ResolveError {
    ResolveError::TokenRejected { scheme: scheme.to_owned() }
}

pub(crate) fn too_slow(scheme: &str, timeout: Duration) -> ResolveError {
    ResolveError::unreachable(scheme, format!("it did not answer within {timeout:?}"))
}
