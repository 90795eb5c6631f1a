//! The seams: what one crate offers to the others without either knowing the other.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::approval::{Answer, Question};
use crate::audit::Draft;
use crate::call::{
    Exec, Execute, Executed, Explained, Finished, RequestAccess, Requested, ServiceView, Tested,
    ToolAnswer, ToolCalled, WhoAmI,
};
use crate::code::{Code, Refusal};
use crate::far::{Ask, Failed, Reply};
use crate::injection::Credential;
use crate::pin::{News, Standing};
use crate::principal::{Caller, Name, Principal};
use crate::redact::Redactor;
use crate::reference::SecretRef;
use crate::secret::Secret;
use crate::service::{Catalog, Keys};
use crate::tool::{Served, ToolCall};

mod approvals;
mod dialog;

pub use crate::audit::AuditSink;
pub use approvals::{Approvals, ApprovalsAtOnce, ApprovalsError, Asking};
pub use dialog::{Dialog, Lack, Lacking, Shown, Verification};

/// A boxed, sendable future: what an object-safe async method returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The time, injected so that tests can stop it.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> SystemTime;
    /// Time since some fixed point; never goes back.
    fn monotonic(&self) -> Duration;
}

/// Why a reference did not resolve.
///
/// No variant holds what a provider said: its words may quote a secret. `why` and `fix` are ours.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The provider is present but will not answer before a person unlocks it.
    #[error("`{scheme}` is locked")]
    Locked {
        /// The provider, by its scheme.
        scheme: String,
    },
    /// The provider answered that it stores nothing there.
    #[error("nothing is stored at `{reference}`")]
    NotFound {
        /// What was asked for.
        reference: SecretRef,
    },
    /// The provider answered that we may not have it.
    #[error("`{reference}` may not be read: {why}")]
    Denied {
        /// What was asked for.
        reference: SecretRef,
        /// What stands in the way, in our words: a mode, an owner, another use.
        why: String,
    },
    /// What is stored does not verify or is not a secret (empty, too large).
    #[error("what is stored at `{reference}` is not usable: {why}")]
    Unusable {
        /// What was asked for.
        reference: SecretRef,
        /// Why, in our words.
        why: &'static str,
    },
    /// The store behind the reference is corrupt, or its key is the wrong one.
    #[error("`{scheme}` does not verify")]
    Integrity {
        /// The provider, by its scheme.
        scheme: String,
    },
    /// The provider could not be asked, or did not answer in words that we know.
    #[error("`{scheme}` cannot be reached: {why}")]
    Unreachable {
        /// The provider, by its scheme.
        scheme: String,
        /// Why, in our words.
        why: String,
    },
    /// The provider asks to be left alone for a while: a rate limit, or our own circuit breaker.
    #[error("`{scheme}` has been asked too often")]
    Limited {
        /// The provider, by its scheme.
        scheme: String,
    },
    /// The provider does not take our own token: it expired, was revoked, or is not one.
    #[error("`{scheme}` does not accept its token: it has expired, was revoked or is wrong")]
    TokenRejected {
        /// The provider, by its scheme.
        scheme: String,
    },
    /// The provider is not on this machine, or is not set up.
    #[error("`{scheme}` cannot be used here: {why}")]
    Absent {
        /// The provider, by its scheme.
        scheme: String,
        /// What is missing, in our words.
        why: String,
        /// What to do about it, in the imperative: best a command.
        fix: String,
    },
    /// No provider of this scheme is set up.
    #[error("there is no provider for `{scheme}`")]
    NoProvider {
        /// The scheme.
        scheme: String,
    },
}

impl ResolveError {
    /// The provider could not be asked.
    pub fn unreachable(scheme: &str, why: impl Into<String>) -> Self {
        Self::Unreachable { scheme: scheme.to_owned(), why: why.into() }
    }

    /// The provider is not on this machine, or is not set up.
    pub fn absent(scheme: &str, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Absent { scheme: scheme.to_owned(), why: why.into(), fix: fix.into() }
    }

