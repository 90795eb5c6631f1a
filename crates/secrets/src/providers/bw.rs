//! `bw://ID`: Bitwarden Secrets Manager, by its command line tool `bws`.
//!
//! One secret is got by its id; several are taken from the list of all that the machine account may
//! see, which is one process.

use std::collections::BTreeMap;

use serde::Deserialize;
use strongroom_model::ports::{BoxFuture, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

use super::program::{Answered, Call, PASS_ENV, PROGRAM, Program, Tool, each, token_rejected};
use super::usable;
use crate::settings::{Context, Field, Kind, SettingError, Settings, Tokens};

/// What `[providers.bw]` takes.
pub(super) const FIELDS: &[Field] = &[
    Field { name: "token", kind: Kind::Secret, about: "the access token of a machine account" },
    Field {
        name: "server",
        kind: Kind::Url,
        about: "the server, where it is not vault.bitwarden.com",
    },
    PROGRAM,
    PASS_ENV,
];

/// The program.
pub(super) static TOOL: Tool =
    Tool { scheme: "bw", name: "bws", windows: "bws", keep: &["XDG_CONFIG_HOME"] };

/// The variable with the access token.
pub(super) const TOKEN_VARIABLE: &str = "BWS_ACCESS_TOKEN";

/// The list may be as large as so many secrets.
const LIST: usize = 16;

/// Asks `bws`.
pub(super) struct BwProvider {
    program: Program,
    token: Option<SecretRef>,
    context: Context,
    tokens: Tokens,
}

/// The provider of `[providers.bw]`.
pub(super) fn new(settings: &Settings, context: &Context) -> Result<BwProvider, SettingError> {
    let mut program = Program::new(&TOOL, settings, context)?;
    if let Some(server) = settings.text("server") {
        program.set("BWS_SERVER_URL", server);
    }
    Ok(BwProvider {
        program,
        token: settings.secret("token").cloned(),
        context: context.clone(),
        tokens: context.tokens.clone(),
    })
}

/// A secret, as `bws` prints it.
#[derive(Deserialize)]
struct Entry {
    id: String,
    value: String,
}

type Answer = Result<Secret, ResolveError>;

impl BwProvider {
    async fn token(&self) -> Answer {
        if let Some(reference) = &self.token {
            return self.tokens.get("bw", reference).await;
        }
        let token = self.context.text(TOKEN_VARIABLE);
        token.map(|token| Secret::new(token.into_bytes())).ok_or_else(|| {
            let fix = "run `strongroom provider set bw --token-stdin` with the token of a machine account";
            ResolveError::absent("bw", "it has no access token", fix)
        })
    }

    async fn ask(
        &self,
        args: &[&str],
        count: usize,
        token: &Secret,
    ) -> Result<Answered, ResolveError> {
        let common = ["--output", "json", "--color", "no"];
        let args = args.iter().chain(&common).map(Into::into).collect();
        let token = Some((TOKEN_VARIABLE, token));
        self.program.ask(Call { args, token, count, ..Call::default() }).await
    }

    async fn one(&self, reference: &SecretRef, token: &Secret) -> Answer {
        let answered = self.ask(&["secret", "get", reference.path()], 1, token).await?;
        if answered.code != Some(0) {
            return Err(match trouble(&answered) {
                Some(error) => error,
                None if answered.says(&["[404"]) => not_found(reference),
                None => unknown(),
            });
        }
        if answered.flooded {
            return answered.into_secret(reference);
        }
        let entry: Entry = serde_json::from_slice(&answered.stdout).map_err(|_| garbled())?;
        if !entry.id.eq_ignore_ascii_case(reference.path()) {
            return Err(garbled());
        }
        usable(Secret::new(entry.value.into_bytes()), reference)
    }

    async fn many(&self, refs: &[SecretRef], token: &Secret) -> Vec<Answer> {
        let answered = match self.ask(&["secret", "list"], LIST, token).await {
            Ok(answered) if answered.flooded => {
                return each(refs, |reference| self.one(reference, token)).await;
            }
            Ok(answered) => answered,
            Err(error) => return refs.iter().map(|_| Err(error.clone())).collect(),
        };
        if answered.code != Some(0) {
            // An account that may see nothing is told that there is nothing.
            return match trouble(&answered) {
                None if answered.says(&["[404"]) => {
                    refs.iter().map(|reference| Err(not_found(reference))).collect()
                }
                error => {
                    let error = error.unwrap_or_else(unknown);
                    refs.iter().map(|_| Err(error.clone())).collect()
                }
            };
        }
        let Ok(entries) = serde_json::from_slice::<Vec<Entry>>(&answered.stdout) else {
            return refs.iter().map(|_| Err(garbled())).collect();
        };
        let by_id = |entry: Entry| (entry.id.to_lowercase(), Secret::new(entry.value.into_bytes()));
        let entries: BTreeMap<String, Secret> = entries.into_iter().map(by_id).collect();
        let value = |reference: &SecretRef| {
            let found = entries.get(&reference.path().to_lowercase());
            let found = found.ok_or_else(|| not_found(reference))?;
            usable(Secret::new(found.expose().to_vec()), reference)
        };
        refs.iter().map(value).collect()
    }
}

impl Provider for BwProvider {
    fn scheme(&self) -> &'static str {
        "bw"
    }

    fn resolve<'a>(&'a self, refs: &'a [SecretRef]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(async move {
            if refs.is_empty() {
                return Vec::new();
            }
            match (self.token().await, refs) {
                (Ok(token), [only]) => vec![self.one(only, &token).await],
                (Ok(token), _) => self.many(refs, &token).await,
                (Err(error), _) => refs.iter().map(|_| Err(error.clone())).collect(),
            }
        })
    }
}

/// What is wrong with more than one secret.
fn trouble(answered: &Answered) -> Option<ResolveError> {
    let rejected = [
        "[401",
        "invalid_client",
        "is the wrong version",
        "access token is not in a valid format",
        "missing access token",
        "access token is invalid",
        "has the wrong number of parts",
    ];
    let network = ["error sending request", "dns error", "connection refused", "timed out", "[50"];
    if answered.says(&["[429", "too many requests"]) {
        Some(ResolveError::Limited { scheme: "bw".to_owned() })
    } else if answered.says(&rejected) {
        Some(token_rejected("bw"))
    } else if answered.says(&network) {
        Some(ResolveError::unreachable("bw", "Bitwarden does not answer"))
    } else {
        None
    }
}

fn not_found(reference: &SecretRef) -> ResolveError {
    ResolveError::NotFound { reference: reference.clone() }
}

fn unknown() -> ResolveError {
    ResolveError::unreachable("bw", "its program failed in a way that is not known")
}

fn garbled() -> ResolveError {
    ResolveError::unreachable("bw", "its program answered in a form that is not known")
}
