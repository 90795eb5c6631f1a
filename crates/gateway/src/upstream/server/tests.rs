use std::path::PathBuf;

use strongroom_process::{Start, Stream};

use super::super::peer::{Noise, Peer};
use super::*;
use crate::wire::Id;

/// A server of the `initialize` era that knows a few methods.
const SERVER: &str = r#"
echo started >> "$LOG"
while read -r line; do
    id=${line#*\"id\":}; id=${id%%,*}
    case $line in
    *server/discover*) answer='"error":{"code":-32601,"message":"no"}';;
    *initialize\"*) answer='"result":{"protocolVersion":"2025-11-25","capabilities":{}}';;
    *notifications/*) continue;;
    *die*) exit 3;;
    *) answer="\"result\":{\"pid\":$$}";;
    esac
    echo "{\"jsonrpc\":\"2.0\",\"id\":$id,$answer}"
done
"#;

struct Script {
    script: &'static str,
    log: PathBuf,
}

impl Launch for Script {
    fn launch(&self) -> BoxFuture<'_, Result<Launched, Refusal>> {
        let pipe = Stream::Pipe;
        let start = Start {
            args: ["-c", self.script].map(Into::into).into(),
            env: vec![("LOG".into(), self.log.clone().into())],
            stdin: pipe,
            stdout: pipe,
            stderr: pipe,
            ..Start::new("/bin/sh")
        };
        let launched = start.start().map(|child| Launched::child(Box::new(child), Arc::default()));
        Box::pin(async move { launched.map_err(|_| failed("it cannot be started")) })
    }
}

struct Deaf;

impl Events for Deaf {
    fn told(&self, _: &str, _: Option<&str>) {}
    fn asked(&self, _: &Peer, _: Id<'_>, _: &str, _: Option<&str>) {}
    fn noise(&self, _: Noise) {}
}

struct Place {
    upstream: Arc<Upstream>,
    folder: tempfile::TempDir,
}

impl Place {
    fn of(script: &'static str, options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let launch = Box::new(Script { script, log: folder.path().join("log") });
        let upstream = Upstream::new(launch, Arc::new(Deaf), "{}", options);
        Self { upstream, folder }
    }

    fn starts(&self) -> usize {
        let log = std::fs::read_to_string(self.folder.path().join("log"));
        log.unwrap_or_default().lines().count()
    }

    async fn call(&self, method: &str) -> Result<String, String> {
        let ready = self.upstream.ready().await.map_err(|refusal| refusal.message)?;
        let params = |_: u64, out: &mut Vec<u8>| out.extend_from_slice(b"{}");
        let answer = ready.running.peer.call(method, params, None).await;
        Ok(answer.map_err(|over| over.to_string())?.text().unwrap().to_owned())
    }
}

#[tokio::test]
async fn many_that_want_a_server_start_it_once() {
    let place = Place::of(SERVER, Options::default());
    assert_eq!((place.upstream.status().state, place.starts()), (State::Idle, 0));
    let calls = (0..20).map(|_| place.upstream.ready());
    let mut pids = Vec::new();
    for ready in futures(calls).await {
        pids.push(ready.unwrap().running.pid);
    }
    pids.dedup();
    assert_eq!((pids.len(), place.starts()), (1, 1));
    assert_eq!(place.upstream.status().pid, pids[0]);
}

async fn futures<T: Send + 'static>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|cx| {
        all.retain_mut(|one| match one.as_mut().poll(cx) {
            std::task::Poll::Ready(value) => {
                done.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test]
async fn a_server_that_died_answers_the_next_call_again() {
    let place = Place::of(SERVER, Options::default());
    let before = place.call("tools/list").await.unwrap();
    let error = place.call("die").await.unwrap_err();
    assert_eq!(error, "the server has ended (exit status: 3)");
    let after = place.call("tools/list").await.unwrap();
    assert_ne!(before, after);
    let status = place.upstream.status();
    assert_eq!((status.restarts, status.last_error), (1, Some(error)));
}

#[tokio::test]
async fn what_always_fails_is_left_alone_and_says_why() {
    let supervision = supervision::Limits {
        pause: Duration::from_millis(1),
        failures: 3,
        ..supervision::Limits::default()
    };
    let options = Options { supervision, ..Options::default() };
    let place = Place::of("echo started >> \"$LOG\"; echo no key >&2; exit 7", options);
    for _ in 0..3 {
        let error = place.call("tools/list").await.unwrap_err();
        assert_eq!(error, "the server has ended (exit status: 7)");
    }
    for _ in 0..10 {
        let error = place.call("tools/list").await.unwrap_err();
        assert!(error.contains("left alone: the server has ended (exit status: 7)"), "{error}");
    }
    let status = place.upstream.status();
    assert_eq!((place.starts(), status.state.as_str()), (3, "crash_loop"));
    place.upstream.stop("a person starts it again");
    assert!(place.call("tools/list").await.is_err());
    assert_eq!(place.starts(), 4);
}

#[tokio::test]
async fn one_that_says_nothing_is_given_up_and_ended() {
    let options = Options { patience: Duration::from_millis(50), ..Options::default() };
    let place = Place::of("sleep 600", options);
    let error = place.call("tools/list").await.unwrap_err();
    assert!(error.starts_with("the server has not answered within"), "{error}");
}

#[tokio::test]
async fn an_idle_server_is_put_away_and_a_busy_one_is_not() {
    let place = Place::of(SERVER, Options { idle: Duration::ZERO, ..Options::default() });
    let ready = place.upstream.ready().await.unwrap();
    place.upstream.rest();
    assert_eq!(place.upstream.status().state, State::Idle);
    let params = |_: u64, out: &mut Vec<u8>| out.extend_from_slice(b"{}");
    assert!(ready.running.peer.call("x", params, None).await.is_err());
    assert!(place.call("tools/list").await.is_ok(), "the next call starts it again");

    let patient = Place::of(SERVER, Options::default());
    patient.call("tools/list").await.unwrap();
    patient.upstream.rest();
    assert!(matches!(patient.upstream.status().state, State::Ready { .. }));
}

#[tokio::test]
async fn a_server_that_does_not_say_that_it_is_there_is_ended() {
    let silent = "exec 3<&0; n=0; while read -r line <&3; do n=$((n+1)); case $n in \
            1) echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no\"}}';; \
            2) echo '{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}}}';; \
            esac; done";
    let (short, long) = (Duration::from_millis(50), Duration::from_mins(1));
    for (script, deadline, stays) in [(silent, short, false), (SERVER, long, true)] {
        let place = Place::of(script, Options { health: Duration::ZERO, ..Options::default() });
        let ready = place.upstream.ready().await.unwrap();
        let due = place.upstream.due().unwrap();
        place.upstream.check(&due, deadline).await;
        let params = |_: u64, out: &mut Vec<u8>| out.extend_from_slice(b"{}");
        let answer = ready.running.peer.call("x", params, None).await;
        assert_eq!(answer.is_ok(), stays);
        while !stays && place.upstream.attempt() == Some(ready.attempt) {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(place.upstream.attempt().is_some(), stays);
    }
    let place = Place::of(SERVER, Options::default());
    place.upstream.ready().await.unwrap();
    assert!(place.upstream.due().is_none(), "it was heard a moment ago");
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_serves_the_next_one() {
    let place = Place::of(SERVER, Options::default());
    let first = timeout(Duration::ZERO, place.upstream.ready()).await;
    assert!(first.is_err());
    place.call("tools/list").await.unwrap();
    assert_eq!(place.starts(), 1);
}
