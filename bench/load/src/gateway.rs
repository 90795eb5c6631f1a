//! What the gateway adds: the same client calls an instant server through it and without it.
//!
//! Every call sends a text that no other call sends and must get it back; ids begin at 1 in every
//! session, so that those of different clients collide as they do in life.

mod client;
mod place;

use std::{
    error::Error,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{numbers::Times, process};
use client::{Many, Pipe};
use place::{Place, Serving};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Calls, one at a time.
    pub calls: usize,
    /// How long each rate is measured.
    pub length: Duration,
    /// How long the same is done before.
    pub warm_up: Duration,
    /// Calls in flight.
    pub workers: usize,
    /// Servers that are mounted at once.
    pub mounted: usize,
    /// Sessions that are open and idle.
    pub sessions: usize,
    /// Bytes of the large result, and how often it is asked for.
    pub large: (usize, usize),
    /// How often a child is killed.
    pub kills: usize,
}

impl Plan {
    /// What the benchmark says.
    pub const WHOLE: Self = Self {
        calls: 20_000,
        length: Duration::from_secs(8),
        warm_up: Duration::from_secs(1),
        workers: 32,
        mounted: 50,
        sessions: 800,
        large: (1 << 20, 300),
        kills: 5,
    };
    /// Enough to see that it works.
    pub const QUICK: Self = Self {
        calls: 10,
        length: Duration::from_millis(100),
        warm_up: Duration::from_millis(10),
        workers: 4,
        mounted: 3,
        sessions: 4,
        large: (1 << 16, 3),
        kills: 1,
    };
}

/// Secrets that the server of the large results has, each of which is looked for in them.
const SECRETS: usize = 20;
/// Tools of the server whose list is measured.
const TOOLS: &str = "100";

/// Measures `strongroom` before `echo`, the words that start [`strongroom_testkit::echo`].
///
/// # Errors
///
/// Something does not start, or an answer is not what it should be.
pub fn measure(strongroom: &Path, echo: &[String], plan: &Plan) -> Result<Value, Box<dyn Error>> {
    let mut all = json!({ "workers": plan.workers, "mounted": plan.mounted, "secrets": SECRETS });
    let one = Place::new(strongroom, echo, 1, 0, "1")?;
    all["direct_stdio"] = pipe(&one.echo("stdio"), "echo", plan)?;
    all["stdio"] = pipe(&one.serve_stdio(), "s0_echo", plan)?;
    let direct = one.echo_http()?;
    all["direct_http"] = Many::direct(direct.url()).at_once(1, plan)?;
    all["direct_many"] = Many::direct(direct.url()).at_once(plan.workers, plan)?;
    drop(direct);
    {
        let serving = one.serve()?;
        let many = Many::through(&serving, "s0_echo");
        all["base_kib"] = process::resident(serving.pid()).into();
        all["http"] = many.at_once(1, plan)?;
        all["many"] = with_processor(&serving, || many.at_once(plan.workers, plan))?;
        all["resident_kib"] = process::resident(serving.pid()).into();
    }
    all["sessions"] = sessions(&one.serve()?, plan)?;
    all["killed"] = killed(&one, plan)?;
    drop(one);

    let many = Place::new(strongroom, echo, plan.mounted, 0, "1")?;
    let serving = many.serve()?;
    let last = format!("s{}_echo", plan.mounted - 1);
    all["of_many"] = Many::through(&serving, &last).at_once(1, plan)?;
    drop(serving);

    let listed = Place::new(strongroom, echo, 1, 0, TOOLS)?;
    let direct = listed.echo_http()?;
    all["direct_list"] = Many::direct(direct.url()).lists(plan)?;
    let serving = listed.serve()?;
    all["list"] = with_processor(&serving, || Many::through(&serving, "s0_echo").lists(plan))?;
    drop(serving);

    let large = Place::new(strongroom, echo, 1, SECRETS, "1")?;
    all["direct_large"] = largest(&large.echo("stdio"), "echo", plan)?;
    all["large"] = largest(&large.serve_stdio(), "s0_echo", plan)?;
    Ok(all)
}

