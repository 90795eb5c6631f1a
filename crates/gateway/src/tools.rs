//! The built-in tools, one file each: its definition, its arguments, its answer.

mod arguments;
mod exec;
mod execute;
mod explain_access;
mod list_services;
mod output;
mod request_access;
mod test_service;
mod whoami;

use std::sync::LazyLock;

use strongroom_model::call::{Exec, Execute, RequestAccess};
use strongroom_model::ports::{BoxFuture, Calls};
use strongroom_model::principal::Caller;

use crate::wire::{RpcError, write};
pub(crate) use output::Output;

/// What came of calling a tool.
pub(crate) enum Started {
    /// It has answered.
    Done(Output),
    /// It waits for an upstream, a program or a store.
    Waiting(Invocation),
}

/// A tool that waits for an upstream, a program or a store, with its arguments.
pub(crate) enum Invocation {
    /// `execute`.
    Execute(Box<Execute>),
    /// `exec`.
    Exec(Exec),
    /// `test_service`.
    TestService(String),
    /// `whoami`.
    WhoAmI,
    /// `request_access`.
    RequestAccess(RequestAccess),
}

impl Invocation {
    /// Runs it to its end.
    pub(crate) async fn run(
        self,
        calls: &dyn Calls,
        caller: &Caller,
        cancel: BoxFuture<'_, ()>,
    ) -> Output {
        match self {
            Self::Execute(call) => execute::output(calls.execute(caller, *call, cancel).await),
            Self::Exec(call) => exec::output(calls.exec(caller, call, cancel).await),
            Self::TestService(service) => {
                test_service::output(calls.test_service(caller, &service, cancel).await)
            }
            Self::WhoAmI => whoami::output(&calls.whoami(caller).await),
            Self::RequestAccess(request) => {
                request_access::output(calls.request_access(caller, request).await)
            }
        }
    }
}

/// Reads the arguments of the tool `name` and starts it.
///
/// # Errors
///
/// There is no such tool, or it does not take these arguments.
pub(crate) fn start(
    name: &str,
    arguments: Option<&str>,
    calls: &dyn Calls,
    caller: &Caller,
) -> Result<Started, RpcError> {
    Ok(match name {
        "list_services" => Started::Done(list_services::call(arguments, calls, caller)?),
        "execute" => Started::Waiting(Invocation::Execute(Box::new(execute::read(arguments)?))),
        "exec" => Started::Waiting(Invocation::Exec(exec::read(arguments)?)),
        "explain_access" => Started::Done(explain_access::call(arguments, calls, caller)?),
        "test_service" => Started::Waiting(Invocation::TestService(test_service::read(arguments)?)),
        "whoami" => {
            whoami::read(arguments)?;
            Started::Waiting(Invocation::WhoAmI)
        }
        "request_access" => {
            Started::Waiting(Invocation::RequestAccess(request_access::read(arguments)?))
        }
        _ => return Err(unknown()),
    })
}

/// There is no such tool.
pub(crate) fn unknown() -> RpcError {
    RpcError::invalid_params("there is no such tool")
}

/// Whether `name` is one of these.
pub(crate) fn is_ours(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The elements of [`definitions`], and their names: what other tools stand behind.
pub(crate) fn ours() -> (&'static str, &'static [&'static str]) {
    let list = definitions();
    (&list[1..list.len() - 1], &NAMES)
}

const NAMES: [&str; 7] = [
    "list_services",
    "execute",
    "exec",
    "explain_access",
    "test_service",
    "whoami",
    "request_access",
];

/// The definitions of all tools: a JSON array on one line, the same for every caller.
pub(crate) fn definitions() -> &'static str {
    static DEFINITIONS: LazyLock<String> = LazyLock::new(|| {
        let mut out = Vec::new();
        write::list(&mut out, ALL, write::on_one_line);
        String::from_utf8(out).expect("the definitions are text")
    });
    &DEFINITIONS
}

const ALL: [&str; 7] = [
    list_services::DEFINITION,
    execute::DEFINITION,
    exec::DEFINITION,
    explain_access::DEFINITION,
    test_service::DEFINITION,
    whoami::DEFINITION,
    request_access::DEFINITION,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_is_strict_json_on_one_line_with_closed_arguments() {
        let text = definitions();
        assert!(!text.contains('\n'));
        strongroom_model::json::check(text.as_bytes(), 64).unwrap();
        let tools: serde_json::Value = serde_json::from_str(text).unwrap();
        let names = tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), NAMES);
        for tool in tools.as_array().unwrap() {
            assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
            assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
            assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
            // A refusal has no `status`: clients check even those against the schema.
            assert!(tool["outputSchema"].get("required").is_none(), "{tool}");
            assert!(tool["description"].as_str().unwrap().len() > 40, "{tool}");
            assert!(tool["annotations"]["readOnlyHint"].is_boolean(), "{tool}");
        }
    }
}
