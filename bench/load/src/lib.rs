//! The instant upstream and the load generator of `cargo xtask bench`.
//!
//! Every call asks for a path that no other call asks for, and every answer is checked for it: an
//! answer that is wrong, late or someone else's ends the run. Each command prints one line of JSON.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to `cargo xtask bench`")]

#[cfg(target_os = "linux")]
pub mod gateway;
mod http;
mod launch;
mod numbers;
mod one;
mod process;
#[cfg(target_os = "linux")]
pub mod team;
mod upstream;

use std::error::Error;
#[cfg(target_os = "linux")]
use std::path::Path;

const USAGE: &str = "usage:
  upstream KEY                            prints its port, then serves until killed
  direct PORT KEY CALLS                   one kept-alive connection, one call at a time
  direct-many PORT KEY SECONDS WORKERS    the upstream's own rate
  stdio CALLS SERVICE -- COMMAND..        `execute` over stdio, one call at a time
  large BYTES SERVICE -- COMMAND..        `execute` of a large body over stdio
  http URL TOKEN PID SECONDS WORKERS SERVICE
  spawn TIMES -- COMMAND..                from start to the first answer to tools/list
  bare TIMES -- COMMAND..                 from start to end
  alternate TIMES -- COMMAND.. + ..       from start to end of each, in turn
  together -- COMMAND.. + ..              from the first start to the last end, all at once
  ready -- COMMAND.. + ..                 to the last answer to initialize, all at once
  lock TIMES SERVICE -- SERVER.. + LOCK.. + UNLOCK..
                                          from the start of LOCK to the refused call
  idle -- COMMAND..                       memory after the first answer to tools/list
  team -- STRONGROOM                      a team of 100 tenants and of 100,000, on both databases
  team-quick -- STRONGROOM                the same with few, to see that it works
  echo stdio|http [TOOLS]                 an MCP server that answers at once
  gateway -- STRONGROOM                   calls of it through the gateway and without
  gateway-quick -- STRONGROOM             the same with few, to see that it works";

/// Does what the words say, and returns what is to be printed.
pub fn run(options: &[&str], command: &[String]) -> Result<serde_json::Value, Box<dyn Error>> {
    match *options {
        ["upstream", key] => upstream::serve(key),
        ["direct", port, key, calls] => one::direct(port.parse()?, key, calls.parse()?),
        ["direct-many", port, key, seconds, workers] => {
            http::direct(port.parse()?, key, seconds.parse()?, workers.parse()?)
        }
        ["stdio", calls, service] => one::stdio(calls.parse()?, service, command),
        ["large", bytes, service] => one::large(bytes.parse()?, service, command),
        ["http", url, token, pid, seconds, workers, service] => {
            let target = http::Target { url, token, service };
            http::broker(&target, pid.parse()?, seconds.parse()?, workers.parse()?)
        }
        ["spawn", times] => one::spawn(times.parse()?, command),
        ["bare", times] => one::bare(times.parse()?, command),
        ["alternate", times] => launch::alternate(times.parse()?, command),
        ["together"] => launch::together(command),
        ["ready"] => launch::ready(command),
        ["lock", times, service] => one::lock(times.parse()?, service, command),
        ["idle"] => one::idle(command),
        #[cfg(target_os = "linux")]
        ["team-tools"] => team::tools(the_program(command)?, &ourselves()?, &team::Plan::WHOLE),
        #[cfg(target_os = "linux")]
        ["team"] => team::measure(the_program(command)?, &ourselves()?, &team::Plan::WHOLE),
        #[cfg(target_os = "linux")]
        ["team-quick"] => team::measure(the_program(command)?, &ourselves()?, &team::Plan::QUICK),
        #[cfg(target_os = "linux")]
        ["gateway"] => {
            gateway::measure(the_program(command)?, &ourselves()?, &gateway::Plan::WHOLE)
        }
        #[cfg(target_os = "linux")]
        ["gateway-quick"] => {
            gateway::measure(the_program(command)?, &ourselves()?, &gateway::Plan::QUICK)
        }
        _ => Err(USAGE.into()),
    }
}

/// The words that start the instant MCP server.
#[cfg(target_os = "linux")]
fn ourselves() -> Result<Vec<String>, Box<dyn Error>> {
    Ok(vec![std::env::current_exe()?.display().to_string(), "echo".to_owned()])
}

#[cfg(target_os = "linux")]
fn the_program(command: &[String]) -> Result<&Path, Box<dyn Error>> {
    command.first().map(Path::new).ok_or_else(|| "no program".into())
}