/// One call at a time over stdio.
fn pipe(command: &place::Words, tool: &str, plan: &Plan) -> Result<Value, Box<dyn Error>> {
    let mut pipe = Pipe::start(command)?;
    let mut times = Times::default();
    for call in 0..plan.calls + plan.calls / 10 {
        let time = pipe.echo(tool, &format!("m{call}x"), 0)?;
        if call >= plan.calls / 10 {
            times.add(time);
        }
    }
    let used = process::processor(pipe.pid()).as_secs_f64();
    let mut summary = times.summary();
    summary["cpu_seconds_per_10000"] = json!(used / times.all() * 1e4);
    pipe.end()?;
    Ok(summary)
}

/// Large results, one at a time over stdio: bytes a second on the way, and of the gateway's own time.
fn largest(command: &place::Words, tool: &str, plan: &Plan) -> Result<Value, Box<dyn Error>> {
    let (bytes, times) = plan.large;
    let mut pipe = Pipe::start(command)?;
    pipe.echo(tool, "warm", bytes)?;
    let before = process::processor(pipe.pid());
    let mut waited = Duration::ZERO;
    for call in 0..times {
        waited += pipe.echo(tool, &format!("l{call}x"), bytes)?;
    }
    let used = process::processor(pipe.pid()).saturating_sub(before);
    let megabytes = f64::from(u32::try_from(bytes * times)?) / 1e6;
    pipe.end()?;
    // Below a tick of the system's clock nothing is known.
    let of_processor = (!used.is_zero()).then(|| megabytes / used.as_secs_f64());
    Ok(json!({
        "bytes": bytes, "mb_per_s": megabytes / waited.as_secs_f64(),
        "mb_per_processor_second": of_processor,
    }))
}

/// Adds what the calls of `work` cost the gateway's process.
fn with_processor(
    serving: &Serving,
    work: impl FnOnce() -> Result<Value, Box<dyn Error>>,
) -> Result<Value, Box<dyn Error>> {
    let before = process::processor(serving.pid());
    let mut measured = work()?;
    let used = process::processor(serving.pid()).saturating_sub(before).as_secs_f64();
    let all = measured["all"].as_f64().unwrap_or(f64::NAN);
    measured["cpu_seconds_per_10000"] = json!(used / all * 1e4);
    Ok(measured)
}

/// What an idle session costs.
fn sessions(serving: &Serving, plan: &Plan) -> Result<Value, Box<dyn Error>> {
    let many = Many::through(serving, "s0_echo");
    // What the first ones bring along is not theirs.
    many.open(plan.sessions / 10)?;
    let before = process::resident(serving.pid());
    many.open(plan.sessions)?;
    let added = process::resident(serving.pid()).saturating_sub(before);
    let count = u32::try_from(plan.sessions)?;
    let each = f64::from(u32::try_from(added)?) / f64::from(count);
    Ok(json!({ "count": count, "kib_each": each }))
}

/// How long it takes from the death of a server's process to its next right answer.
fn killed(place: &Place, plan: &Plan) -> Result<Value, Box<dyn Error>> {
    let mut times = Times::default();
    for _ in 0..plan.kills {
        let mut pipe = Pipe::start(&place.serve_stdio())?;
        pipe.echo("s0_echo", "before", 0)?;
        let victims = process::descendants(pipe.pid(), "echo");
        if victims.is_empty() {
            return Err("the server has no process".into());
        }
        let start = Instant::now();
        for pid in victims {
            process::kill(pid)?;
        }
        while pipe.echo("s0_echo", "after", 0).is_err() {
            if start.elapsed() > PATIENCE {
                return Err("a killed server does not come back".into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        times.add(start.elapsed());
        pipe.end()?;
    }
    Ok(times.summary())
}

const PATIENCE: Duration = Duration::from_mins(1);
