//! What is agreed with a client, and what it is told of us.

use strongroom_model::principal::Principal;

use super::tasks::TASKS;
use super::{
    Era, NEWEST_LEGACY, Params, TTL_MS, VERSIONS, cacheable, client_name, meta, server_info,
};
use crate::behind::Behind;
use crate::mount::Offers;
use crate::origin::Abilities;
use crate::prompt;
use crate::wire::write::{self, Object};
use crate::wire::{Id, RpcError};

const INSTRUCTIONS: &str = "Strongroom calls HTTP APIs for you. It adds the credential to each \
     call, so you never see a key and never need one: do not ask the user for keys. Begin with \
     `list_services`, then call `execute` with a service, a method and a path. A refusal says \
     whether trying again can help.";

/// Revisions of the era of `initialize` that know prompts (2025-06-18, "Elicitation").
const PROMPTING: [&str; 2] = [NEWEST_LEGACY, "2025-06-18"];

/// What a client proposed with `initialize`, and what we agreed to.
pub(crate) struct Hello {
    /// The revision of the session.
    pub(crate) version: &'static str,
    /// What the client calls itself.
    pub(crate) client: Option<String>,
    /// Whether the client shows questions to its user.
    pub(crate) prompts: bool,
    /// What it can do for servers.
    pub(crate) can: Abilities,
}

impl Hello {
    /// Reads the parameters of `initialize`. A version that we do not speak, the modern one
    /// included, is answered with the newest that has sessions.
    pub(crate) fn read(params: &Params<'_>) -> Result<Self, RpcError> {
        let Some(proposed) = params.string("protocolVersion") else {
            return Err(RpcError::invalid_params("`protocolVersion` is a string"));
        };
        let version = VERSIONS[1..].iter().find(|version| **version == proposed);
        let version = version.copied().unwrap_or(NEWEST_LEGACY);
        let capabilities = params.get("capabilities").unwrap_or("{}");
        let forms = prompt::shows_forms(capabilities);
        let can = Abilities::read(capabilities);
        let asks = PROMPTING.contains(&version);
        Ok(Self {
            version,
            prompts: forms && asks,
            client: params.get("clientInfo").and_then(client_name),
            // Addresses to open came with the newest of them.
            can: Abilities {
                forms: can.forms && asks,
                urls: can.urls && version == NEWEST_LEGACY,
                ..can
            },
        })
    }

    /// What stands in its place where a client has not said it.
    pub(crate) fn unsaid() -> Self {
        let can = Abilities::default();
        Self { version: NEWEST_LEGACY, prompts: false, client: None, can }
    }

    /// The answer to `initialize`.
    pub(crate) fn answer(&self, id: Id<'_>, behind: &Behind, principal: &Principal) -> Vec<u8> {
        write::result(id, 768, |out| {
            out.extend_from_slice(b"\"protocolVersion\":\"");
            out.extend_from_slice(self.version.as_bytes());
            out.extend_from_slice(b"\",\"capabilities\":");
            capabilities(out, behind, principal, Era::Legacy);
            out.extend_from_slice(b",\"serverInfo\":");
            server_info(out);
            out.extend_from_slice(b",\"instructions\":");
            write::string(out, INSTRUCTIONS);
        })
    }
}

/// The answer to `server/discover`.
pub(super) fn discover(id: Id<'_>, behind: &Behind, principal: &Principal) -> Vec<u8> {
    write::result(id, 1024, |out| {
        out.extend_from_slice(b"\"resultType\":\"complete\",\"supportedVersions\":");
        write::list(out, VERSIONS, write::string);
        out.extend_from_slice(b",\"capabilities\":");
        capabilities(out, behind, principal, Era::Modern);
        out.extend_from_slice(b",\"instructions\":");
        write::string(out, INSTRUCTIONS);
        // What servers offer is known better with every one that has been started.
        cacheable(out, if behind.servers.is_some() { 0 } else { TTL_MS });
        meta(out);
    })
}

/// What is offered to this principal: our own tools, and what its servers offer.
fn capabilities(out: &mut Vec<u8>, behind: &Behind, principal: &Principal, era: Era) {
    let Some(offers) = offers(behind, principal) else {
        out.extend_from_slice(b"{\"tools\":{}}");
        return;
    };
    let mut all = Object::open(out);
    let mut lists = |name: &str, watched: bool| {
        let mut one = Object::open(all.name(name));
        // Servers are mounted and taken off while the client is there.
        one.flag("listChanged", true);
        if watched {
            one.flag("subscribe", true);
        }
        one.close();
    };
    lists("tools", false);
    if offers.prompts {
        lists("prompts", false);
    }
    if offers.resources {
        lists("resources", offers.watched);
    }
    for (name, has) in [("completions", offers.completions), ("logging", offers.logging)] {
        if has {
            Object::open(all.name(name)).close();
        }
    }
    if offers.tasks && era == Era::Modern {
        let mut extensions = Object::open(all.name("extensions"));
        Object::open(extensions.name(TASKS)).close();
        extensions.close();
    }
    all.close();
}

/// `None`: no servers are mounted here.
pub(super) fn offers(behind: &Behind, principal: &Principal) -> Option<Offers> {
    let mount = behind.servers.as_ref()?.mount();
    Some(mount.offers(&super::caller(principal, None)))
}
