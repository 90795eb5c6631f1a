//! Requests in flight: each worker has a connection, and asks for one tenant after the other.

use std::{cell::Cell, error::Error, rc::Rc, time::Instant};

use bytes::Bytes;
use hyper::Request;
use serde_json::Value;

use super::{
    Plan,
    fill::{Account, SERVICE},
};
use crate::{
    http::{Connection, Run, each_worker},
    numbers::Times,
};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Health,
    List,
    Authorize,
    Retrieve,
}

/// Tenants, and where they are asked for.
pub(super) struct Crowd {
    address: Rc<str>,
    accounts: Rc<[Account]>,
    plan: Plan,
}

impl Crowd {
    pub(super) fn new(address: &str, accounts: &[Account], plan: &Plan) -> Self {
        Self { address: address.into(), accounts: accounts.into(), plan: *plan }
    }

    /// How often in a second it is answered, and how soon; how many requests there were in all.
    pub(super) fn rate(&self, ask: Ask) -> Result<(Value, f64), Box<dyn Error>> {
        let run = Run::new(self.plan.warm_up, self.plan.length);
        let times = each_worker(self.plan.workers, |worker| {
            let (address, accounts) = (Rc::clone(&self.address), Rc::clone(&self.accounts));
            let servers = self.plan.servers;
            async move {
                let mut connection = Connection::open(&address).await?;
                let mut times = Times::default();
                // Steps of a large prime: each worker meets all tenants, in an order of its own.
                let mut place = worker * 7_919;
                loop {
                    place = (place + 104_729) % accounts.len();
                    let start = Instant::now();
                    asked(&mut connection, ask, &accounts[place], servers).await?;
                    if !run.goes_on(start, &mut times) {
                        return Ok(times);
                    }
                }
            }
        })?;
        let all = times.all();
        Ok((run.summary(times), all))
    }

    /// Asks everything for everybody, once.
    pub(super) fn touch_all(&self) -> Result<(), Box<dyn Error>> {
        let next = Rc::new(Cell::new(0));
        each_worker(self.plan.workers, |_| {
            let (address, accounts) = (Rc::clone(&self.address), Rc::clone(&self.accounts));
            let (next, servers) = (Rc::clone(&next), self.plan.servers);
            async move {
                let mut connection = Connection::open(&address).await?;
                while let Some(account) = accounts.get(next.replace(next.get() + 1)) {
                    for ask in [Ask::List, Ask::Authorize, Ask::Retrieve] {
                        asked(&mut connection, ask, account, servers).await?;
                    }
                }
                Ok(Times::default())
            }
        })
        .map(drop)
    }
}

/// One request, whose answer is the tenant's own.
async fn asked(
    connection: &mut Connection,
    ask: Ask,
    account: &Account,
    servers: u32,
) -> Result<(), Box<dyn Error>> {
    const LIST: &str = "/functions/v1/mcp-servers/list";
    let (request, body, expected) = match ask {
        Ask::Health => (Request::get("/healthz"), String::new(), "ok".to_owned()),
        Ask::List => (Request::get(LIST), String::new(), format!("\"count\":{servers}")),
        Ask::Authorize => (
            Request::post("/functions/v1/authorize"),
            "{\"action\":\"tools/call\",\"resource\":\"s1.order\"}".to_owned(),
            "\"decision\":\"allow\"".to_owned(),
        ),
        Ask::Retrieve => (
            Request::post("/functions/v1/credentials/retrieve"),
            format!("{{\"service\":\"{SERVICE}\"}}"),
            format!("\"{}\"", account.value),
        ),
    };
    let mut request = request;
    if ask != Ask::Health {
        request = request.header("x-api-key", &account.key);
    }
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    let (head, said) = connection.send(request, Bytes::from(body)).await?;
    let said = String::from_utf8_lossy(&said);
    if head.status() == 200 && said.contains(&expected) {
        return Ok(());
    }
    Err(format!("{ask:?} of {} got {}: {said}", account.tenant, head.status()).into())
}
