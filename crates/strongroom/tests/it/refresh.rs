//! Two processes and one refresh token that is good for one use.

use std::sync::{Arc, Mutex};

use serde_json::json;
use strongroom_testkit::upstream::{Reply, Seen, Upstream};

use crate::login::{browse, configured, ended, fields, start};
use crate::serve::Serving;

/// Calls of each process.
const CALLS: usize = 12;

/// The tokens that one consent led to (RFC 9700 §4.14.2): whoever shows a refresh token that was used
/// before has stolen it, or was stolen from, and the whole family is taken back.
#[derive(Default)]
struct Family {
    /// The number of the refresh token that is good.
    good: usize,
    revoked: bool,
}

impl Family {
    fn answer(&mut self, seen: &Seen) -> Reply {
        if seen.target != "/token" {
            let token = seen.values("authorization").concat();
            let known = token.starts_with("Bearer stand-in-access-token-") && !self.revoked;
            return if known { Reply::ok("yours") } else { Reply::status(401) };
        }
        let form = fields(&seen.body);
        let shown = form.get("refresh_token");
        if shown.is_some_and(|shown| *shown != self.refresh_token()) {
            self.revoked = true;
        }
        if self.revoked {
            return Reply::status(400);
        }
        self.good += 1;
        // Good for no time at all, so that each call asks for the next one.
        let tokens = json!({ "access_token": format!("stand-in-access-token-{:08}", self.good),
            "token_type": "Bearer", "expires_in": 0, "refresh_token": self.refresh_token() });
        Reply::ok(tokens.to_string()).header("content-type", "application/json")
    }

    fn refresh_token(&self) -> String {
        format!("stand-in-refresh-token-{:08}", self.good)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_never_show_a_stand_in_server_a_refresh_token_twice() {
    let family = Arc::new(Mutex::new(Family::default()));
    let answering = Arc::clone(&family);
    let upstream = Upstream::http(move |seen| answering.lock().unwrap().answer(seen)).await;
    let sandbox = configured(&upstream);
    let (child, query, back) = start(&sandbox);
    browse(&back, &format!("code=any&state={}", query["state"]));
    assert_eq!(ended(child), 0);

    let callers = [(); 2].map(|()| {
        let mut serving = Serving::start(&sandbox, &["serve"]);
        std::thread::spawn(move || {
            let answers: Vec<_> =
                (0..CALLS).map(|_| serving.execute("calendar", "GET", "/today")).collect();
            serving.finish();
            answers
        })
    });
    for answers in callers.map(|caller| caller.join().unwrap()) {
        for answer in answers {
            assert_eq!(answer["body"], "yours", "{answer}");
        }
    }
    let family = family.lock().unwrap();
    assert!(!family.revoked);
    assert_eq!(family.good, 1 + 2 * CALLS, "one for each call, and the first");
}
