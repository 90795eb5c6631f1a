//! Handles: what an agent gets in the place of a credential that an API has made for it.
//!
//! A service lists the fields of its answers that hold new credentials (`seal_fields`). Such a value
//! stays here, known to the redactor, and the agent gets a handle, which says nothing about it. The
//! agent puts the handle where the API wants the credential, and there it is swapped for it: for the
//! same principal at the same service and origin, once the policy has judged the request with the
//! handle in it, right before it is sent (decision 47).
//!
//! `places` says where in a request handles may stand, and refuses one that stands anywhere else.

mod places;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use memchr::memmem;
use strongroom_model::canonical::CanonicalRequest;
use strongroom_model::code::{Code, Refusal};
use strongroom_model::injection::Credential;
use strongroom_model::ports::Credentials;
use strongroom_model::principal::Name;
use strongroom_model::redact::SAFE;
use strongroom_model::secret::Secret;
use strongroom_model::service::{Origin, Service};
use strongroom_seal::sign::escape::encode_into;
use strongroom_seal::{hex, random};
use zeroize::Zeroizing;

use places::{BEARER, Part, Place};

pub(crate) use places::{in_command, in_headers, in_redirect, none_dropped};

/// What every handle begins with; 32 hexadecimal digits follow.
const BEGINNING: &str = "srh_";

/// A handle is good for so long after its credential was last seen in an answer.
const LIFE: Duration = Duration::from_hours(8);

/// Handles of one principal at one service; the oldest ends where another is made.
const MOST: usize = 64;

/// Handles that one answer makes at the most; further values are redacted.
const MOST_OF_AN_ANSWER: usize = 8;

/// A value with fewer bytes may be a word, which must not become a secret; one with more is none.
const SHORTEST: usize = 16;
const LONGEST: usize = 16 << 10;

/// Every handle of this process. None outlives it.
#[derive(Default)]
pub(crate) struct Handles(Mutex<HashMap<(Name, Name), VecDeque<Kept>>>);

/// A credential, and the handle that stands for it.
struct Kept {
    handle: String,
    /// Where it came from, and nothing else is where it goes.
    origin: Origin,
    secret: Arc<Secret>,
    /// By the monotonic clock.
    end: Duration,
}

/// To whom a handle means something, and where.
#[derive(Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub(crate) principal: &'a Name,
    pub(crate) service: &'a Service,
}

impl Whose<'_> {
    fn key(self) -> (Name, Name) {
        (self.principal.clone(), self.service.name.clone())
    }
}

impl Handles {
    /// Looks at every handle in `request`, and says how many there are.
    ///
    /// # Errors
    ///
    /// `policy_denied`: one stands where none is swapped, or means nothing to `whose`. That it was
    /// made up, is another's or has ended is told apart nowhere.
    pub(crate) fn check(
        &self,
        whose: Whose<'_>,
        request: &CanonicalRequest,
        now: Duration,
    ) -> Result<u64, Refusal> {
        let places = places::of(whose.service, request)?;
        places.iter().try_for_each(|place| self.find(whose, place, now).map(drop))?;
        Ok(places.len() as u64)
    }

    /// What is sent in the place of the handles in `request`. Its credentials are known to the
    /// redactor from now on, should they not be any more.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check): a person may have thought about the request for a while.
    /// `invalid_request`: a credential cannot stand in a header.
    pub(crate) fn swap(
        &self,
        whose: Whose<'_>,
        request: &CanonicalRequest,
        credentials: &dyn Credentials,
        now: Duration,
    ) -> Result<Swaps, Refusal> {
        let places = places::of(whose.service, request)?;
        let mut swaps = Swaps::default();
        if places.is_empty() {
            return Ok(swaps);
        }
        let found = places.iter().map(|place| Ok((place, self.find(whose, place, now)?)));
        let found: Vec<_> = found.collect::<Result<_, Refusal>>()?;
        // Room for the worst case, so that no copy is left behind by a growing buffer: a byte in JSON
        // becomes six at the most.
        let room = found.iter().map(|(_, secret)| 6 * secret.len() + 2).sum();
        let mut target = Splice::new(request.target().as_bytes(), room);
        let mut body = Splice::new(request.body(), room);
        for (place, secret) in &found {
            make_known(credentials, &whose.service.name, secret);
            let value = secret.expose();
            match place.part {
                Part::Query => target.put(place, |out| encode_into(value, out)),
                Part::Form => body.put(place, |out| encode_into(value, out)),
                Part::Json => body.put(place, |out| write_json(value, out)),
                Part::Header(at) => {
                    swaps.headers.push((at, in_header(place.range.start > 0, value)?));
                }
            }
        }
        swaps.target = target.finish();
        swaps.body = body.finish().map(Bytes::from_owner);
        Ok(swaps)
    }