    /// Whether nothing is known about the secret itself, so that asking again later may succeed.
    /// Only then may a stale value be served (decision 5). A token that is not accepted is an
    /// answer: it is how access is taken away.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Locked { .. }
            | Self::Unreachable { .. }
            | Self::Limited { .. }
            | Self::Absent { .. } => true,
            Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::Unusable { .. }
            | Self::Integrity { .. }
            | Self::TokenRejected { .. }
            | Self::NoProvider { .. } => false,
        }
    }

    /// The stable name in `--json` answers, status and audit.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "locked",
            Self::NotFound { .. } => "not_found",
            Self::Denied { .. } => "denied",
            Self::Unusable { .. } => "unusable",
            Self::Integrity { .. } => "integrity",
            Self::Unreachable { .. } => "unreachable",
            Self::Limited { .. } => "limited",
            Self::TokenRejected { .. } => "token_rejected",
            Self::Absent { .. } => "absent",
            Self::NoProvider { .. } => "no_provider",
        }
    }

    /// What a person does next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Locked { scheme } => format!("unlock `{scheme}` and try again"),
            Self::NotFound { reference } if reference.scheme() == "local" => {
                format!("run `strongroom secrets set {}`", reference.path())
            }
            Self::NotFound { reference } => {
                format!("correct the reference, then run `strongroom secrets test {reference}`")
            }
            Self::Unusable { reference, .. } => {
                format!("run `strongroom secrets test {reference}`")
            }
            Self::Denied { .. } => return None,
            Self::Integrity { .. } | Self::NoProvider { .. } => {
                "run `strongroom doctor`".to_owned()
            }
            Self::Unreachable { .. } => "try again when it can be reached".to_owned(),
            Self::Limited { .. } => "wait a minute and try again".to_owned(),
            Self::TokenRejected { scheme } => {
                format!("run `strongroom provider set {scheme} --token-stdin` with a new token")
            }
            Self::Absent { fix, .. } => fix.clone(),
        })
    }
}

