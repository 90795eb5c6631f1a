//! A Postgres that dies: nothing is allowed meanwhile, and nothing is lost that was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use strongroom_model::audit::{AuditSink as _, Draft, Kind};
use strongroom_store::team::{Caps, Page, TeamError};
use strongroom_testkit::postgres::Server;

use super::audit::whole_chain;
use super::base::{Base, ctx, server};
use super::cut::{LOSES, Way};
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

/// The node writes a record, its answer is lost with the connection, and no other can be had until more waits to
/// be written.
#[tokio::test(flavor = "multi_thread")]
async fn records_whose_answer_was_lost_are_there_once_and_the_audit_goes_on() {
    let base = Base::on(Server::start()).await;
    let tenant = base.tenant("a").await;
    let (postgres, database) = base.server.clone().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let way = Way::new(folder.path(), postgres.sockets());
    let user = strongroom_store::team::APP_ROLE;
    let url = format!("postgres://{user}@localhost/{database}?host={}", folder.path().display());
    let node = base.connect_to(&url).await.unwrap();
    let audit = node.audit_sink(&ctx(&tenant));
    let record = |why: &str| {
        let reason = Some(why.to_owned());
        audit.append(Draft { kind: Kind::Admin, reason, ..Draft::default() }).unwrap();
    };
    record("first");
    audit.durable().unwrap().await.unwrap();
    let sql = format!(
        "SELECT count(*) FROM strongroom.audit_records WHERE node = '{}'",
        node.audit_node()
    );
    let written = || postgres.sql(&database, &sql).trim().parse::<u32>().unwrap();
    assert_eq!(written(), 1);

    record(LOSES);
    until("the record is there", async || written() == 2).await;
    record("last");
    way.cut();
    until("it was tried again", async || way.refused.load(Ordering::SeqCst) > 20).await;
    assert_eq!(written(), 2);
    way.mend();
    audit.durable().unwrap().await.unwrap();
    assert_eq!(whole_chain(&base, node.audit_node()), 3);
}
