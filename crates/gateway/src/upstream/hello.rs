//! Which era a server speaks, and what is agreed with it.
//!
//! `server/discover` comes first: whoever answers it with our version is modern. Any error means
//! `initialize`, which says so where there is none. A server that says nothing may be one that is still being installed,
//! or one that answers nothing before `initialize`: it is asked that too, and the first yes counts.

use std::time::Duration;

use strongroom_model::json::{self, Members};
use tokio::time::{sleep, timeout};

use super::peer::{Answer, Over, Peer};
use crate::protocol::{Era, MODERN, NEWEST_LEGACY, VERSIONS};
use crate::wire::write::{self, Object};

/// How long a server may say nothing to `server/discover` before it is asked to `initialize` as well.
const SILENCE: Duration = Duration::from_secs(2);

/// Bytes of what a server says of itself that are kept of each text.
const LONGEST: usize = 16 << 10;

/// What was agreed with a server. All texts are the server's own, and mean nothing but what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// How it is talked to.
    pub(crate) era: Era,
    /// The revision.
    pub version: &'static str,
    /// Its capabilities, an object, as written.
    pub capabilities: Box<str>,
    /// Its `instructions`.
    pub instructions: Option<Box<str>>,
}

/// There is no talking to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwilling {
    /// It ended, or its pipe did.
    #[error(transparent)]
    Over(#[from] Over),
    /// It said nothing for too long.
    #[error("the server has not answered within {} s", .0.as_secs())]
    Silent(Duration),
    /// It speaks no revision that we speak.
    #[error("the server speaks no version of the protocol that Strongroom speaks")]
    Version,
    /// It answers, but not as the protocol says.
    #[error("the server did not answer `initialize` as the protocol says")]
    Strange,
}

/// Says hello to the server behind `peer`. `capabilities` are what its clients can do, an object;
/// `known` is the era that it spoke the last time.
///
/// # Errors
///
/// There is no talking to it. Nothing of what it said is in the error.
pub async fn greet(
    peer: &Peer,
    capabilities: &str,
    known: Option<Known>,
    patience: Duration,
) -> Result<Agreed, Unwilling> {
    let greeting = async {
        match known {
            Some(Known(Era::Legacy)) => initialize(peer, capabilities).await,
            Some(Known(Era::Modern)) | None => either(peer, capabilities).await,
        }
    };
    timeout(patience, greeting).await.unwrap_or(Err(Unwilling::Silent(patience)))
}

/// Asks a server that was greeted whether it is there, as its era does. Any answer says so.
pub(super) async fn ask_health(
    peer: &Peer,
    agreed: &Agreed,
    capabilities: &str,
) -> Result<(), Over> {
    let answer = match agreed.era {
        Era::Modern => {
            peer.call("server/discover", |_, out| modern_params(out, capabilities), None).await
        }
        Era::Legacy => peer.call("ping", |_, out| out.extend_from_slice(b"{}"), None).await,
    };
    answer.map(drop)
}

/// What a server spoke the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known(Era);

impl Agreed {
    /// To be remembered for the next time.
    pub fn known(&self) -> Known {
        Known(self.era)
    }
}

async fn either(peer: &Peer, capabilities: &str) -> Result<Agreed, Unwilling> {
    let discovered = discover(peer, capabilities);
    tokio::pin!(discovered);
    tokio::select! {
        found = &mut discovered => return match found? {
            Some(agreed) => Ok(agreed),
            None => initialize(peer, capabilities).await,
        },
        () = sleep(SILENCE) => {}
    }
    let initialized = initialize(peer, capabilities);
    tokio::pin!(initialized);
    tokio::select! {
        found = &mut discovered => match found? {
            Some(agreed) => Ok(agreed),
            None => initialized.await,
        },
        agreed = &mut initialized => match agreed {
            // It may be one that knows no `initialize` and has only now come up.
            Err(no @ (Unwilling::Strange | Unwilling::Version)) => {
                discovered.await?.ok_or(no)
            }
            agreed => agreed,
        },
    }
}