    fn find(&self, whose: Whose<'_>, place: &Place, now: Duration) -> Result<Arc<Secret>, Refusal> {
        let all = self.lock();
        let kept = all.get(&whose.key()).into_iter().flatten().find(|kept| {
            kept.handle == place.handle && now < kept.end && kept.origin == whose.service.origin
        });
        kept.map(|kept| Arc::clone(&kept.secret)).ok_or_else(|| {
            let text = "a handle in this request is not one of yours for this service, or is no \
                        longer good: have the API make a new credential";
            Refusal::new(Code::PolicyDenied, text)
        })
    }

    /// Keeps `secret` and gives the handle that stands for it; the same one for what is kept already.
    /// `None` where the system has no random numbers.
    fn keep(&self, whose: Whose<'_>, secret: Secret, now: Duration) -> Option<Given> {
        let mut bits = [0; 16];
        random(&mut bits).ok()?;
        let origin = &whose.service.origin;
        let mut all = self.lock();
        all.retain(|_, kept| {
            kept.retain(|kept| now < kept.end);
            !kept.is_empty()
        });
        let own = all.entry(whose.key()).or_default();
        let end = now + LIFE;
        let there =
            own.iter_mut().find(|kept| kept.origin == *origin && kept.secret.ct_eq(&secret));
        if let Some(kept) = there {
            kept.end = end;
            return Some((kept.handle.clone(), Arc::clone(&kept.secret)));
        }
        if own.len() >= MOST {
            own.pop_front();
        }
        let (handle, secret) = (format!("{BEGINNING}{}", hex(&bits)), Arc::new(secret));
        let given = (handle.clone(), Arc::clone(&secret));
        own.push_back(Kept { handle, origin: origin.clone(), secret, end });
        Some(given)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Name, Name), VecDeque<Kept>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle, and what it stands for.
type Given = (String, Arc<Secret>);

/// What a call was authenticated with: an upstream that answers with it has made nothing new.
#[derive(Clone, Default)]
pub(crate) struct Own {
    pub(crate) credential: Option<Arc<Credential>>,
    pub(crate) token: Option<Arc<Secret>>,
}

impl Own {
    fn is_in(&self, value: &Secret) -> bool {
        let fields = self.credential.iter().flat_map(|credential| credential.fields());
        let mut secrets = fields.map(|(_, secret)| secret).chain(self.token.as_deref());
        secrets.any(|secret| {
            secret.len() >= SAFE && memmem::find(value.expose(), secret.expose()).is_some()
        })
    }
}

/// Keeps what one answer mints.
pub(crate) struct Sealer<'a> {
    handles: &'a Handles,
    whose: Whose<'a>,
    credentials: &'a dyn Credentials,
    own: Own,
    now: Duration,
    left: usize,
}

impl<'a> Sealer<'a> {
    /// For the answer to `whose` call. `good`: whether it went well; where it did not, what stands at
    /// the names is an explanation and no credential.
    pub(crate) fn new(
        handles: &'a Handles,
        whose: Whose<'a>,
        credentials: &'a dyn Credentials,
        own: Own,
        now: Duration,
        good: bool,
    ) -> Self {
        let left = if good { MOST_OF_AN_ANSWER } else { 0 };
        Self { handles, whose, credentials, own, now, left }
    }

