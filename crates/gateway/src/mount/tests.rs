//! Several servers, each a shell script that speaks MCP, behind one mount.

mod pinned;

use std::collections::BTreeSet;
use std::future::pending;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use strongroom_model::approval::Channel;
use strongroom_model::call::ToolCalled;
use strongroom_model::pin::News;
use strongroom_model::policy::{Judgement, Verdict};
use strongroom_model::ports::{ReadAct, ReadRequest, ToolAct};
use strongroom_model::principal::{Principal, Source};
use strongroom_model::redact::{Labelled, Redactor};
use strongroom_model::secret::Secret;
use strongroom_model::tool::{Policy, Rule, Served, ToolCall};
use strongroom_process::{Start, Stream};

use super::*;
use crate::upstream::server::{Launch, Launched, Options};

/// A server of the `initialize` era. Its tools are the lines of a file.
const SERVER: &str = r#"
echo started >> starts
while read -r line; do
    id=${line#*\"id\":}; id=${id%%,*}
    case $line in
    *server/discover*) answer='"error":{"code":-32601,"message":"no"}';;
    *initialize\"*) answer='"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}';;
    *notifications/*) continue;;
    *tools/list*) answer="\"result\":$(cat list)";;
    *sulk*) sleep 600;;
    *die*) exit 3;;
    *fail*) answer='"error":{"code":-32000,"message":"it did not work"}';;
    *) args=${line#*\"arguments\":}
       answer="\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"$TOKEN\"}],\"seen\":${args%\}\}}}";;
    esac
    printf '%s\n' "{\"jsonrpc\":\"2.0\",\"id\":$id,$answer}"
done
"#;

const TOKEN: &str = "k-canary-0123456789";

struct Script {
    script: &'static str,
    folder: PathBuf,
}

impl Launch for Script {
    fn launch(&self) -> BoxFuture<'_, Result<Launched, Refusal>> {
        let pipe = Stream::Pipe;
        let start = Start {
            args: ["-c", self.script].map(Into::into).into(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("TOKEN".into(), TOKEN.into())],
            dir: Some(self.folder.clone()),
            stdin: pipe,
            stdout: pipe,
            stderr: pipe,
            ..Start::new("/bin/sh")
        };
        let secret = Arc::new(Secret::new(TOKEN.as_bytes().to_vec()));
        let redactor = Arc::new(Redactor::new(&[Labelled { label: "token".into(), secret }]));
        let child = start.start().map_err(|_| served::strange("it cannot be started"));
        Box::pin(async move { Ok(Launched::child(Box::new(child?), redactor)) })
    }
}

/// Judges by policy and pins alone, and records nothing.
#[derive(Default)]
struct Permits {
    servers: Vec<Arc<Served>>,
    noticed: Arc<Mutex<Vec<(String, News)>>>,
}

impl Permits {
    fn new(servers: impl IntoIterator<Item = Served>) -> Self {
        let servers = servers.into_iter().map(Arc::new).collect();
        Self { servers, ..Self::default() }
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
            let servers = self.servers(caller);
            let found = servers.iter().find(|served| served.name.as_str() == call.server);
            let result = match found {
                None => Err(Refusal::new(Code::NotFound, "there is no such server")),
                Some(served) => {
                    let name = served.name.clone();
                    let admitted = served.pin.admit(call.standing, &name);
                    let call = ToolCall::read(name, call.tool, call.arguments).unwrap();
                    match served.policy.judge(call) {
                        _ if admitted.is_err() => Err(admitted.unwrap_err()),
                        Judgement::Allowed(permit) => act.act(permit.into_request(), cancel).await,
                        Judgement::Asks(_) => unreachable!("no rule asks"),
                        Judgement::Denied(denied) => Err(denied.0),
                    }
                }
            };
            ToolCalled { result, audit_id: None }
        })
    }

    fn read<'a>(
        &'a self,
        _: &'a Caller,
        _: ReadRequest<'a>,
        act: Box<dyn ReadAct + 'a>,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, ToolCalled> {
        Box::pin(async move { ToolCalled { result: act.act(cancel).await, audit_id: None } })
    }

    fn servers(&self, caller: &Caller) -> Vec<Arc<Served>> {
        let may = |served: &&Arc<Served>| {
            served.principals.as_ref().is_none_or(|names| names.contains(&caller.principal.name))
        };
        self.servers.iter().filter(may).cloned().collect()
    }

    fn noticed(&self, server: &Name, news: &[News]) {
        let news = news.iter().map(|news| (server.to_string(), news.clone()));
        self.noticed.lock().unwrap().extend(news);
    }
}

struct Rig {
    mount: Mount,
    home: tempfile::TempDir,
    noticed: Arc<Mutex<Vec<(String, News)>>>,
}

impl Rig {
    /// Servers by name, each with its tools; all may be called but those that are called `secret*`.
    fn new(servers: &[(&str, &'static str, &[&str])]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut mounted = Vec::new();
        let mut permitted = Vec::new();
        for (name, script, tools) in servers {
            let folder = home.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            offer(&folder, tools, None);
            let launch = Box::new(Script { script, folder });
            let name: Name = name.parse().unwrap();
            let prefix = format!("{name}.");
            let server = Server::new(name.clone(), prefix, launch, Options::default());
            mounted.push(Arc::new(server));
            let rules = [(Verdict::Allow, "*"), (Verdict::Deny, "secret*")];
            let rules = rules.map(|(verdict, names)| Rule::parse(verdict, names).unwrap());
            permitted.push(Served::new(name, Policy::new(rules.into())));
        }
        let mut mount = Mount::new(Arc::new(Permits::new(permitted)), mounted, Naming::Safe);
        mount.ours = (r#"{"name":"execute"}"#, &["execute"]);
        Self { mount, home, noticed: Arc::default() }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn starts(&self, name: &str) -> usize {
        let text = std::fs::read_to_string(self.folder(name).join("starts"));
        text.unwrap_or_default().lines().count()
    }

    async fn list(&self) -> (BTreeSet<String>, Vec<String>) {
        let listed = self.mount.list(&caller(), Kind::Tools, 0).await;
        let text = [b"[", &listed.elements[..], b"]"].concat();
        let tools: Value = serde_json::from_slice(&text).unwrap();
        let name = |tool: &Value| tool["name"].as_str().unwrap().to_owned();
        let missing = listed.missing.iter().map(|(name, why)| format!("{name}: {}", why.message));
        (tools.as_array().unwrap().iter().map(name).collect(), missing.collect())
    }

    async fn refusal(&self, name: &str) -> Refusal {
        let called = self.mount.call(&origin(), name, None, Box::pin(pending())).await.unwrap();
        called.result.map(|answer| answer.text).unwrap_err()
    }

    async fn call(&self, name: &str, arguments: &str) -> Result<String, String> {
        let cancel = Box::pin(pending());
        let called = self.mount.call(&origin(), name, Some(arguments), cancel).await;
        let called = called.ok_or("there is no such tool")?;
        let answer = called.result.map_err(|refusal| refusal.message.into_owned())?;
        Ok(String::from_utf8(answer.text.into_inner()).unwrap())
    }
}

/// What the server in `folder` offers from now on.
fn offer(folder: &Path, tools: &[&str], cursor: Option<&str>) {
    let tools: Vec<Value> =
        tools.iter().map(|name| json!({ "name": name, "inputSchema": {} })).collect();
    let mut list = json!({ "tools": tools });
    if let Some(cursor) = cursor {
        list["nextCursor"] = json!(cursor);
    }
    std::fs::write(folder.join("list"), list.to_string()).unwrap();
}

fn origin() -> Arc<Origin> {
    Arc::new(Origin::of(caller()))
}

fn caller() -> Caller {
    let principal = Principal { name: "default".parse().unwrap(), source: Source::Stdio };
    Caller { principal, channel: Channel::default(), claimed_client: None }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn one_list_has_the_tools_of_all_that_may_be_called_and_each_server_is_started_once() {
    let rig = Rig::new(&[("a", SERVER, &["x", "secret_y"]), ("b", SERVER, &["x"])]);
    for _ in 0..3 {
        let (listed, missing) = rig.list().await;
        assert_eq!((listed, missing), (names(&["execute", "a_x", "b_x"]), vec![]));
    }
    assert_eq!((rig.starts("a"), rig.starts("b")), (1, 1));
}

#[tokio::test]
async fn a_call_reaches_its_server_with_its_own_name_and_comes_back_without_secrets() {
    let rig = Rig::new(&[("a", SERVER, &["x"]), ("b", SERVER, &["x"])]);
    for name in ["a_x", "a.x"] {
        let answer = rig.call(name, r#"{ "n": 1.0,  "m": [] }"#).await.unwrap();
        let expected =
            r#"{"content":[{"type":"text","text":"[REDACTED:token]"}],"seen":{"n":1.0,"m":[]}}"#;
        assert_eq!(answer, expected, "{name}");
    }
    assert_eq!(rig.starts("b"), 1, "all that may have the name were asked for theirs, once");
    for unknown in ["x", "c_x", "a_y", "execute"] {
        assert_eq!(rig.call(unknown, "{}").await, Err("there is no such tool".into()));
    }
}

#[tokio::test]
async fn what_is_denied_is_neither_listed_nor_called() {
    let rig = Rig::new(&[("a", SERVER, &["x", "secret_y"])]);
    assert_eq!(rig.list().await.0, names(&["execute", "a_x"]));
    let refused = rig.call("a_secret_y", "{}").await.unwrap_err();
    assert_eq!(refused, "a rule denies this call of the tool");
    rig.call("a_x", "{}").await.unwrap();
}

#[tokio::test]
async fn one_that_fails_hides_nothing_of_the_others_and_is_named() {
    let broken = "echo no key >&2; exit 7";
    let rig = Rig::new(&[("a", broken, &[]), ("b", SERVER, &["x"])]);
    let (listed, missing) = rig.list().await;
    assert_eq!(listed, names(&["execute", "b_x"]));
    assert_eq!(missing, ["a: the server has ended (exit status: 7)"]);
    rig.call("b_x", "{}").await.unwrap();
}

#[tokio::test]
async fn a_server_that_died_is_started_again_and_asked_again_for_its_tools() {
    let rig = Rig::new(&[("a", SERVER, &["x", "die"])]);
    let error = rig.call("a_die", "{}").await.unwrap_err();
    assert_eq!(error, "the server has ended (exit status: 3)");
    offer(&rig.folder("a"), &["x", "z"], None);
    assert_eq!(rig.list().await.0, names(&["execute", "a_x", "a_die"]), "as it was");
    rig.call("a_x", "{}").await.unwrap();
    assert_eq!(rig.list().await.0, names(&["execute", "a_x", "a_z"]));
    assert_eq!(rig.starts("a"), 2);
}

#[tokio::test]
async fn an_error_of_the_server_is_its_answer() {
    let rig = Rig::new(&[("a", SERVER, &["fail"])]);
    let called = rig.mount.call(&origin(), "a_fail", None, Box::pin(pending())).await.unwrap();
    let answer = called.result.unwrap();
    assert!(answer.is_error);
    assert_eq!(answer.text.get(), br#"{"code":-32000,"message":"it did not work"}"#);
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_ends_and_the_next_one_is_made() {
    let rig = Rig::new(&[("a", SERVER, &["sulk"]), ("b", SERVER, &["x"])]);
    rig.list().await;
    let gone = Box::pin(async {});
    let called = rig.mount.call(&origin(), "a_sulk", None, gone).await.unwrap();
    assert_eq!(called.result.unwrap_err().code, Code::UpstreamError);
    let waiting = |server: usize| {
        let upstream = &rig.mount.servers()[server].upstream;
        async move { upstream.ready().await.unwrap().running.peer.waiting() }
    };
    assert_eq!(waiting(0).await, 0);
    rig.call("b_x", "{}").await.unwrap();
}

// MC-06
#[tokio::test]
async fn lists_without_end_and_without_measure_are_refused() {
    let rig = Rig::new(&[("a", SERVER, &["x"]), ("b", SERVER, &["x"]), ("c", SERVER, &["x"])]);
    offer(&rig.folder("a"), &["x"], Some("again"));
    let many: Vec<String> = (0..=MOST_TOOLS).map(|n| format!("t{n}")).collect();
    offer(&rig.folder("b"), &many.iter().map(String::as_str).collect::<Vec<_>>(), None);
    let (listed, missing) = rig.list().await;
    assert_eq!(listed, names(&["execute", "c_x"]));
    assert_eq!(missing.len(), 2);
    assert!(missing[0].contains("have no end") && missing[1].contains("more tools"), "{missing:?}");
}

#[tokio::test]
async fn a_server_of_others_is_not_there() {
    let mut rig = Rig::new(&[("a", SERVER, &["x"])]);
    let policy = Policy::new(vec![Rule::parse(Verdict::Allow, "*").unwrap()]);
    let mut served = Served::new("a".parse().unwrap(), policy);
    served.principals = Some(vec!["other".parse().unwrap()]);
    rig.mount.tools = Arc::new(Permits::new([served]));
    assert_eq!(rig.list().await, (names(&["execute"]), vec![]));
    assert_eq!(rig.call("a_x", "{}").await, Err("there is no such tool".into()));
    assert_eq!(rig.starts("a"), 0, "nor started for somebody who may not use it");
}
