//! From references of any scheme to secrets: one batch for each provider, all at the same time.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

use strongroom_model::ports::{BoxFuture, Provider, Purpose, ResolveError, Stamp, Turn};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

/// The providers, by scheme.
pub struct Resolver {
    providers: BTreeMap<String, Box<dyn Provider>>,
}

type Answers = Vec<Result<Secret, ResolveError>>;

impl Resolver {
    /// A resolver of these providers; of two with one scheme, the later one counts.
    pub fn new(providers: Vec<Box<dyn Provider>>) -> Self {
        let named = |provider: Box<dyn Provider>| (provider.scheme().to_owned(), provider);
        Self { providers: providers.into_iter().map(named).collect() }
    }

    /// Resolves `refs`. The answer at index `i` belongs to `refs[i]`; one failure fails only its own
    /// entry.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn resolve(&self, refs: &[SecretRef]) -> Answers {
        let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, reference) in refs.iter().enumerate() {
            places.entry(reference.scheme()).or_default().push(place);
        }
        let batches = places.iter().map(|(scheme, places)| {
            let batch = places.iter().map(|place| refs[*place].clone()).collect();
            let ask: BoxFuture<'_, Answers> = Box::pin(self.ask(scheme, batch));
            ask
        });
        let answers = all(batches.collect()).await;

        let mut sorted: Vec<_> = refs.iter().map(|_| None).collect();
        for (places, answers) in places.values().zip(answers) {
            for (place, answer) in places.iter().zip(answers) {
                sorted[*place] = Some(answer);
            }
        }
        let unanswered = |reference: &SecretRef| {
            Err(ResolveError::unreachable(reference.scheme(), "it left a question unanswered"))
        };
        sorted
            .into_iter()
            .zip(refs)
            .map(|(answer, reference)| answer.unwrap_or_else(|| unanswered(reference)))
            .collect()
    }

    /// What a value that was resolved earlier must still carry.
    pub fn stamp(&self, reference: &SecretRef) -> Stamp {
        self.providers.get(reference.scheme())?.stamp(reference)
    }

    /// Whether what is stored at `reference` may be used for `purpose`.
    pub fn permits(&self, reference: &SecretRef, purpose: Purpose<'_>) -> Result<(), ResolveError> {
        match self.providers.get(reference.scheme()) {
            Some(provider) => provider.permits(reference, purpose),
            None => Err(no_provider(reference.scheme())),
        }
    }

    /// Keeps `secret` at `reference`, in the place of what is there.
    pub fn replace(&self, reference: &SecretRef, secret: Secret) -> Result<(), ResolveError> {
        match self.providers.get(reference.scheme()) {
            Some(provider) => provider.replace(reference, secret),
            None => Err(no_provider(reference.scheme())),
        }
    }

    /// Whose turn it is to use up what is stored at `reference`.
    pub fn turn(&self, reference: &SecretRef) -> Turn {
        self.providers
            .get(reference.scheme())
            .map_or(Turn::Nobodys, |provider| provider.turn(reference))
    }

    async fn ask(&self, scheme: &str, refs: Vec<SecretRef>) -> Answers {
        match self.providers.get(scheme) {
            Some(provider) => provider.resolve(&refs).await,
            None => refs.iter().map(|_| Err(no_provider(scheme))).collect(),
        }
    }
}

fn no_provider(scheme: &str) -> ResolveError {
    ResolveError::NoProvider { scheme: scheme.to_owned() }
}

/// Waits for every future at the same time, and gives what each came to, in order.
pub(crate) async fn all<T>(mut futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut waiting = false;
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(value) => *done = Some(value),
                    Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    done.into_iter().flatten().collect()
}
