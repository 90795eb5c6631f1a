//! Tenants with one server at an address each, whose tool is called through `POST /mcp`.
//!
//! Requests are of 2026-07-28: each stands by itself, so that one connection asks for one tenant after the
//! other. Every call sends a text that no other call sends and must get it back; ids are the same for all.

use std::{error::Error, rc::Rc, time::Instant};

use bytes::Bytes;
use hyper::Request;
use serde_json::{Value, json};

use super::{
    Plan,
    fill::{self, Account},
    place::{Echo, Place, Serving},
};
use crate::{
    http::{Connection, Run, each_worker},
    numbers::Times,
    one, process,
};

/// What the tool of each tenant's server is called here.
const TOOL: &str = "shop_echo";
const VERSION: &str = "2026-07-28";

/// Measures on `place`, where nothing is yet, before a server that `echo` starts.
pub(super) fn measure(
    place: &Place,
    echo: &[String],
    plan: &Plan,
) -> Result<Value, Box<dyn Error>> {
    let mut accounts = Vec::new();
    fill::up_to(place, 0, plan.mounted, &mut accounts)?;
    let echo = Echo::start(echo)?;
    let serving = place.serve()?;
    let all = Crowd::new(&serving, &accounts, plan);
    all.register(echo.url())?;
    let start = process::resident(serving.pid());
    let one = Crowd::new(&serving, &accounts[..1], plan);
    let mut measured = json!({ "tenants": plan.mounted, "resident_at_start_kib": start });
    for (name, crowd, workers) in [
        ("one_at_a_time", &one, 1),
        ("one", &one, plan.workers),
        ("all_at_a_time", &all, 1),
        ("all", &all, plan.workers),
    ] {
        // Every server has been met before times count.
        crowd.meet()?;
        let used = || process::processor(serving.pid()) + place.processor();
        let before = used();
        let (mut summary, calls) = crowd.rate(workers)?;
        let used = used().saturating_sub(before).as_secs_f64();
        summary["cpu_us"] = json!((used / calls * 1e6).round());
        eprintln!("{}: {name}: {summary}", place.name());
        measured[name] = summary;
    }
    measured["resident_kib"] = process::resident(serving.pid()).into();
    Ok(measured)
}

struct Crowd {
    address: Rc<str>,
    accounts: Rc<[Account]>,
    plan: Plan,
}

impl Crowd {
    fn new(serving: &Serving, accounts: &[Account], plan: &Plan) -> Self {
        Self { address: serving.address().into(), accounts: accounts.into(), plan: *plan }
    }

    /// Registers the server at `url` for each.
    fn register(&self, url: &str) -> Result<(), Box<dyn Error>> {
        let server =
            json!({ "server_id": "shop", "name": "Shop", "url": url, "tool_prefix": "shop." });
        let body = Bytes::from(server.to_string());
        self.each_once(move |mut connection, accounts| {
            let body = body.clone();
            async move {
                for account in accounts {
                    let request = Request::post("/functions/v1/mcp-servers/register")
                        .header("x-api-key", &account.key)
                        .header("content-type", "application/json");
                    let (head, said) = connection.send(request, body.clone()).await?;
                    if !head.status().is_success() {
                        return Err(String::from_utf8_lossy(&said).into());
                    }
                }
                Ok(Times::default())
            }
        })
    }

    /// Calls the tool of each, once.
    fn meet(&self) -> Result<(), Box<dyn Error>> {
        self.each_once(|mut connection, accounts| async move {
            for account in accounts {
                called(&mut connection, &account, "metx").await?;
            }
            Ok(Times::default())
        })
    }

    /// Does `work` with a part of the accounts on each connection.
    fn each_once<F: Future<Output = Result<Times, Box<dyn Error>>> + 'static>(
        &self,
        work: impl Fn(Connection, Vec<Account>) -> F + Clone + 'static,
    ) -> Result<(), Box<dyn Error>> {
        each_worker(self.plan.workers, |worker| {
            let mine = self.accounts.iter().skip(worker).step_by(self.plan.workers);
            let (mine, address, work) =
                (mine.cloned().collect(), Rc::clone(&self.address), work.clone());
            async move { work(Connection::open(&address).await?, mine).await }
        })
        .map(drop)
    }

    /// So many calls in flight, of one tenant after the other.
    fn rate(&self, workers: usize) -> Result<(Value, f64), Box<dyn Error>> {
        let run = Run::new(self.plan.warm_up, self.plan.length);
        let times = each_worker(workers, |worker| {
            let (address, accounts) = (Rc::clone(&self.address), Rc::clone(&self.accounts));
            async move {
                let mut connection = Connection::open(&address).await?;
                let mut times = Times::default();
                let mut place = worker * 7_919;
                for call in 0_u64.. {
                    place = (place + 104_729) % accounts.len();
                    let start = Instant::now();
                    called(&mut connection, &accounts[place], &format!("w{worker}m{call}x"))
                        .await?;
                    if !run.goes_on(start, &mut times) {
                        break;
                    }
                }
                Ok(times)
            }
        })?;
        let all = times.all();
        Ok((run.summary(times), all))
    }
}

/// One call, whose answer is what was sent.
async fn called(
    connection: &mut Connection,
    account: &Account,
    message: &str,
) -> Result<(), Box<dyn Error>> {
    let params = json!({
        "name": TOOL,
        "arguments": { "message": message, "bytes": 0 },
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    });
    let request = Request::post("/mcp")
        .header("x-api-key", &account.key)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", VERSION)
        .header("mcp-method", "tools/call")
        .header("mcp-name", TOOL);
    let body = one::request(1, "tools/call", &params).to_string();
    let (head, said) = connection.send(request, Bytes::from(body)).await?;
    let answer: Value = serde_json::from_slice(&said).unwrap_or_default();
    let right = answer["id"] == 1 && answer["result"]["content"][0]["text"] == message;
    if head.status() == 200 && right {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    Err(format!("the call of {} got {}: {said}", account.tenant, head.status()).into())
}
