//! What a client of the modern era keeps for us between the rounds of one call: `requestState`.
//!
//! It is bound, by a tag under a key of this process, to the principal and to the request that it was given
//! for, and is good for a while. One of another process begins the round anew (decision 33); one that is
//! not as it was given is refused.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_model::json::{self, Members};
use strongroom_model::principal::Name;
use strongroom_seal::hex;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::key::KEY;
use crate::wire::write::Object;

/// How long it is good.
pub(super) const GOOD_FOR: Duration = Duration::from_mins(10);

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The state of our own question, where that is what the client was asked.
    pub(super) approval: Option<String>,
    /// The server's own state.
    pub(super) state: Option<Box<str>>,
    /// What the client has brought for the server already, as written.
    pub(super) responses: Option<Box<str>>,
    /// The call that waits for the answer.
    pub(super) parked: Option<String>,
}

/// What a text stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It was given by another process.
    Others,
    /// It is what was given.
    Ours(Kept),
    /// It is not, or not for this principal and request, or no longer.
    Not,
}

/// What a state is bound to.
#[derive(Clone, Debug)]
pub(super) struct Bond {
    pub(super) principal: Name,
    /// Of the request, but for what changes with every round.
    pub(super) digest: [u8; 32],
}

/// Tells this process from others.
static NODE: LazyLock<String> = LazyLock::new(|| {
    let mut bytes = [0; 6];
    // Without random bytes there is no key either, and nothing is handed out.
    let _ = strongroom_seal::random(&mut bytes);
    hex(&bytes)
});

static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Bond {
    /// To a request of this method with these salient parts.
    pub(super) fn new(principal: &Name, parts: &[&[u8]]) -> Self {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        Self { principal: principal.clone(), digest: strongroom_seal::sha256(&bytes) }
    }

    /// The text that stands for `kept`.
    pub(super) fn seal(&self, kept: &Kept) -> Option<String> {
        let until = (BEGUN.elapsed() + GOOD_FOR).as_millis();
        let mut payload = Vec::with_capacity(128);
        let mut object = Object::open(&mut payload);
        object.number("until", u64::try_from(until).unwrap_or(u64::MAX));
        object.optional("approval", kept.approval.as_deref());
        object.optional("state", kept.state.as_deref());
        object.optional("responses", kept.responses.as_deref());
        object.optional("parked", kept.parked.as_deref());
        object.close();
        let tag = self.tag(&payload)?;
        let [payload, tag] = [&payload[..], &tag].map(|part| URL_SAFE_NO_PAD.encode(part));
        Some(format!("{}.{payload}.{tag}", *NODE))
    }

    /// What `text` stands for.
    pub(super) fn read(&self, text: &str) -> Read {
        let mut parts = text.split('.');
        let (Some(node), Some(payload), Some(tag), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Read::Not;
        };
        if node != *NODE {
            let known = node.len() == NODE.len() && node.bytes().all(|b| b.is_ascii_hexdigit());
            return if known { Read::Others } else { Read::Not };
        }
        self.opened(payload, tag).map_or(Read::Not, Read::Ours)
    }

    fn opened(&self, payload: &str, tag: &str) -> Option<Kept> {
        let [payload, tag] = [payload, tag].map(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let (payload, tag) = (payload?, tag?);
        if !bool::from(tag[..].ct_eq(&self.tag(&payload)?[..])) {
            return None;
        }
        let object = Members::read(str::from_utf8(&payload).ok()?)?;
        let until: u64 = object.get("until")?.parse().ok()?;
        let text = |name: &str| object.get(name).and_then(json::string).map(String::from);
        (BEGUN.elapsed().as_millis() < u128::from(until)).then(|| Kept {
            approval: text("approval"),
            state: text("state").map(Into::into),
            responses: text("responses").map(Into::into),
            parked: text("parked"),
        })
    }

    fn tag(&self, payload: &[u8]) -> Option<[u8; 32]> {
        let name = self.principal.as_str().as_bytes();
        Some(KEY.as_ref()?.tag(&[b"state", name, &self.digest, payload]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bond(principal: &str, request: &str) -> Bond {
        Bond::new(&principal.parse().unwrap(), &[b"tools/call", request.as_bytes()])
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_is_of_its_principal_and_request_and_good_for_a_while() {
        let kept = Kept {
            approval: Some("a".into()),
            state: Some("\"s\"\n".into()),
            responses: Some("{}".into()),
            parked: Some("7".into()),
        };
        let mine = bond("me", "x");
        let text = mine.seal(&kept).unwrap();
        assert_eq!(mine.read(&text), Read::Ours(kept));
        assert_eq!(bond("you", "x").read(&text), Read::Not);
        assert_eq!(bond("me", "y").read(&text), Read::Not);
        for forged in [format!("{text}-TAMPERED"), text[..text.len() - 1].into(), "x".into()] {
            assert_eq!(mine.read(&forged), Read::Not, "{forged}");
        }
        let (_, rest) = text.split_once('.').unwrap();
        assert_eq!(mine.read(&format!("0123456789ab.{rest}")), Read::Others);
        tokio::time::advance(GOOD_FOR).await;
        assert_eq!(mine.read(&text), Read::Not);
    }
}
