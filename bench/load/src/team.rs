//! A team, served: how fast and how large it is with few tenants and with many.
//!
//! The server is the program that users have, on a database that keeps what it acknowledges. Tenants and
//! their servers are put into the database past it; keys and credentials are made by the store itself,
//! as the server makes them. Every answer is checked to be that of the tenant who asked.

mod fill;
mod load;
mod mounted;
mod place;

use std::{error::Error, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::process;
use fill::Account;
use load::{Ask, Crowd};
use place::{Place, Serving};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Tenants at first, and then.
    pub tenants: [usize; 2],
    /// Servers of each.
    pub servers: u32,
    /// Tenants with a server at an address each, whose tool is called.
    pub mounted: usize,
    /// How long each rate is measured.
    pub length: Duration,
    /// How long the same is done before.
    pub warm_up: Duration,
    /// Requests in flight.
    pub workers: usize,
}

impl Plan {
    /// What the benchmark says: 100 and 100,000 tenants.
    pub const WHOLE: Self = Self {
        tenants: [100, 100_000],
        servers: 20,
        mounted: 1_000,
        length: Duration::from_secs(5),
        warm_up: Duration::from_secs(1),
        workers: 32,
    };
    /// Enough to see that it works.
    pub const QUICK: Self = Self {
        tenants: [3, 12],
        servers: 2,
        mounted: 3,
        length: Duration::from_millis(100),
        warm_up: Duration::from_millis(10),
        workers: 4,
    };
}

/// Measures `strongroom` on both databases; what is mounted is started by `echo`, the words that start
/// [`strongroom_testkit::echo`].
///
/// # Errors
///
/// Something does not start, or an answer is not what it should be.
pub fn measure(strongroom: &Path, echo: &[String], plan: &Plan) -> Result<Value, Box<dyn Error>> {
    let mounted = tools(strongroom, echo, plan)?;
    let sqlite = on(&Place::sqlite(strongroom)?, plan)?;
    let postgres = on(&Place::postgres(strongroom)?, plan)?;
    Ok(json!({
        "tenants": plan.tenants,
        "servers": plan.servers,
        "workers": plan.workers,
        "mounted": mounted,
        "sqlite": sqlite,
        "postgres": postgres,
    }))
}

/// Measures calls of tools of registered servers alone.
///
/// # Errors
///
/// As [`measure`].
pub fn tools(strongroom: &Path, echo: &[String], plan: &Plan) -> Result<Value, Box<dyn Error>> {
    mounted::measure(&Place::postgres(strongroom)?, echo, plan)
}

fn on(place: &Place, plan: &Plan) -> Result<Value, Box<dyn Error>> {
    let mut accounts = Vec::new();
    let mut sizes = Vec::new();
    for tenants in plan.tenants {
        fill::up_to(place, plan.servers, tenants, &mut accounts)?;
        let bare = place.selects_per_second(&accounts[0], plan.length)?;
        let mut size = served(place, &place.serve()?, &accounts, plan)?;
        size["tenants"] = tenants.into();
        size["select"] = json!({ "per_second": bare.round() });
        eprintln!("{}: {size}", place.name());
        sizes.push(size);
    }
    Ok(json!(sizes))
}

/// What the server does with all of `accounts`.
fn served(
    place: &Place,
    serving: &Serving,
    accounts: &[Account],
    plan: &Plan,
) -> Result<Value, Box<dyn Error>> {
    let one = Crowd::new(serving.address(), &accounts[..1], plan);
    let many = Crowd::new(serving.address(), accounts, plan);
    let start = process::resident(serving.pid());
    let mut all = json!({ "resident_at_start_kib": start });
    for (name, crowd, ask) in [
        ("healthz", &one, Ask::Health),
        ("list_one", &one, Ask::List),
        ("list", &many, Ask::List),
        ("authorize_one", &one, Ask::Authorize),
        ("authorize", &many, Ask::Authorize),
        ("retrieve_one", &one, Ask::Retrieve),
        ("retrieve", &many, Ask::Retrieve),
    ] {
        let used = || process::processor(serving.pid()) + place.processor();
        let before = used();
        let (mut measured, requests) = crowd.rate(ask)?;
        let used = used().saturating_sub(before).as_secs_f64();
        measured["cpu_us"] = json!((used / requests * 1e6).round());
        all[name] = measured;
    }
    many.touch_all()?;
    all["resident_kib"] = process::resident(serving.pid()).into();
    // Some a second time: what grows with use and not with tenants would show.
    let some = Crowd::new(serving.address(), &accounts[..accounts.len().div_ceil(10)], plan);
    some.touch_all()?;
    all["resident_again_kib"] = process::resident(serving.pid()).into();
    Ok(all)
}
