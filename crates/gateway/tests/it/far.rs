//! Servers at an address: each era, each way to answer, and each fault.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_gateway::upstream::far::{Address, Reach, site};
use strongroom_gateway::upstream::peer::{Events, Noise, Peer, Progress};
use strongroom_gateway::upstream::server::{Launch, Launched, Options, Upstream};
use strongroom_gateway::upstream::supervision;
use strongroom_gateway::wire::{Id, Limits};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::ports::{BoxFuture, Far};
use strongroom_testkit::far::{FarServer, Plain, Speaks};

const ALL: [Speaks; 4] = [Speaks::Modern, Speaks::Sessions, Speaks::Batches, Speaks::Events];

/// Reaches a server at an address.
struct Reaches {
    url: String,
    far: Arc<dyn Far>,
}

impl Launch for Reaches {
    fn launch(&self) -> BoxFuture<'_, Result<Launched, Refusal>> {
        let (name, url) = ("far".parse().unwrap(), self.url.parse().unwrap());
        let headers = [("x-key".to_owned(), "plain".parse().unwrap())].into();
        let server = Address { name: &name, url: &url, headers: &headers };
        let made = site(server, &|_| None, Reach { here: true, ..Reach::default() });
        let made = made.map_err(|error| Refusal::new(Code::InvalidRequest, error.to_string()));
        let far = Arc::clone(&self.far);
        Box::pin(async move { Ok(Launched::far(made?, far, Arc::default())) })
    }
}

/// Hears everything, and answers questions with a yes.
#[derive(Default)]
struct Heard {
    told: Mutex<Vec<String>>,
    noise: Mutex<Vec<Noise>>,
}

