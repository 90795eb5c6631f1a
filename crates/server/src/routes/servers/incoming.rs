//! What a tenant sends to be registered, and whether the operator lets it.

use strongroom_model::base_url::{BaseUrl, BaseUrlError};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::json::{Json, Object};
use strongroom_model::network;
use strongroom_model::service::Scheme;
use strongroom_model::team::{RawServer, SecretField};

use crate::app::App;
use crate::commands;
use crate::problem::{Problem, Reason};
use crate::shape::Input;

/// Whether the operator lets a tenant register this (decision 11, SS-11). What an address stands for is
/// looked at again when it is dialled: names change.
pub(super) fn permitted(
    app: &App,
    command: Option<&str>,
    args: Option<&[String]>,
    url: Option<&str>,
) -> Result<(), Problem> {
    let list = &app.options.allowed_commands;
    if let Some(command) = command
        && commands::find(list, command, args.unwrap_or_default()).is_none()
    {
        let message =
            "the operator of this server does not allow this command with these arguments";
        return Err(Problem::new(Reason::Code(Code::CommandNotAllowed), message));
    }
    let Some(url) = url else { return Ok(()) };
    let allow = &app.options.allow_ips;
    let denied = |message: String| Problem {
        field: Some("url".to_owned()),
        ..Problem::new(Reason::Code(Code::DestinationDenied), message)
    };
    let base = BaseUrl::parse(url, true).map_err(|error| {
        let message = format!("`url` cannot be used: {error}");
        match error {
            // SS-03
            BaseUrlError::Host | BaseUrlError::Unicode | BaseUrlError::Address => denied(message),
            _ => Problem::field("url", message),
        }
    })?;
    let host = &base.origin.host;
    let refused = |refusal: Refusal| denied(format!("`url` cannot be used: {}", refusal.message));
    network::check_host(host, allow).map_err(refused)?;
    let address = host.parse::<std::net::IpAddr>().ok();
    if let Some(address) = address {
        network::vet(&[address], allow).map_err(refused)?;
    }
    // Plain http only within what the operator named himself.
    let named = address.is_some_and(|address| allow.iter().any(|range| range.contains(address)));
    if base.origin.scheme == Scheme::Http && !named {
        return Err(denied("`url` is plain http, which shows keys to the network".to_owned()));
    }
    Ok(())
}

/// The fields of a registration or a change, which were checked.
pub(super) fn raw(input: &Input<'_>) -> RawServer {
    let text = |name| input.text(name).map(str::to_owned);
    RawServer {
        server_id: text("server_id"),
        name: text("name"),
        command: text("command"),
        args: input.texts("args"),
        url: text("url"),
        headers: input.object("headers").map(|object| {
            let text = |(name, json): (&str, &Json<'_>)| match json {
                Json::Text(value) => Some((name.to_owned(), value.clone().into_owned())),
                _ => None,
            };
            object.iter().filter_map(text).collect()
        }),
        secrets: input.object("secrets").map(|object| {
            let bound = |(name, json): (&str, &Json<'_>)| match json {
                Json::Object(from) => Some((name.to_owned(), secret(from))),
                _ => None,
            };
            object.iter().filter_map(bound).collect()
        }),
        tools: input.texts("tools"),
        tool_prefix: text("tool_prefix"),
        enabled: input.flag("enabled"),
    }
}

fn secret(from: &Object<'_>) -> SecretField {
    let text = |name: &str| {
        from.iter().find_map(|(key, json)| match json {
            Json::Text(text) if key == name => Some(text.clone().into_owned()),
            _ => None,
        })
    };
    SecretField {
        service: text("service").unwrap_or_default(),
        credential_type: text("credential_type").unwrap_or_else(|| "api_key".to_owned()),
        field: text("field").unwrap_or_default(),
    }
}
