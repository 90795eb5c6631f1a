//! 1Password's command line tool, `op`.
//!
//! All references of a batch are resolved by one `op inject`. It fails as a whole where one
//! reference is bad, so then the batch is taken apart: whatever its message names is asked for
//! alone and the rest again together; where it names nothing, the batch is halved. What is wrong
//! with the session itself (a token that is not accepted, a rate limit, no network) ends the matter
//! at once for all of them, so that nobody is locked out for asking on.

use strongroom_model::ports::{BoxFuture, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_seal::file::{FileError, open_private, read};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::super::TOO_LARGE;
use super::super::program::{Answered, Call, Program, Tool, each, too_slow};
use super::batch::{Garbled, Template};
use super::words::{self, All, Trouble};
use crate::settings::{Context, SettingError, Settings, Tokens};

/// The variable with the token of a service account.
pub(in super::super) const TOKEN_VARIABLE: &str = "OP_SERVICE_ACCOUNT_TOKEN";

/// The file with the token of a service account, in the user's home.
pub(in super::super) const TOKEN_FILE: &str = ".config/op/claude-dev-token";

/// The program.
pub(in super::super) static TOOL: Tool = Tool {
    scheme: "op",
    name: "op",
    windows: "1Password CLI",
    keep: &["XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "OP_BIOMETRIC_UNLOCK_ENABLED"],
};

/// A token has some hundred bytes.
const LARGEST_TOKEN: usize = 64 << 10;

/// Further processes after the first one, at most: for each bad reference it takes about two.
const FURTHER: usize = 32;

/// Asks `op`.
pub(super) struct Cli {
    program: Program,
    token: Option<SecretRef>,
    context: Context,
    tokens: Tokens,
}

/// The provider of `[providers.op]`.
pub(super) fn new(settings: &Settings, context: &Context) -> Result<Cli, SettingError> {
    let mut program = Program::new(&TOOL, settings, context)?;
    if let Some(account) = settings.text("account") {
        program.set("OP_ACCOUNT", account);
    }
    Ok(Cli {
        program,
        token: settings.secret("token").cloned(),
        context: context.clone(),
        tokens: context.tokens.clone(),
    })
}

type Answer = Result<Secret, ResolveError>;

/// How one `op inject` went.
enum Injected {
    Answers(Vec<Answer>),
    /// One of them is bad: which, if it can be told, and what it would be if it were alone.
    Bad {
        named: Vec<usize>,
        alone: Box<dyn Fn(&SecretRef) -> ResolveError + Send>,
    },
    /// It would be the same for all of them.
    Stop(ResolveError),
}

impl Provider for Cli {
    fn scheme(&self) -> &'static str {
        "op"
    }

    fn resolve<'a>(&'a self, refs: &'a [SecretRef]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(async move {
            if refs.is_empty() {
                return Vec::new();
            }
            let token = match self.token().await {
                Ok(token) => token,
                Err(error) => return refs.iter().map(|_| Err(error.clone())).collect(),
            };
            self.resolve_with(refs, token.as_ref()).await
        })
    }
}

impl Cli {
    /// The token; `None`: the desktop app's session is used.
    async fn token(&self) -> Result<Option<Secret>, ResolveError> {
        if let Some(reference) = &self.token {
            return self.tokens.get("op", reference).await.map(Some);
        }
        if let Some(token) = self.context.text(TOKEN_VARIABLE) {
            return Ok(Some(Secret::new(token.into_bytes())));
        }
        let path = self.context.home.join(TOKEN_FILE);
        let mut bytes = match open_private(&path).and_then(|file| read(&file, &path, LARGEST_TOKEN))
        {
            Ok(bytes) => bytes,
            Err(FileError::Missing { .. }) => return Ok(None),
            Err(FileError::Unsafe { problem, fix, .. }) => {
                let why =
                    format!("`{}`, which has its token, is not safe: {problem}", path.display());
                return Err(ResolveError::absent("op", why, fix));
            }
            Err(_) => return Err(ResolveError::unreachable("op", "its token cannot be read")),
        };
        bytes.truncate(bytes.trim_ascii_end().len());
        Ok(Some(Secret::new(bytes)))
    }

