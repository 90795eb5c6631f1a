//! Whether a server that runs still answers.
//!
//! A server that is busy for somebody is not asked: many take one request at a time, and whoever waits
//! has a deadline of their own.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::hello::ask_health;
use super::server::{Ready, Upstream};

/// How long a server may take to say that it is there.
const DEADLINE: Duration = Duration::from_secs(10);

impl Upstream {
    /// Ends the server where it has not been used for long, and otherwise finds out now and then whether
    /// it still answers. One that does not has failed: it is ended, and the next call starts it again.
    ///
    /// Whoever owns it calls this every now and then.
    pub fn look_after(self: &Arc<Self>) {
        self.rest();
        if let Some(ready) = self.due() {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.check(&ready, DEADLINE).await });
        }
    }

    pub(super) async fn check(&self, ready: &Ready, deadline: Duration) {
        let peer = &ready.running.peer;
        // Whatever it answers, it is there. That it has ended is noticed where it ends.
        let answered = timeout(deadline, ask_health(peer, &ready.agreed, &self.capabilities)).await;
        if answered.is_err() && peer.waiting() == 0 {
            ready.running.stop("the server does not say that it is there");
        }
    }
}