/// `None`: it is not of the modern era.
async fn discover(peer: &Peer, capabilities: &str) -> Result<Option<Agreed>, Unwilling> {
    let answer = peer.call("server/discover", |_, out| modern_params(out, capabilities), None);
    let answer = answer.await?;
    let result = match answer.text() {
        Ok(result) => Members::read(result),
        // Also that of a modern server of other versions: it may speak an older era too.
        Err(_) => None,
    };
    let Some(result) = result else { return Ok(None) };
    let versions = result.get("supportedVersions").unwrap_or("[]");
    let versions: Vec<String> = serde_json::from_str(versions).unwrap_or_default();
    if !versions.iter().any(|version| version == MODERN) {
        return Ok(None);
    }
    Ok(Some(agreed(Era::Modern, MODERN, &result)))
}

async fn initialize(peer: &Peer, capabilities: &str) -> Result<Agreed, Unwilling> {
    let params = |_: u64, out: &mut Vec<u8>| {
        let mut params = Object::open(out);
        params.string("protocolVersion", NEWEST_LEGACY);
        write::on_one_line(params.name("capabilities"), capabilities);
        client_info(params.name("clientInfo"));
        params.close();
    };
    let answer: Answer = peer.call("initialize", params, None).await?;
    let result = answer.text().ok().and_then(Members::read).ok_or(Unwilling::Strange)?;
    let version = result.get("protocolVersion").and_then(json::string).ok_or(Unwilling::Strange)?;
    let version = VERSIONS[1..].iter().find(|known| **known == version);
    let version = version.ok_or(Unwilling::Version)?;
    peer.tell("notifications/initialized", |out| out.extend_from_slice(b"{}"))?;
    Ok(agreed(Era::Legacy, version, &result))
}

/// The parameters of a modern request that has none of its own.
fn modern_params(out: &mut Vec<u8>, capabilities: &str) {
    let mut params = Object::open(out);
    let mut meta = Object::open(params.name("_meta"));
    meta.string("io.modelcontextprotocol/protocolVersion", MODERN);
    write::on_one_line(meta.name("io.modelcontextprotocol/clientCapabilities"), capabilities);
    client_info(meta.name("io.modelcontextprotocol/clientInfo"));
    meta.close();
    params.close();
}

pub(crate) fn client_info(out: &mut Vec<u8>) {
    let mut info = Object::open(out);
    info.string("name", "strongroom").string("version", env!("CARGO_PKG_VERSION"));
    info.close();
}

