//! An HMAC over a text that the service lays down, in headers or query parameters.

mod plan;

pub use plan::SETTINGS;

use http::Method;
use strongroom_model::code::Refusal;
use strongroom_model::injection::Bound;
use strongroom_model::service::{Auth, Slots};
use strongroom_seal::hex;
use strongroom_seal::sign::hmac::sign;

use self::plan::{Clock, Item, Part, Place, Plan};
use super::{AuthError, Moment, Outgoing, Scheme, Slot, field, unfit};

/// Needs the secret `secret`, which signs, and the settings of its [`Plan`]; the secrets `key` and
/// `passphrase` where these name them.
pub(super) struct Hmac;

impl Scheme for Hmac {
    fn name(&self) -> &'static str {
        "hmac"
    }

    fn slots(&self, auth: &Auth) -> Result<Slots, AuthError> {
        let plan = Plan::of(auth)?;
        let mut slots = Slots::default();
        for (_, place) in plan.sent {
            match place {
                Place::Header(name) => slots.headers.push(name.as_str().to_owned()),
                Place::Query(name) => slots.query.push(name.to_owned()),
            }
        }
        Ok(slots)
    }

    fn inject(
        &self,
        auth: &Auth,
        bound: &Bound,
        outgoing: &mut Outgoing,
        moment: &Moment<'_>,
    ) -> Result<(), Refusal> {
        let plan = Plan::of(auth).map_err(|_| unfit("a signature"))?;
        let said = Said {
            timestamp: timestamp(plan.clock, moment),
            nonce: hex(&moment.nonce),
            window: plan.window.unwrap_or_default(),
        };
        // What goes into the query first: it is part of the query that is signed.
        for (item, place) in &plan.sent {
            if let (Place::Query(name), Some(slot)) = (place, said.slot(*item, bound)?) {
                outgoing.add_query(name, &slot);
            }
        }
        let key = if plan.signs(&Part::Key) { said.slot(Item::Key, bound)? } else { None };
        let key = key.as_ref().map_or(&[][..], |key| &key.0);
        let pieces: Vec<&[u8]> =
            plan.text.iter().map(|part| said.piece(part, key, outgoing)).collect();
        let signature = sign(plan.algorithm, plan.encoding, field(bound, "secret")?, &pieces);
        for (item, place) in plan.sent {
            let slot = said.slot(item, bound)?;
            match (place, slot) {
                (Place::Query(_), Some(_)) => {}
                (Place::Header(name), Some(slot)) => outgoing.set_header(name, slot)?,
                (Place::Query(name), None) => outgoing.add_query(name, &plain(&signature)),
                (Place::Header(name), None) => outgoing.set_header(name, plain(&signature))?,
            }
        }
        Ok(())
    }
}

/// What we say of ourselves in one request.
struct Said<'a> {
    timestamp: String,
    nonce: String,
    window: &'a str,
}

impl Said<'_> {
    /// What is sent as `item`; `None` for the signature, which is not known yet.
    fn slot(&self, item: Item, bound: &Bound) -> Result<Option<Slot>, Refusal> {
        let secret =
            |name| field(bound, name).map(|secret| Slot::with_room(secret.len()).secret(secret));
        Ok(Some(match item {
            Item::Key => secret("key")?,
            Item::Passphrase => secret("passphrase")?,
            Item::Timestamp => plain(&self.timestamp),
            Item::Nonce => plain(&self.nonce),
            Item::Window => plain(self.window),
            Item::Signature => return Ok(None),
        }))
    }

    /// What stands for `part` in the text that is signed.
    fn piece<'a>(&'a self, part: &'a Part<'_>, key: &'a [u8], outgoing: &'a Outgoing) -> &'a [u8] {
        let (path, query) = outgoing.path_and_query();
        match part {
            Part::Text(text) => text.as_bytes(),
            Part::Method => outgoing.method.as_str().as_bytes(),
            Part::Path => path,
            Part::Query => query,
            Part::Target => &outgoing.target,
            Part::Body => &outgoing.body,
            Part::Payload => {
                let carries = [Method::POST, Method::PUT, Method::PATCH].contains(&outgoing.method);
                if carries { &outgoing.body } else { query }
            }
            Part::Timestamp => self.timestamp.as_bytes(),
            Part::Nonce => self.nonce.as_bytes(),
            Part::Window => self.window.as_bytes(),
            Part::Key => key,
        }
    }
}

fn plain(text: &str) -> Slot {
    Slot::with_room(text.len()).text(text)
}

fn timestamp(clock: Clock, moment: &Moment<'_>) -> String {
    match clock {
        Clock::Seconds => moment.unix().as_secs().to_string(),
        Clock::Millis => moment.unix().as_millis().to_string(),
        Clock::Iso => {
            let at = moment.utc();
            let (hour, minute, second, milli) = at.time().as_hms_milli();
            format!("{}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", at.date())
        }
    }
}
