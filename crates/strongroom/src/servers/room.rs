//! Servers that are to be in a room of their own (decision 53).

use strongroom_model::principal::Name;
use strongroom_model::server::Isolation;
use strongroom_process::{Limits, Room, Sandbox, Start};

use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::paths::Home;

/// `start`, in the room that `server` is to have.
///
/// # Errors
///
/// There is none here. Nothing weaker takes its place.
pub(super) fn isolated(
    start: Start,
    server: &Name,
    isolation: &Isolation,
    host: &Host,
    home: &Home,
) -> Result<Start, Failure> {
    let sandbox = Sandbox::here(&host.program).map_err(|missing| {
        Failure::new(Exit::Unavailable, format!("the server `{server}` is not started: {missing}"))
            .hint("its `isolate` says that it must not run outside of a room of its own")
    })?;
    let mut read = isolation.read.clone();
    // What `mcp pin` installed is packages; it is the only thing of ours that a server may see.
    read.push(home.servers_dir());
    let room = Room {
        read,
        write: isolation.write.clone(),
        hide: home.directories().into_iter().map(Into::into).collect(),
        network: isolation.network,
        limits: Limits::default(),
    };
    let dir = start.dir.clone().unwrap_or_else(|| host.directory.clone());
    Ok(sandbox.wrap(&Start { dir: Some(dir), ..start }, &room))
}