/// What a secret is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// Calls to this service, by the broker.
    Service(&'a Name),
    /// The start of this MCP server, which will hold the plaintext.
    Launch(&'a Name),
    /// A setting of a provider: the token that it is asked with.
    Provider(&'a str),
}

/// A number that changes whenever the answer for a reference may have changed. `None`: ask each time.
pub type Stamp = Option<u64>;

/// A turn, until it is dropped or the process ends, however it ends.
pub struct Held(#[expect(dead_code, reason = "it is there to be dropped")] Box<dyn Any + Send>);

impl Held {
    /// The turn that `guard` keeps.
    pub fn new(guard: impl Any + Send) -> Self {
        Self(Box::new(guard))
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

/// Whose turn it is to use up a secret that is good for one use.
#[derive(Debug)]
pub enum Turn {
    /// Ours.
    Ours(Held),
    /// Another process's.
    Others,
    /// Nobody takes turns with it: it cannot be replaced, or there are no locks where it is kept.
    Nobodys,
}

/// Resolves the references of one scheme.
///
/// Batch is the only primitive: a provider that asks one at a time loops, a provider with a bulk
/// API saves the round trips, and no caller has to know which.
pub trait Provider: Send + Sync {
    /// The scheme that this provider owns, without `://`.
    fn scheme(&self) -> &str;

    /// Cheap enough for every call: what a value that was resolved earlier must still carry to be
    /// used again without asking.
    fn stamp(&self, reference: &SecretRef) -> Stamp {
        let _ = reference;
        None
    }

    /// Whether what is stored at `reference` may be used for `purpose` (decision 10). A reference
    /// at which nothing is stored may be: [`resolve`](Self::resolve) says that it is not.
    fn permits(&self, reference: &SecretRef, purpose: Purpose<'_>) -> Result<(), ResolveError> {
        let _ = (reference, purpose);
        Ok(())
    }

    /// Keeps `secret` at `reference`, in the place of what is there, and for the same use.
    ///
    /// # Errors
    ///
    /// This provider only reads.
    fn replace(&self, reference: &SecretRef, secret: Secret) -> Result<(), ResolveError> {
        drop(secret);
        let why = "it can only be read".to_owned();
        Err(ResolveError::Denied { reference: reference.clone(), why })
    }

    /// Whose turn it is to use up what is stored at `reference` and replace it: of all processes, one at
    /// a time has it.
    fn turn(&self, reference: &SecretRef) -> Turn {
        let _ = reference;
        Turn::Nobodys
    }

    /// Resolves `refs`. The answer at index `i` belongs to `refs[i]`; one failure fails only its
    /// own entry. Every reference has our scheme.
    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>>;
}

/// The secrets of services, and the matcher of everything that is loaded.
pub trait Credentials: Send + Sync {
    /// The credential that `keys` tells of. References that belong to other services of `catalog`
    /// may be loaded along with it, so that one matcher knows them all (RR-14).
    fn resolve<'a>(
        &'a self,
        catalog: &'a Catalog,
        keys: Keys<'a>,
    ) -> BoxFuture<'a, Result<Arc<Credential>, ResolveError>>;

    /// Matches every secret that is loaded now, the ones just resolved included.
    fn redactor(&self) -> Arc<Redactor>;

    /// Makes `secret`, which was minted for `service`, known to the redactor, from now on.
    fn learn(&self, service: &Name, secret: Arc<Secret>);

    /// Keeps `secret` in the place of the one in `field`, which a server has replaced.
    ///
    /// # Errors
    ///
    /// Where that one came from, nothing can be written.
    fn replace(&self, keys: Keys<'_>, field: &str, secret: Secret) -> Result<(), ResolveError>;

    /// Whose turn it is to use up the secret in `field` and [replace](Self::replace) it. Who gets the
    /// turn [reads it again](Self::newest): another process may have replaced it.
    fn turn(&self, keys: Keys<'_>, field: &str) -> Turn;

    /// The secret in `field` as it is stored now, known to the redactor.
    fn newest<'a>(
        &'a self,
        keys: Keys<'a>,
        field: &'a str,
    ) -> BoxFuture<'a, Result<Arc<Secret>, ResolveError>>;
}

/// The configured services, as of now.
pub trait Registry: Send + Sync {
    /// The catalogue. Costs one `stat` where nothing changed. A configuration that was broken by an
    /// edit leaves the last good one in force.
    fn current(&self) -> Arc<Catalog>;
}

/// The kill switch (decision 17).
pub trait KillSwitch: Send + Sync {
    /// Whether `principal` may call `service` at all, now. Costs one `stat`.
    ///
    /// # Errors
    ///
    /// `locked`.
    fn check(&self, principal: &Name, service: &Name) -> Result<(), Refusal>;
}

/// What came of a prompt in the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompted {
    /// It was answered.
    Answered(Answer),
    /// It was answered so long after it was shown, and the client brought the answer in another call.
    Brought(Answer, Duration),
    /// The user has seen the code, and will answer in the window.
    Seen,
    /// The client will show it and come back with the answer in another call.
    Later,
    /// The client cannot show it, or did not say what became of it.
    Unable,
}

/// The prompt that an agent's client shows: it stands on the agent's side, so it is a weak way to ask
/// (decision 15).
pub trait Prompt: Send + Sync {
    /// Shows the question `id`. `session`: yes can be said for the session too. `code`: what the window
    /// shows too, to be compared, or what is to be typed there.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the prompt back.
    fn ask<'a>(
        &'a self,
        id: &'a str,
        question: &'a Question,
        session: bool,
        code: Option<&'a dyn Verification>,
    ) -> BoxFuture<'a, Prompted>;
}

/// Resolves host names.
pub trait Dns: Send + Sync {
    /// Every address of `host`, which is a name and not an address.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The broker's calls, as the MCP tools need them.
///
/// Every method takes the caller from the transport. `cancel` completes when the caller is gone.
pub trait Calls: Send + Sync {
    /// Makes one HTTP call.
    fn execute<'a>(
        &'a self,
        caller: &'a Caller,
        call: Execute,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Finished>;

    /// Runs one program.
    fn exec<'a>(
        &'a self,
        caller: &'a Caller,
        call: Exec,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Executed>;

    /// The services that `caller` may use.
    fn list_services(&self, caller: &Caller) -> Vec<ServiceView>;

    /// What the policy says to a request, without making it. A service that is not visible to the
    /// caller is `not_found`.
    fn explain(&self, caller: &Caller, call: Execute) -> Result<Explained, Refusal>;

    /// What the policy says to a command line, without running it. A service that is not visible to
    /// the caller is `not_found`.
    fn explain_command(
        &self,
        caller: &Caller,
        service: &str,
        command: Vec<String>,
    ) -> Result<Explained, Refusal>;

    /// What the rules say to a call of `tool` of a mounted server, by the name that the server gives it,
    /// without making it. A server that is not visible to the caller is `not_found`.
    fn explain_tool(
        &self,
        caller: &Caller,
        server: &str,
        tool: &str,
        arguments: Option<&str>,
    ) -> Result<Explained, Refusal> {
        let _ = (caller, server, tool, arguments);
        Err(Refusal::new(Code::NotFound, "there is no such server"))
    }

    /// Whether the service answers and takes the credential.
    fn test_service<'a>(
        &'a self,
        caller: &'a Caller,
        service: &'a str,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<Tested, (Refusal, Option<String>)>>;

    /// Who the caller is to us.
    fn whoami<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, WhoAmI>;

    /// Puts a request for access before a person. Nothing is wider for it. Says the same whether or not
    /// there is such a service.
    fn request_access<'a>(
        &'a self,
        caller: &'a Caller,
        request: RequestAccess,
    ) -> BoxFuture<'a, Result<Requested, (Refusal, Option<String>)>>;
}

/// Makes the calls of servers' tools: judged, asked for, recorded.
pub trait Tools: Send + Sync {
    /// Calls `tool` of `server`, by the name that the server gives it. What is permitted is handed to
    /// `act`; `cancel` ends it.
    fn call_tool<'a>(
        &'a self,
        caller: &'a Caller,
        call: ToolRequest<'a>,
        act: Box<dyn ToolAct + 'a>,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, ToolCalled>;

    /// Reads something of a server that is no tool: a resource, a prompt, a completion. Whoever may use the
    /// server may; what is permitted is handed to `act`, and both ends are recorded.
    fn read<'a>(
        &'a self,
        caller: &'a Caller,
        read: ReadRequest<'a>,
        act: Box<dyn ReadAct + 'a>,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, ToolCalled>;

    /// The servers that `caller` may use.
    fn servers(&self, caller: &Caller) -> Vec<Arc<Served>>;

    /// Records that definitions of tools of `server` wait for a person from now on.
    fn noticed(&self, server: &Name, news: &[News]) {
        let _ = (server, news);
    }
}

/// What a caller wants to read of a server.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest<'a> {
    /// The server.
    pub server: &'a str,
    /// The method of MCP.
    pub method: &'static str,
    /// Which one, by the name or address that the server gives it.
    pub what: &'a str,
    /// Bytes of what is sent along.
    pub bytes: usize,
}

/// Tells how long a call has stood still because somebody was asked something about it: no time of its own.
pub trait Halts: Send + Sync {
    /// All in all, up to now.
    fn stood(&self) -> Duration;
}

/// Takes a permitted reading to its server.
pub trait ReadAct: Send {
    /// Reads. It ends early when `cancel` does.
    fn act<'a>(
        self: Box<Self>,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<ToolAnswer, Refusal>>
    where
        Self: 'a;

    /// What tells how long it has stood still, where it can.
    fn halts(&self) -> Option<Arc<dyn Halts>> {
        None
    }
}

/// What a caller wants of a server.
#[derive(Clone, Copy, Debug)]
pub struct ToolRequest<'a> {
    /// The server.
    pub server: &'a str,
    /// The tool, by the name that the server gives it.
    pub tool: &'a str,
    /// The arguments, as they were written.
    pub arguments: Option<&'a str>,
    /// How the tool's definition stands.
    pub standing: Standing,
}

/// Takes a permitted call to its server.
pub trait ToolAct: Send {
    /// Makes it. It ends early when `cancel` does.
    fn act<'a>(
        self: Box<Self>,
        call: ToolCall,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<ToolAnswer, Refusal>>
    where
        Self: 'a;

    /// What tells how long it has stood still, where it can.
    fn halts(&self) -> Option<Arc<dyn Halts>> {
        None
    }
}

/// Reaches MCP servers at an address: the address is vetted and dialled, the request is sent with the site's
/// headers and its access token, a redirect is followed within its origin.
pub trait Far: Send + Sync {
    /// Sends `ask`, and comes back with the head of the answer, whatever its status is.
    ///
    /// There is a deadline for the connection only: how long an answer may take, who asks knows.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the connection or the stream is closed.
    ///
    /// # Errors
    ///
    /// There is no answer. Nothing of what the server said is in the error.
    fn send(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, Failed>>;
}

/// Finds the principal of a bearer token.
pub trait Authenticator: Send + Sync {
    /// The principal, or `None` after the same work.
    fn authenticate(&self, token: &Secret) -> Option<Principal>;

    /// Records a failed attempt.
    fn refused(&self, draft: Draft);
}
