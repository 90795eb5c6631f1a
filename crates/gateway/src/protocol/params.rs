//! The parameters of a request, opened once.

use std::borrow::Cow;
use std::sync::Arc;

use strongroom_model::json::{self, Members};

use super::{MODERN, QUESTION, VERSIONS, client_name};
use crate::prompt::{self, RetryPrompt};
use crate::wire::RpcError;

const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";

/// The parameters of a request, opened once.
pub(crate) struct Params<'a> {
    raw: Option<&'a str>,
    members: Members<'a>,
    meta: Members<'a>,
}

impl<'a> Params<'a> {
    /// Opens `raw`, the parameters as written.
    pub(crate) fn read(raw: Option<&'a str>) -> Result<Self, RpcError> {
        let members = raw.and_then(Members::read).unwrap_or_default();
        let meta = match members.get("_meta") {
            None => Members::default(),
            Some(raw) => Members::read(raw)
                .ok_or_else(|| RpcError::invalid_params("`_meta` is an object"))?,
        };
        Ok(Self { raw, members, meta })
    }

    /// As written.
    pub(crate) fn raw(&self) -> &'a str {
        self.raw.unwrap_or("{}")
    }

    /// A parameter that is a string.
    pub(crate) fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        self.members.get(name).and_then(json::string)
    }

    /// A parameter, as written.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.members.get(name)
    }

    /// The members of `_meta`, as written.
    pub(crate) fn meta(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.meta.iter()
    }

    /// What a modern client can do, an object as written.
    pub(crate) fn capabilities(&self) -> Option<&'a str> {
        self.meta.get(META_CAPABILITIES)
    }

    /// The version that the request names, which makes it a modern one.
    ///
    /// # Errors
    ///
    /// It names something that is not a version.
    pub(crate) fn version(&self) -> Result<Option<Cow<'a, str>>, RpcError> {
        match self.meta.get(META_VERSION) {
            None => Ok(None),
            Some(raw) => json::string(raw)
                .map(Some)
                .ok_or_else(|| RpcError::invalid_params("the protocol version is a string")),
        }
    }

    /// What every modern request must carry (basic/index, "Per-request protocol fields").
    pub(crate) fn modern(&self, version: &str) -> Result<(), RpcError> {
        if version != MODERN {
            return Err(RpcError::unsupported_version(&VERSIONS, version));
        }
        if !self.capabilities().is_some_and(|raw| raw.starts_with('{')) {
            return Err(RpcError::invalid_params(
                "`_meta` lacks io.modelcontextprotocol/clientCapabilities",
            ));
        }
        Ok(())
    }

    /// Whether the client of a modern call shows questions.
    pub(super) fn prompts(&self) -> bool {
        self.capabilities().is_some_and(prompt::shows_forms)
    }

    /// The prompt of a modern call: whether its client shows questions, and what it answered.
    pub(super) fn prompt(&self) -> Option<Arc<RetryPrompt>> {
        if !self.prompts() {
            return None;
        }
        let state = self.string("requestState").map(Into::into);
        let responses = self.get("inputResponses").and_then(Members::read);
        let response = responses.and_then(|all| all.get(QUESTION)).map(str::to_owned);
        Some(Arc::new(RetryPrompt::new(state, response)))
    }

    /// What the client of a modern request calls itself.
    pub(crate) fn client(&self) -> Option<String> {
        client_name(self.meta.get(META_CLIENT)?)
    }
}