fn agreed(era: Era, version: &'static str, result: &Members<'_>) -> Agreed {
    let short = |raw: &&str| raw.len() <= LONGEST;
    let capabilities = result.get("capabilities").filter(short).filter(|raw| raw.starts_with('{'));
    let instructions = result.get("instructions").filter(short).and_then(json::string);
    Agreed {
        era,
        version,
        capabilities: capabilities.unwrap_or("{}").into(),
        instructions: instructions.map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::sync::mpsc;

    use super::super::peer::{Carrier, Events, Noise};
    use super::*;
    use crate::wire::{Id, Limits};

    struct Pipe(mpsc::UnboundedSender<Value>);

    impl Carrier for Pipe {
        fn send(&self, message: Vec<u8>) -> Result<(), Over> {
            let message = serde_json::from_slice(&message).unwrap();
            self.0.send(message).map_err(|_| Over::because("closed"))
        }
    }

    struct Deaf;

    impl Events for Deaf {
        fn told(&self, _: &str, _: Option<&str>) {}
        fn asked(&self, _: &Peer, _: Id<'_>, _: &str, _: Option<&str>) {}
        fn noise(&self, _: Noise) {}
    }

    /// Greets a server that answers a method by what `answers` says.
    async fn greeted(
        answers: impl Fn(&str) -> Option<Value>,
        known: Option<Known>,
    ) -> Result<Agreed, Unwilling> {
        let (pipe, mut sent) = mpsc::unbounded_channel();
        let peer = Peer::new(Box::new(Pipe(pipe)), Limits::default());
        let serving = async {
            while let Some(message) = sent.recv().await {
                if let Some(mut answer) = answers(message["method"].as_str().unwrap()) {
                    answer["jsonrpc"] = json!("2.0");
                    answer["id"] = message["id"].clone();
                    peer.receive(answer.to_string().into_bytes(), &Deaf);
                }
            }
        };
        tokio::select! {
            result = greet(&peer, r#"{"elicitation": {}}"#, known, Duration::from_secs(30)) => result,
            () = serving => unreachable!("the peer is there"),
        }
    }

    fn legacy(version: &str) -> Value {
        json!({ "result": { "protocolVersion": version, "capabilities": { "tools": {} },
            "serverInfo": { "name": "x", "version": "1" }, "instructions": "do" } })
    }

    fn discovered(versions: &[&str]) -> Value {
        json!({ "result": { "resultType": "complete", "supportedVersions": versions,
            "capabilities": { "tools": { "listChanged": true } } } })
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_answers_discover_with_our_version_is_modern() {
        let result = greeted(
            |method| (method == "server/discover").then(|| discovered(&[MODERN, "2025-11-25"])),
            None,
        )
        .await;
        let agreed = result.unwrap();
        assert_eq!((agreed.era, agreed.version), (Era::Modern, MODERN));
        assert_eq!(&*agreed.capabilities, r#"{"tools":{"listChanged":true}}"#);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_or_other_versions_mean_initialize() {
        for discover in [
            json!({ "error": { "code": -32601, "message": "?" } }),
            json!({ "error": { "code": -32602, "message": "before initialization" } }),
            json!({ "error": { "code": -32022, "message": "?", "data": { "supported": ["2027-01-01"] } } }),
            json!({ "result": {} }),
            json!({ "result": 1 }),
            discovered(&["2027-01-01"]),
        ] {
            let answers = |method: &str| match method {
                "server/discover" => Some(discover.clone()),
                "initialize" => Some(legacy("2025-06-18")),
                _ => None,
            };
            let result = greeted(answers, None).await;
            let agreed = result.unwrap();
            assert_eq!((agreed.era, agreed.version), (Era::Legacy, "2025-06-18"), "{discover}");
            assert_eq!(agreed.instructions.as_deref(), Some("do"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_says_nothing_to_discover_is_asked_to_initialize() {
        let answers = |method: &str| (method == "initialize").then(|| legacy("2025-11-25"));
        let result = greeted(answers, None).await;
        assert_eq!(result.unwrap().era, Era::Legacy);
        let result = greeted(|_| None, None).await;
        assert_eq!(result, Err(Unwilling::Silent(Duration::from_secs(30))));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_known_to_be_legacy_is_not_asked_again() {
        let known = Some(Known(Era::Legacy));
        let answers = |method: &str| {
            assert_ne!(method, "server/discover");
            (method == "initialize").then(|| legacy("2024-11-05"))
        };
        let result = greeted(answers, known).await;
        assert_eq!(result.unwrap().known(), Known(Era::Legacy));
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_no_talking_to_what_speaks_nothing_of_ours() {
        for (initialize, expected) in [
            (legacy("1999-01-01"), Unwilling::Version),
            (legacy(MODERN), Unwilling::Version),
            (json!({ "result": {} }), Unwilling::Strange),
            (json!({ "error": { "code": -32603, "message": "no key" } }), Unwilling::Strange),
        ] {
            let answers = |method: &str| match method {
                "server/discover" => Some(json!({ "error": { "code": -32601, "message": "" } })),
                "initialize" => Some(initialize.clone()),
                _ => None,
            };
            let result = greeted(answers, None).await;
            assert_eq!(result, Err(expected), "{initialize}");
        }
    }
}