    /// The handle for the value of the JSON string `quoted`; `None` where it is not kept.
    pub(crate) fn seal(&mut self, quoted: &[u8]) -> Option<String> {
        if self.left == 0 || quoted.len() < SHORTEST {
            return None;
        }
        let secret = Secret::new(serde_json::from_slice::<String>(quoted).ok()?.into_bytes());
        if !(SHORTEST..=LONGEST).contains(&secret.len()) || self.own.is_in(&secret) {
            return None;
        }
        let (handle, secret) = self.handles.keep(self.whose, secret, self.now)?;
        make_known(self.credentials, &self.whose.service.name, &secret);
        self.left -= 1;
        Some(handle)
    }
}

/// Sees to it that the redactor knows `secret`, which may have been pushed out by newer ones.
fn make_known(credentials: &dyn Credentials, service: &Name, secret: &Arc<Secret>) {
    let redactor = credentials.redactor();
    let is_known = redactor.found(secret.expose()).iter().any(|(at, _)| at.len() == secret.len());
    if !is_known {
        credentials.learn(service, Arc::clone(secret));
    }
}

/// What is sent in the place of the handles in a request.
#[derive(Default)]
pub(crate) struct Swaps {
    target: Option<Zeroizing<Vec<u8>>>,
    headers: Vec<(usize, HeaderValue)>,
    /// The body, where it is another one.
    pub(crate) body: Option<Bytes>,
}

impl Swaps {
    /// The target that goes out for `target`.
    pub(crate) fn target<'a>(&'a self, target: &'a str) -> &'a [u8] {
        self.target.as_ref().map_or(target.as_bytes(), |target| target)
    }

    /// The value of the header at `at` in the request, where it is another one.
    pub(crate) fn header(&self, at: usize) -> Option<&HeaderValue> {
        self.headers.iter().find(|(there, _)| *there == at).map(|(_, value)| value)
    }
}

/// A text in which some places get another content; every other byte stays.
struct Splice<'a> {
    text: &'a [u8],
    /// Nothing, where no place was written to.
    out: Option<Zeroizing<Vec<u8>>>,
    done: usize,
    /// Bytes that may come in the place of what is there.
    room: usize,
}

impl<'a> Splice<'a> {
    fn new(text: &'a [u8], room: usize) -> Self {
        Self { text, out: None, done: 0, room }
    }

    /// Places come in the order of the text.
    fn put(&mut self, place: &Place, write: impl FnOnce(&mut Vec<u8>)) {
        let size = self.text.len() + self.room;
        let out = self.out.get_or_insert_with(|| Zeroizing::new(Vec::with_capacity(size)));
        out.extend_from_slice(&self.text[self.done..place.range.start]);
        write(out);
        self.done = place.range.end;
    }

    fn finish(self) -> Option<Zeroizing<Vec<u8>>> {
        let mut out = self.out?;
        out.extend_from_slice(&self.text[self.done..]);
        Some(out)
    }
}

/// As a JSON string, quotes included. What was sealed was one, so that it is text.
fn write_json(value: &[u8], out: &mut Vec<u8>) {
    let text = std::str::from_utf8(value).unwrap_or_default();
    serde_json::to_writer(out, text).expect("a text is written to memory");
}

fn in_header(bearer: bool, value: &[u8]) -> Result<HeaderValue, Refusal> {
    let beginning = if bearer { BEARER.as_bytes() } else { b"" };
    let text = Zeroizing::new([beginning, value].concat());
    let visible = text.iter().all(|byte| (0x20..0x7f).contains(byte));
    let unfit = || {
        let text = "the credential that a handle stands for cannot be the value of a header";
        Refusal::new(Code::InvalidRequest, text)
    };
    let value = HeaderValue::from_maybe_shared(Bytes::from_owner(text)).map_err(|_| unfit());
    let mut value = if visible { value? } else { return Err(unfit()) };
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