impl Events for Heard {
    fn told(&self, method: &str, _: Option<&str>) {
        self.told.lock().unwrap().push(method.to_owned());
    }
    fn asked(&self, peer: &Peer, id: Id<'_>, method: &str, _: Option<&str>) {
        self.told.lock().unwrap().push(format!("{method}?"));
        drop(peer.reply(id.raw(), Ok(r#"{"action":"accept"}"#)));
    }
    fn noise(&self, what: Noise) {
        self.noise.lock().unwrap().push(what);
    }
}

/// A server, and the gateway's side of it.
struct Place {
    server: FarServer,
    heard: Arc<Heard>,
    upstream: Arc<Upstream>,
}

impl Place {
    async fn of(speaks: Speaks) -> Self {
        Self::with(FarServer::new(speaks).await, Options::default())
    }

    fn with(server: FarServer, options: Options) -> Self {
        let heard = Arc::new(Heard::default());
        let launch = Box::new(Reaches { url: server.url(), far: Arc::new(Plain::default()) });
        let upstream = Upstream::new(launch, Arc::clone(&heard) as Arc<dyn Events>, "{}", options);
        Self { server, heard, upstream }
    }

    async fn call(&self, method: &str, params: Value) -> Result<Value, String> {
        self.heard(method, params, None).await
    }

    async fn heard(
        &self,
        method: &str,
        mut params: Value,
        progress: Option<Progress>,
    ) -> Result<Value, String> {
        let ready = self.upstream.ready().await.map_err(|refusal| refusal.message.into_owned())?;
        let modern = ready.agreed.version == "2026-07-28";
        let write = |id: u64, out: &mut Vec<u8>| {
            params["_meta"]["progressToken"] = id.into();
            if modern {
                let meta = &mut params["_meta"];
                meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
                meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
            }
            out.extend_from_slice(params.to_string().as_bytes());
        };
        let answer = ready.running.peer.call(method, write, progress).await;
        let answer = answer.map_err(|over| over.to_string())?;
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        Ok(match answer.text() {
            Ok(result) => read(result),
            Err(error) => json!({ "error": read(error) }),
        })
    }

    async fn tool(&self, name: &str, arguments: Value) -> Result<String, String> {
        let params = json!({ "name": name, "arguments": arguments });
        let result = self.call("tools/call", params).await?;
        let text = result["content"][0]["text"].as_str();
        Ok(text.map_or_else(|| result.to_string(), str::to_owned))
    }
}

/// Waits until `done`, however busy the machine is.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn a_server_of_every_era_is_found_out_and_answers() {
    for (speaks, version) in
        ALL.into_iter().zip(["2026-07-28", "2025-11-25", "2025-03-26", "2024-11-05"])
    {
        let place = Place::of(speaks).await;
        let echoed = place.tool("echo", json!({ "n": [1, "ü"] })).await.unwrap();
        assert_eq!(echoed, r#"{"n":[1,"ü"]}"#, "{speaks:?}");
        let ready = place.upstream.ready().await.unwrap();
        assert_eq!((ready.agreed.version, ready.running.pid), (version, None));
        let seen = place.server.seen("POST", "tools/call");
        assert_eq!(seen[0].values("x-key"), ["plain"], "its own headers go along");
        assert!(place.heard.noise.lock().unwrap().is_empty(), "{speaks:?}");
    }
}

#[tokio::test]
async fn a_modern_message_says_in_its_headers_what_is_in_its_body() {
    let place = Place::of(Speaks::Modern).await;
    place.call("tools/list", json!({})).await.unwrap();
    for region in ["us-west1", " \u{e9} "] {
        let result = place.tool("echo", json!({ "region": region })).await.unwrap();
        let sent = place.server.seen("POST", "tools/call").pop().unwrap();
        match region {
            "us-west1" => assert_eq!(result, r#"{"region":"us-west1"}"#),
            // The server of this test compares without decoding.
            _ => assert!(sent.values("mcp-param-region")[0].starts_with("=?base64?"), "{result}"),
        }
        assert_eq!(sent.values("mcp-method"), ["tools/call"]);
        assert_eq!(sent.values("mcp-name"), ["echo"]);
        assert_eq!(sent.values("mcp-protocol-version"), ["2026-07-28"]);
    }
    let error = place.call("tools/unheard-of", json!({})).await.unwrap();
    assert_eq!(error["error"]["code"], -32601);
}

#[tokio::test]
async fn a_session_goes_along_and_is_ended() {
    let place = Place::of(Speaks::Sessions).await;
    place.tool("echo", json!({})).await.unwrap();
    let sent = place.server.seen("POST", "tools/call").pop().unwrap();
    assert_eq!(sent.values("mcp-session-id"), ["session-1"]);
    assert_eq!(sent.values("mcp-protocol-version"), ["2025-11-25"]);
    assert!(sent.values("mcp-method").is_empty());
    place.upstream.stop("enough");
    until("the session is not ended", || place.server.sessions() == 0).await;
}

// MC-08
#[tokio::test]
async fn a_session_that_the_server_has_forgotten_is_begun_anew_and_the_call_made() {
    let place = Place::of(Speaks::Sessions).await;
    place.tool("echo", json!({})).await.unwrap();
    place.server.forget();
    let calls = (0..5).map(|n| {
        let params = json!({ "n": n });
        place.tool("echo", params)
    });
    for (n, result) in join(calls).await.into_iter().enumerate() {
        assert_eq!(result.unwrap(), format!(r#"{{"n":{n}}}"#));
    }
    assert_eq!(place.server.begun(), 2, "once for all of them");
    let told = place.heard.told.lock().unwrap().clone();
    assert!(told.contains(&"notifications/tools/list_changed".to_owned()), "{told:?}");
}

async fn join<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut done = Vec::new();
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut results: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (one, result) in all.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(value) = one.as_mut().poll(cx)
            {
                *result = Some(value);
            }
        }
        if results.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.extend(results.into_iter().flatten());
    done
}

#[tokio::test]
async fn what_a_server_says_unasked_is_heard_and_its_stream_is_taken_up_again() {
    for speaks in [Speaks::Sessions, Speaks::Events] {
        let place = Place::of(speaks).await;
        place.tool("echo", json!({})).await.unwrap();
        let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
        let heard = || place.heard.told.lock().unwrap().len();
        until("there is no stream", || place.server.say(&changed)).await;
        until("nothing was heard", || heard() > 0).await;
        let before = heard();
        if speaks == Speaks::Sessions {
            place.server.hang_up();
            until("it was not taken up", || place.server.say(&changed)).await;
            until("nothing more was heard", || heard() > before).await;
        }
    }
}

#[tokio::test]
async fn a_server_asks_in_the_midst_of_a_call_and_is_answered() {
    let place = Place::of(Speaks::Sessions).await;
    assert_eq!(place.tool("ask", json!({})).await.unwrap(), r#"{"action":"accept"}"#);
    assert_eq!(*place.heard.told.lock().unwrap(), ["elicitation/create?"]);
}

// MC-19
#[tokio::test]
async fn progress_is_heard_before_the_answer() {
    for speaks in [Speaks::Modern, Speaks::Sessions] {
        let place = Place::of(speaks).await;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        let progress: Progress = Arc::new(move |params: &str| {
            let params: Value = serde_json::from_str(params).unwrap();
            kept.lock().unwrap().push(params["progress"].as_u64().unwrap());
        });
        let params = json!({ "name": "progress", "arguments": {} });
        place.heard("tools/call", params, Some(progress)).await.unwrap();
        assert_eq!(*heard.lock().unwrap(), [1, 2], "{speaks:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_gone_on_with_where_the_server_can() {
    let place = Place::of(Speaks::Sessions).await;
    assert_eq!(place.tool("break", json!({})).await.unwrap(), "done");
    let resumed = place.server.upstream.seen();
    let resumed = resumed.iter().find(|seen| seen.values("last-event-id") == ["e1"]);
    assert_eq!(resumed.unwrap().method, "GET");
    for speaks in [Speaks::Modern, Speaks::Sessions] {
        let place = Place::of(speaks).await;
        let error = place.tool("close", json!({})).await.unwrap_err();
        assert_eq!(error, "the server ended its answer before it gave one", "{speaks:?}");
        assert!(place.tool("echo", json!({})).await.is_ok(), "and the next call is made");
    }
}

// RX-04
#[tokio::test]
async fn a_call_that_nobody_waits_for_is_taken_back_at_the_server() {
    for speaks in [Speaks::Modern, Speaks::Sessions] {
        let place = Place::of(speaks).await;
        place.tool("echo", json!({})).await.unwrap();
        let before = place.server.upstream.requests();
        {
            let hanging = place.tool("hang", json!({}));
            tokio::pin!(hanging);
            tokio::select! {
                answer = &mut hanging => panic!("{answer:?}"),
                () = place.server.upstream.wait_for_requests(before + 1) => {}
            }
        }
        if speaks == Speaks::Modern {
            place.server.upstream.wait_until_answered().await;
            assert!(place.server.seen("POST", "notifications/cancelled").is_empty());
        } else {
            until("it was not told", || {
                !place.server.seen("POST", "notifications/cancelled").is_empty()
            })
            .await;
        }
        let ready = place.upstream.ready().await.unwrap();
        assert_eq!(ready.running.peer.waiting(), 0);
    }
}

// RX-01, MC-09, MC-11
#[tokio::test]
async fn each_fault_fails_its_own_call_and_no_other() {
    let limits = Limits { message_bytes: 1 << 20, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    for speaks in [Speaks::Modern, Speaks::Sessions] {
        let place = Place::with(FarServer::new(speaks).await, options);
        for (tool, expected) in [
            ("html", "the server's answer is neither JSON nor a stream of events"),
            ("garbage", "the server's answer is not one to what it was asked"),
            ("other", "the server's answer is not one to what it was asked"),
            ("status", "the server answered with the status 503"),
            ("huge", "the server's answer is longer than a message may be"),
            ("flood", "the server's answer has no end"),
            ("same", "the server answered with the status 307"),
        ] {
            assert_eq!(
                place.tool(tool, json!({})).await.unwrap_err(),
                expected,
                "{speaks:?} {tool}"
            );
        }
        let teapot = place.tool("teapot", json!({})).await.unwrap();
        assert_eq!(teapot, r#"{"error":{"code":-32011,"message":"short"}}"#);
        assert_eq!(place.tool("long", json!({})).await.unwrap(), "done", "what follows is read");
        assert_eq!(place.tool("echo", json!({})).await.unwrap(), "{}");
        let noise = place.heard.noise.lock().unwrap().clone();
        assert!(noise.contains(&Noise::TooLong) && noise.contains(&Noise::Unasked), "{noise:?}");
        assert_eq!(place.upstream.status().restarts, 0);
    }
}

#[tokio::test]
async fn whoever_is_not_known_is_told_to_log_in_and_one_with_the_key_is_served() {
    for speaks in ALL {
        let server = FarServer::new(speaks).await;
        server.require("x-key", "another");
        let place = Place::with(server, Options::default());
        let error = place.tool("echo", json!({})).await.unwrap_err();
        assert!(error.contains("strongroom login far"), "{speaks:?} {error}");
        place.server.require("x-key", "plain");
        place.upstream.stop("somebody has logged in");
        assert!(place.tool("echo", json!({})).await.is_ok(), "{speaks:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_left_alone_and_used_again_when_it_is_up() {
    let supervision = supervision::Limits {
        pause: Duration::from_millis(1),
        failures: 3,
        ..supervision::Limits::default()
    };
    let options = Options { supervision, ..Options::default() };
    let place = Place::with(FarServer::new(Speaks::Sessions).await, options);
    place.server.answer_with(Some(503));
    for _ in 0..3 {
        let error = place.tool("echo", json!({})).await.unwrap_err();
        assert_eq!(error, "the server answered with the status 503");
    }
    let error = place.tool("echo", json!({})).await.unwrap_err();
    assert!(error.contains("left alone"), "{error}");
    let asked = place.server.upstream.requests();
    place.tool("echo", json!({})).await.unwrap_err();
    assert_eq!(place.server.upstream.requests(), asked, "it is not hammered");
    place.server.answer_with(None);
    place.upstream.stop("a person starts it again");
    assert!(place.tool("echo", json!({})).await.is_ok());
}

#[tokio::test]
async fn a_server_that_goes_away_fails_its_calls_and_is_looked_for_again() {
    let place = Place::of(Speaks::Events).await;
    place.tool("echo", json!({})).await.unwrap();
    place.server.hang_up();
    until("its end is not noticed", || place.upstream.attempt().is_none()).await;
    let error = place.upstream.status().last_error.unwrap();
    assert_eq!(error, "the server has closed its stream of events");
    assert!(place.tool("echo", json!({})).await.is_ok(), "the next call finds it");
    assert_eq!(place.upstream.status().restarts, 1);
}

#[tokio::test]
async fn an_address_where_nobody_is_says_so() {
    let server = FarServer::new(Speaks::Modern).await;
    let place = Place::with(server, Options::default());
    let launch =
        Box::new(Reaches { url: "http://127.0.0.1:1/mcp".into(), far: Arc::new(Plain::default()) });
    let nobody = Upstream::new(
        launch,
        Arc::clone(&place.heard) as Arc<dyn Events>,
        "{}",
        Options::default(),
    );
    let refusal = nobody.ready().await.map(drop).unwrap_err();
    assert_eq!(refusal.message, "the upstream cannot be reached");
}

#[tokio::test]
async fn the_health_of_a_server_is_asked_with_a_deadline() {
    let soon = Duration::from_secs(20);
    for speaks in ALL {
        let place = Place::of(speaks).await;
        place.upstream.healthy(soon).await.unwrap();
        assert!(place.upstream.attempt().is_some(), "{speaks:?}: it is started by that");
        place.server.answer_with(Some(500));
        let refusal = place.upstream.healthy(soon).await.unwrap_err();
        assert_eq!(refusal.code, Code::UpstreamError, "{speaks:?}");
        place.server.answer_with(None);
        place.upstream.healthy(soon).await.unwrap();
    }
    let place = Place::of(Speaks::Modern).await;
    place.tool("echo", json!({})).await.unwrap();
    place.server.sulk();
    let refusal = place.upstream.healthy(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(refusal.code, Code::UpstreamTimeout);
}
