//! Records as rows.

use std::time::Duration;

use rusqlite::Connection;
use strongroom_model::audit::verify::Verifier;
use strongroom_model::audit::{AuditSink as _, Draft, Kind};
use strongroom_store::team::{AuditQuery, Team, TeamError};

use super::base::{Base, ctx};
use super::on_both;

on_both! {
    a_record_is_its_tenants_and_is_found_by_its_call,
    the_records_of_each_node_are_one_chain,
    pages_of_records_have_each_once_from_new_to_old,
    what_was_queued_is_written_before_the_end,
}

fn draft(act: &str) -> Draft {
    Draft { kind: Kind::Admin, act: Some(act.to_owned()), ..Draft::default() }
}

async fn a_record_is_its_tenants_and_is_found_by_its_call(base: &Base) {
    let (a, b) = (base.tenant("a").await, base.tenant("b").await);
    let (a, b) = (base.team.tenant(&ctx(&a)), base.team.tenant(&ctx(&b)));
    let ids = a.append_audit(vec![draft("one"), draft("two")]).await.unwrap();
    b.append_audit(vec![draft("three")]).await.unwrap();
    let all = a.audit(&AuditQuery::default()).await.unwrap();
    assert_eq!((all.lines.len(), all.next_cursor), (2, None));
    assert!(all.lines[0].contains("\"act\":\"two\"") && all.lines[1].contains("\"act\":\"one\""));
    let of_call = AuditQuery { audit_id: Some(ids[0].0.clone()), ..AuditQuery::default() };
    assert_eq!(a.audit(&of_call).await.unwrap().lines, all.lines[1..]);
    assert!(b.audit(&of_call).await.unwrap().lines.is_empty());
}

async fn the_records_of_each_node_are_one_chain(base: &Base) {
    let (a, b) = (base.tenant("a").await, base.tenant("b").await);
    let another = base.another().await;
    let mut tasks = Vec::new();
    for n in 0..60 {
        let team: Team = if n % 2 == 0 { base.team.clone() } else { another.clone() };
        let ctx = ctx(if n % 3 == 0 { &a } else { &b });
        tasks.push(tokio::spawn(async move {
            let sink = team.audit_sink(&ctx);
            for turn in 0..5 {
                sink.append(draft(&format!("{n}.{turn}"))).unwrap();
                sink.durable().unwrap().await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_ne!(base.team.audit_node(), another.audit_node());
    for node in [base.team.audit_node(), another.audit_node()] {
        assert_eq!(whole_chain(base, node), 150);
    }
}

async fn pages_of_records_have_each_once_from_new_to_old(base: &Base) {
    let tenant = base.tenant("a").await;
    let store = base.team.tenant(&ctx(&tenant));
    for n in 0..7 {
        store.append_audit(vec![draft(&n.to_string())]).await.unwrap();
        base.clock.advance(Duration::from_millis(u64::from(n % 2 == 0)));
    }
    let all = store.audit(&AuditQuery::default()).await.unwrap().lines;
    assert!(all[0].contains("\"act\":\"6\"") && all[6].contains("\"act\":\"0\""));
    let (mut cursor, mut seen) = (None, Vec::new());
    for size in [3, 3, 1] {
        let query = AuditQuery { limit: Some(3), cursor, ..AuditQuery::default() };
        let page = store.audit(&query).await.unwrap();
        assert_eq!(page.lines.len(), size);
        seen.extend(page.lines);
        cursor = page.next_cursor;
    }
    assert_eq!((seen, cursor), (all, None));
    let query = AuditQuery { cursor: Some("AAAA".into()), ..AuditQuery::default() };
    assert!(matches!(store.audit(&query).await, Err(TeamError::Cursor)));
}

async fn what_was_queued_is_written_before_the_end(base: &Base) {
    let tenant = base.tenant("a").await;
    let another = base.another().await;
    let sink = another.audit_sink(&ctx(&tenant));
    for n in 0..1000 {
        sink.append(draft(&n.to_string())).unwrap();
    }
    another.shutdown().await;
    assert_eq!(whole_chain(base, another.audit_node()), 1000);
}

/// How many records the chain of `node` has; it has to be whole.
pub(crate) fn whole_chain(base: &Base, node: &str) -> u64 {
    let lines = lines(base, node);
    let mut verifier = Verifier::new();
    verifier.bytes(node, lines.as_bytes());
    let report = verifier.finish();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    report.records
}

fn lines(base: &Base, node: &str) -> String {
    #[cfg(target_os = "linux")]
    if let Some((server, database)) = &base.server {
        let sql =
            format!("SELECT line FROM strongroom.audit_records WHERE node = '{node}' ORDER BY seq");
        return server.sql(database, &sql) + "\n";
    }
    let db = Connection::open(base.file()).unwrap();
    let mut statement = db
        .prepare("SELECT line || char(10) FROM audit_records WHERE node = ?1 ORDER BY seq")
        .unwrap();
    let lines = statement.query_map([node], |row| row.get::<_, String>(0)).unwrap();
    lines.map(Result::unwrap).collect()
}
