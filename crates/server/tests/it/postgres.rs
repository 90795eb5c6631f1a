//! The same on Postgres, and what becomes of it when the database is gone.

use std::time::{Duration, Instant};

use strongroom_server::Options;
use strongroom_testkit::postgres::Server;

use crate::support::{LIST, Site};

const PATIENCE: Duration = Duration::from_secs(20);

fn options() -> Options {
    Options { listen: ([127, 0, 0, 1], 0).into(), ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_the_answers_are_the_same() {
    let server = Server::start();
    let site = Site::on_postgres(&server, options()).await;
    let key = site.key(&site.a, "use,credentials:write,executor,admin").await;
    assert_eq!(site.get(LIST, &key).await.body, r#"{"ok":true,"data":{"servers":[],"count":0}}"#);
    let body = r#"{"service":"amazon","credentials":{"api_key":"value"}}"#;
    let stored = site.post("/functions/v1/credentials/store", &key, body).await.data();
    let which = r#"{"service":"amazon"}"#;
    let got = site.post("/functions/v1/credentials/retrieve", &key, which).await.data();
    assert_eq!(got["credential_id"], stored["credential_id"]);
    assert_eq!(got["credentials"]["api_key"], "value");
    let records = site.get("/v1/audit", &key).await.data()["records"].as_array().unwrap().len();
    assert_eq!(records, 2);
    assert_eq!(site.send("GET", "/readyz", &[], "").await.status, 200);
}

// AU-10
#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_gone_nothing_is_allowed_and_afterwards_it_goes_on() {
    let server = Server::start_alone();
    let site = Site::on_postgres(&server, options()).await;
    let key = site.key(&site.a, "use").await;
    site.get(LIST, &key).await.data();
    server.kill();
    let until = async |status: u16| {
        let began = Instant::now();
        loop {
            let reply = site.get(LIST, &key).await;
            if reply.status == status {
                return reply;
            }
            assert!(began.elapsed() < PATIENCE, "{}", reply.body);
            tokio::task::yield_now().await;
        }
    };
    let gone = until(503).await;
    assert_eq!(gone.problem().1, "secret_unavailable");
    assert_eq!(gone.header("retry-after"), Some("1"));
    assert_eq!(site.send("GET", "/readyz", &[], "").await.status, 503);
    assert_eq!(site.send("GET", "/healthz", &[], "").await.status, 200);
    assert_eq!(site.get(LIST, &key).await.status, 503, "and not once from memory");
    server.resume();
    until(200).await;
}
