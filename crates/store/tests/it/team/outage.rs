//! A Postgres that dies: nothing is allowed meanwhile, and nothing is lost that was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use strongroom_model::audit::{Draft, Kind};
use strongroom_store::team::{Caps, Page, TeamError};
use strongroom_testkit::postgres::Server;

use super::audit::whole_chain;
use super::base::{Base, ctx, server};
use super::nodes::until;

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_gone_nobody_is_let_in_and_afterwards_everybody_is() {
    let postgres = Arc::new(Server::start_alone());
    let base = Base::on(Arc::clone(&postgres)).await;
    let tenant = base.tenant("a").await;
    let token = base.key(&tenant, None).await;
    let store = base.team.tenant(&ctx(&tenant));
    store.register_server(server("s", "s.")).await.unwrap();
    assert!(base.team.authenticate_api_key(&token).await.unwrap().is_some());
    postgres.kill();
    // What is kept may be used until the silence is noticed, and no longer.
    until("nobody is let in", async || {
        base.clock.advance(Duration::from_millis(100));
        match base.team.authenticate_api_key(&token).await {
            Ok(found) => {
                assert!(found.is_some(), "a key is not unknown because nobody can be asked");
                false
            }
            Err(error) => error.is_transient(),
        }
    })
    .await;
    let refused = base.team.authenticate_api_key(&token).await;
    assert!(matches!(refused, Err(TeamError::Unreachable { .. })), "{refused:?}");
    assert!(matches!(store.servers(&Page::default()).await, Err(TeamError::Unreachable { .. })));
    assert!(matches!(store.locks().await, Err(TeamError::Unreachable { .. })));
    assert!(matches!(base.team.ready().await, Err(TeamError::Unreachable { .. })));
    let late = store.register_server(server("t", "t.")).await;
    assert!(matches!(late, Err(TeamError::Unreachable { .. })), "{late:?}");

    postgres.resume();
    until("the key is let in again", async || {
        matches!(base.team.authenticate_api_key(&token).await, Ok(Some(_)))
    })
    .await;
    until("all changes are known again", async || base.team.is_fresh()).await;
    assert_eq!(store.servers(&Page::default()).await.unwrap().total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_is_one_that_is_gone() {
    let postgres = Arc::new(Server::start_alone());
    let base = Base::on(Arc::clone(&postgres)).await;
    let tenant = base.tenant("a").await;
    let token = base.key(&tenant, None).await;
    until("all changes are known", async || base.team.is_fresh()).await;
    assert!(base.team.authenticate_api_key(&token).await.unwrap().is_some());
    postgres.freeze();
    until("the silence is noticed", async || {
        base.clock.advance(Duration::from_millis(300));
        !base.team.is_fresh()
    })
    .await;
    let refused = base.team.authenticate_api_key(&token).await;
    assert!(matches!(refused, Err(TeamError::Unreachable { .. })), "{refused:?}");
    postgres.thaw();
    until("the key is let in again", async || {
        matches!(base.team.authenticate_api_key(&token).await, Ok(Some(_)))
    })
    .await;
    until("all changes are known again", async || base.team.is_fresh()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_survives_a_kill_under_load() {
    let postgres = Arc::new(Server::start_alone());
    let base = Base::on(Arc::clone(&postgres)).await;
    let tenant = base.tenant("a").await;
    let ctx = ctx(&tenant);
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    // However fast the machine is.
    let unbounded = base.team.clone().with_caps(Caps { servers: u32::MAX, ..Caps::default() });
    for task in 0..4 {
        let (team, over) = (unbounded.clone(), Arc::clone(&over));
        tasks.push(tokio::spawn(async move {
            let (mut done, mut recorded) = (Vec::new(), 0);
            for n in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let name = format!("s{task}-{n}");
                let store = team.tenant(&ctx);
                match store.register_server(server(&name, &format!("{name}."))).await {
                    Ok(server) => done.push(server),
                    Err(error) => assert!(error.is_transient(), "{error:?}"),
                }
                let draft = Draft { kind: Kind::Admin, ..Draft::default() };
                match store.append_audit(vec![draft]).await {
                    Ok(_) => recorded += 1,
                    Err(error) => assert!(error.is_transient(), "{error:?}"),
                }
            }
            (done, recorded)
        }));
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        postgres.kill();
        postgres.resume();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    over.store(true, Ordering::Relaxed);
    let (mut all, mut recorded) = (Vec::new(), 0);
    for task in tasks {
        let (done, records) = task.await.unwrap();
        all.extend(done);
        recorded += records;
    }
    assert!(!all.is_empty() && recorded > 0);
    let another = base.another().await;
    let there = another.tenant(&ctx).servers(&Page::default()).await.unwrap().servers;
    for server in &all {
        assert!(there.contains(server), "{} was acknowledged", server.server_id);
    }
    let node = base.team.audit_node().to_owned();
    base.team.shutdown().await;
    assert!(whole_chain(&base, &node) >= recorded);
}