    async fn resolve_with(&self, refs: &[SecretRef], token: Option<&Secret>) -> Vec<Answer> {
        // One run, and as long again for taking a batch apart.
        let deadline = Instant::now() + self.program.timeout() * 2;
        let mut answers: Vec<Option<Answer>> = refs.iter().map(|_| None).collect();
        let mut groups: Vec<Vec<usize>> = vec![(0..refs.len()).collect()];
        let mut left = FURTHER;
        let mut stopped = None;
        while !groups.is_empty() && stopped.is_none() {
            let asked = std::mem::take(&mut groups);
            let round = each(&asked, |group| self.inject(refs, group, token, deadline)).await;
            for (group, injected) in asked.into_iter().zip(round) {
                match injected {
                    Injected::Answers(values) => {
                        for (place, value) in group.into_iter().zip(values) {
                            answers[place] = Some(value);
                        }
                    }
                    Injected::Bad { alone, .. } if group.len() == 1 => {
                        answers[group[0]] = Some(Err(alone(&refs[group[0]])));
                    }
                    Injected::Bad { named, .. } => groups.extend(apart(&group, &named)),
                    Injected::Stop(error) => stopped = Some(error),
                }
            }
            if groups.len() > left {
                stopped.get_or_insert_with(|| {
                    ResolveError::unreachable("op", "too many references in one batch are bad")
                });
            }
            left = left.saturating_sub(groups.len());
        }
        let why = stopped.unwrap_or_else(|| All::Unknown.error(token.is_some()));
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(why.clone()))).collect()
    }

    /// Asks for the references at the places of `group` in one process.
    async fn inject(
        &self,
        refs: &[SecretRef],
        group: &[usize],
        token: Option<&Secret>,
        deadline: Instant,
    ) -> Injected {
        let wanted: Vec<&SecretRef> = group.iter().map(|place| &refs[*place]).collect();
        let template = match Template::new(wanted.iter().copied()) {
            Ok(template) => template,
            Err(error) => return Injected::Stop(error),
        };
        let call = Call {
            args: vec!["inject".into()],
            input: Zeroizing::new(template.text.clone().into_bytes()),
            token: token.map(|token| (TOKEN_VARIABLE, token)),
            count: wanted.len(),
            ..Call::default()
        };
        let late = || too_slow("op", self.program.timeout());
        let answered = match timeout_at(deadline, self.program.ask(call)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => return Injected::Stop(error),
            Err(_) => return Injected::Stop(late()),
        };
        read_answer(&template, &answered, &wanted, group, token.is_some())
    }
}

fn read_answer(
    template: &Template,
    answered: &Answered,
    wanted: &[&SecretRef],
    group: &[usize],
    has_token: bool,
) -> Injected {
    if answered.flooded {
        let why = TOO_LARGE;
        let alone = move |reference: &SecretRef| ResolveError::Unusable {
            reference: reference.clone(),
            why,
        };
        return Injected::Bad { named: Vec::new(), alone: Box::new(alone) };
    }
    if answered.went_well() {
        return match template.read(&answered.stdout, wanted) {
            Ok(answers) => Injected::Answers(answers),
            Err(Garbled) => Injected::Stop(ResolveError::unreachable(
                "op",
                "its program answered in a form that is not known",
            )),
        };
    }
    match words::read(answered.said()) {
        Trouble::All(all) => Injected::Stop(all.error(has_token)),
        // What is wrong with an item is wrong for every field of it.
        Trouble::One(one) if words::is_about_item(answered.said()) && are_of_one_item(wanted) => {
            Injected::Answers(wanted.iter().map(|reference| Err(one.of(reference))).collect())
        }
        Trouble::One(one) => {
            let places = group.iter().zip(wanted);
            let named = places.filter(|(_, reference)| words::name(answered.said(), reference));
            Injected::Bad {
                named: named.map(|(place, _)| *place).collect(),
                alone: Box::new(move |reference| one.of(reference)),
            }
        }
    }
}

fn are_of_one_item(refs: &[&SecretRef]) -> bool {
    let item = |reference: &&SecretRef| {
        let mut parts = reference.path().split('/');
        (parts.next().map(str::to_owned), parts.next().map(str::to_owned))
    };
    refs.windows(2).all(|pair| item(&pair[0]) == item(&pair[1]))
}

/// Smaller groups of a group that has a bad reference in it: the ones that were named apart from
/// the others, or halves.
fn apart(group: &[usize], named: &[usize]) -> Vec<Vec<usize>> {
    /// So many are asked for alone; more are first asked for together.
    const FEW: usize = 2;
    if named.is_empty() || named.len() == group.len() {
        let (left, right) = group.split_at(group.len() / 2);
        return vec![left.to_vec(), right.to_vec()];
    }
    let others = group.iter().copied().filter(|place| !named.contains(place)).collect();
    let mut groups = vec![others];
    if named.len() <= FEW {
        groups.extend(named.iter().map(|place| vec![*place]));
    } else {
        groups.push(named.to_vec());
    }
    groups
}
