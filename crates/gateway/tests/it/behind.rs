//! Servers behind the gateway, each a shell script that speaks MCP.

use std::sync::Arc;

use strongroom_gateway::Servers;
use strongroom_gateway::mount::names::Naming;
use strongroom_gateway::mount::{Mount, Server};
use strongroom_gateway::upstream::server::{Launch, Launched, Options};
use strongroom_model::call::ToolCalled;
use strongroom_model::code::{Code, Refusal};
use strongroom_model::policy::{Judgement, Verdict};
use strongroom_model::ports::{BoxFuture, ReadAct, ReadRequest, ToolAct, ToolRequest, Tools};
use strongroom_model::principal::Caller;
use strongroom_model::redact::{Labelled, Redactor};
use strongroom_model::secret::Secret;
use strongroom_model::server::Asks;
use strongroom_model::tool::{Policy, Rule, Served, ToolCall};
use strongroom_process::{Start, Stream};

/// A server may ask all there is, or nothing.
pub(crate) const ALL: Asks = Asks { sampling: true, elicitation: true, roots: true, ui: true };
pub(crate) const NONE: Asks = Asks { sampling: false, elicitation: false, roots: false, ui: false };

/// What every server was started with, and nobody may see.
pub(crate) const CANARY: &str = "k-canary-0123456789";

/// Servers by name, each a script, and what it may ask of clients. Everything may be called but what is called `secret`;
/// one that is called `bobs` is bob's.
pub(crate) fn servers(all: &[(&str, &str, Asks)], naming: Naming) -> Arc<dyn Servers> {
    paged(all, naming, 1_000)
}

/// The same with pages of so many elements.
pub(crate) fn paged(all: &[(&str, &str, Asks)], naming: Naming, page: usize) -> Arc<dyn Servers> {
    let (mut mounted, mut permitted) = (Vec::new(), Vec::new());
    for (name, script, allows) in all {
        let rules = [(Verdict::Allow, "*"), (Verdict::Deny, "secret")];
        let rules = rules.map(|(verdict, names)| Rule::parse(verdict, names).unwrap());
        let mut policed = Served::new(name.parse().unwrap(), Policy::new(rules.into()));
        policed.principals = (*name == "bobs").then(|| vec!["bob".parse().unwrap()]);
        let (prefix, launch) = (format!("{name}."), Box::new(Script((*script).to_owned())));
        let options = Options::default();
        let server = Server::allowed(policed.name.clone(), prefix, launch, options, *allows);
        mounted.push(Arc::new(server));
        permitted.push(Arc::new(policed));
    }
    let mount = Mount::new(Arc::new(Permits(permitted)), mounted, naming).paged(page);
    Arc::new(One(Arc::new(mount)))
}

struct Script(String);

impl Launch for Script {
    fn launch(&self) -> BoxFuture<'_, Result<Launched, Refusal>> {
        let pipe = Stream::Pipe;
        let start = Start {
            args: ["-c", &self.0].map(Into::into).into(),
            stdin: pipe,
            stdout: pipe,
            stderr: pipe,
            ..Start::new("/bin/sh")
        };
        let child = Box::new(start.start().unwrap());
        let secret = Arc::new(Secret::new(CANARY.as_bytes().to_vec()));
        let redactor = Arc::new(Redactor::new(&[Labelled { label: "key".into(), secret }]));
        Box::pin(async move { Ok(Launched::child(child, redactor)) })
    }
}

/// Allows everything but what is called `secret`, and records nothing.
struct Permits(Vec<Arc<Served>>);

impl Permits {
    fn find(&self, caller: &Caller, server: &str) -> Result<Arc<Served>, Refusal> {
        let found = self.servers(caller).into_iter().find(|one| one.name.as_str() == server);
        found.ok_or_else(|| Refusal::new(Code::NotFound, "there is no such server"))
    }
}

impl Tools for Permits {
    fn call_tool<'a>(
        &'a self,
        caller: &'a Caller,
        call: ToolRequest<'a>,
        act: Box<dyn ToolAct + 'a>,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, ToolCalled> {
        Box::pin(async move {
            let judged = self.find(caller, call.server).and_then(|served| {
                let call = ToolCall::read(served.name.clone(), call.tool, call.arguments)?;
                Ok(served.policy.judge(call))
            });
            let result = match judged {
                Ok(Judgement::Allowed(permit)) => act.act(permit.into_request(), cancel).await,
                Ok(Judgement::Denied(denied)) => Err(denied.0),
                Ok(Judgement::Asks(_)) => Err(Refusal::new(Code::ApprovalDenied, "nobody")),
                Err(refusal) => Err(refusal),
            };
            ToolCalled { result, audit_id: Some("a1".into()) }
        })
    }

    fn read<'a>(
        &'a self,
        caller: &'a Caller,
        read: ReadRequest<'a>,
        act: Box<dyn ReadAct + 'a>,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, ToolCalled> {
        Box::pin(async move {
            let result = match self.find(caller, read.server) {
                Ok(_) => act.act(cancel).await,
                Err(refusal) => Err(refusal),
            };
            ToolCalled { result, audit_id: Some("a1".into()) }
        })
    }

    fn servers(&self, caller: &Caller) -> Vec<Arc<Served>> {
        let may = |served: &&Arc<Served>| {
            served.principals.as_ref().is_none_or(|names| names.contains(&caller.principal.name))
        };
        self.0.iter().filter(may).cloned().collect()
    }
}

struct One(Arc<Mount>);

impl Servers for One {
    fn mount(&self) -> Arc<Mount> {
        Arc::clone(&self.0)
    }
}
