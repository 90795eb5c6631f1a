//! What a verification of all chains shows, on both databases.

use strongroom_model::audit::AuditId;
use strongroom_model::audit::chain::{Hash, write_line};
use strongroom_model::audit::checkpoint::Octets;
use strongroom_model::audit::verify::Finding;
use strongroom_model::audit::{AuditSink as _, Draft, Kind};
use strongroom_model::team::Tenant;
use strongroom_store::audit::Trust;
use strongroom_store::team::{AuditVerified, Team};

use super::base::{Base, ctx};
use super::on_both;

on_both! {
    chains_of_many_nodes_are_whole_and_signed_up_to_their_ends,
    a_record_that_was_changed_removed_or_moved_shows,
    a_record_that_was_written_anew_with_its_hashes_shows,
    an_end_that_was_cut_off_shows_and_an_earlier_end_cannot_be_made,
    a_record_that_was_added_behind_the_end_shows,
    a_chain_that_is_gone_shows,
    a_head_that_was_kept_elsewhere_must_be_there,
    the_chains_of_one_tenant_are_checked_and_its_records_counted,
    the_audit_outlives_the_tenant_and_the_rotation_of_its_keys,
}

fn draft(act: &str) -> Draft {
    Draft { kind: Kind::Admin, act: Some(act.to_owned()), ..Draft::default() }
}

/// Whoever may read all records.
async fn auditor(base: &Base) -> Team {
    #[cfg(target_os = "linux")]
    if let Some((server, database)) = &base.server {
        let url = server.url(strongroom_testkit::postgres::OWNER, database);
        return base.connect_to(&url).await.unwrap();
    }
    base.another().await
}

async fn verified(base: &Base) -> AuditVerified {
    auditor(base).await.verify_audit(None, &Trust::default()).await.unwrap()
}

async fn findings(base: &Base) -> Vec<Finding> {
    verified(base).await.problems.into_iter().map(|found| found.finding).collect()
}

/// Two tenants with ten records between them, in one chain.
async fn ten(base: &Base) -> (Tenant, Tenant) {
    let (a, b) = (base.tenant("a").await, base.tenant("b").await);
    for n in 0..5 {
        for tenant in [&a, &b] {
            let store = base.team.tenant(&ctx(tenant));
            store.append_audit(vec![draft(&format!("act.{n}"))]).await.unwrap();
        }
    }
    assert_eq!(findings(base).await, [], "it was whole");
    (a, b)
}

async fn chains_of_many_nodes_are_whole_and_signed_up_to_their_ends(base: &Base) {
    let (a, _) = ten(base).await;
    let another = base.another().await;
    for n in 0..2500 {
        another.audit_sink(&ctx(&a)).append(draft(&n.to_string())).unwrap();
    }
    another.tenant(&ctx(&a)).append_audit(vec![draft("last")]).await.unwrap();
    another.record_act(None, draft("org.create")).await.unwrap();
    let whole = verified(base).await;
    assert_eq!((whole.chains, whole.records, whole.signed), (2, 2512, 2512));
    assert_eq!((whole.problems, whole.notes), (Vec::new(), Vec::new()));
    // Read by whoever knows the key only, and by whoever believes another one.
    let auditor = auditor(base).await;
    let by = |key| Trust { key: Some(key), ..Trust::default() };
    let known = auditor.verify_audit(None, &by(base.team.audit_key())).await.unwrap();
    assert_eq!(known.problems, []);
    let other = auditor.verify_audit(None, &by(Octets([7; 32]))).await.unwrap();
    assert_eq!((other.signed, other.problems.len()), (0, 2));
    assert!(other.problems.iter().all(|found| found.finding == Finding::OtherKey));
}

async fn a_record_that_was_changed_removed_or_moved_shows(base: &Base) {
    let (a, b) = ten(base).await;
    let to = |text: &str| format!("UPDATE audit_records SET {text}");
    let back = "UPDATE audit_records SET line = replace(line, 'act.9', 'act.1') WHERE seq = 3";
    for (spoil, mend, expected) in [
        (
            to("line = replace(line, 'act.1', 'act.9') WHERE seq = 3"),
            back.to_owned(),
            Finding::WrongHash,
        ),
        (
            to(&format!("tenant_id = '{}' WHERE seq = 3", b.id)),
            to(&format!("tenant_id = '{}' WHERE seq = 3", a.id)),
            Finding::Misplaced { seq: 3 },
        ),
        (
            to("audit_id = 'f' || audit_id WHERE seq = 3"),
            to("audit_id = substr(audit_id, 2) WHERE seq = 3"),
            Finding::Misplaced { seq: 3 },
        ),
        (
            to("seq = CASE seq WHEN 4 THEN 600 ELSE 500 END WHERE seq IN (4, 5); \
                UPDATE audit_records SET seq = CASE seq WHEN 600 THEN 5 ELSE 4 END WHERE seq > 10"),
            to("seq = CASE seq WHEN 4 THEN 600 ELSE 500 END WHERE seq IN (4, 5); \
                UPDATE audit_records SET seq = CASE seq WHEN 600 THEN 5 ELSE 4 END WHERE seq > 10"),
            Finding::Gap { expected: 4, found: 5 },
        ),
    ] {
        base.sql(&spoil);
        let found = findings(base).await;
        assert!(found.contains(&expected), "{spoil}: {found:?}");
        base.sql(&mend);
        assert_eq!(findings(base).await, [], "{mend}");
    }
    base.sql("DELETE FROM audit_records WHERE seq = 4");
    assert_eq!(findings(base).await, [Finding::Gap { expected: 4, found: 5 }]);
}

async fn a_record_that_was_written_anew_with_its_hashes_shows(base: &Base) {
    let (a, _) = ten(base).await;
    // All that follows is written anew, as whoever knows the format can, but for the signature.
    let mut lines = Vec::new();
    let mut prev = Hash::GENESIS;
    for seq in 1..=10 {
        let id = format!("{seq:032x}");
        let draft = Draft {
            audit_id: Some(AuditId(id.clone())),
            tenant: Some(a.id.to_string()),
            ..draft("forged")
        };
        let (line, hash) = write_line(&draft, seq, 0, &prev);
        prev = hash;
        let line = String::from_utf8(line).unwrap();
        lines.push((seq, id, line.trim_end().replace('\'', "''")));
    }
    let epoch = if is_postgres(base) { "'epoch'" } else { "0" };
    base.sql(&format!("UPDATE audit_records SET tenant_id = '{}', at = {epoch}", a.id));
    for (seq, id, line) in lines {
        let set = format!("audit_id = '{id}', line = '{line}'");
        base.sql(&format!("UPDATE audit_records SET {set} WHERE seq = {seq}"));
    }
    assert_eq!(findings(base).await, [Finding::Replaced { seq: 10 }]);
    let hash = if is_postgres(base) { format!("'\\x{prev}'") } else { format!("X'{prev}'") };
    base.sql(&format!("UPDATE audit_nodes SET hash = {hash}"));
    assert_eq!(findings(base).await, [Finding::BadSignature]);
    base.sql("UPDATE audit_nodes SET signature = NULL");
    assert_eq!(findings(base).await, [Finding::Unsigned]);
}

fn is_postgres(base: &Base) -> bool {
    #[cfg(target_os = "linux")]
    return base.server.is_some();
    #[cfg(not(target_os = "linux"))]
    false
}

async fn an_end_that_was_cut_off_shows_and_an_earlier_end_cannot_be_made(base: &Base) {
    ten(base).await;
    base.sql("DELETE FROM audit_records WHERE seq > 7");
    assert_eq!(findings(base).await, [Finding::Cut { first: 8, last: 10 }]);
    base.sql("UPDATE audit_nodes SET seq = 7");
    assert_eq!(findings(base).await, [Finding::BadSignature]);
    // Also where nothing of the chain is left, or nothing but its records.
    base.sql("DELETE FROM audit_records");
    assert_eq!(findings(base).await, [Finding::BadSignature]);
}

async fn a_record_that_was_added_behind_the_end_shows(base: &Base) {
    ten(base).await;
    base.sql("DELETE FROM audit_nodes");
    assert_eq!(findings(base).await, [Finding::Unsigned]);
    // And of a chain that nobody wrote.
    base.sql(
        "INSERT INTO audit_records (tenant_id, node, seq, at, audit_id, line) \
         SELECT tenant_id, 'f', 1, at, audit_id, line FROM audit_records WHERE seq = 1",
    );
    assert_eq!(findings(base).await, [Finding::Unsigned, Finding::Unsigned]);
}

async fn a_chain_that_is_gone_shows(base: &Base) {
    let (a, _) = ten(base).await;
    for act in ["two", "three"] {
        let another = base.another().await;
        another.tenant(&ctx(&a)).append_audit(vec![draft(act)]).await.unwrap();
        another.shutdown().await;
    }
    assert_eq!(findings(base).await, []);
    let of_two = "(SELECT node FROM audit_nodes WHERE ordinal = 2)";
    base.sql(&format!("DELETE FROM audit_records WHERE node = {of_two}"));
    base.sql("DELETE FROM audit_nodes WHERE ordinal = 2");
    assert_eq!(findings(base).await, [Finding::ChainsMissing { first: 2, last: 2 }]);
    base.sql("UPDATE audit_nodes SET ordinal = 2 WHERE ordinal = 3");
    assert_eq!(findings(base).await, [Finding::BadSignature], "a number cannot be given anew");
}

async fn a_head_that_was_kept_elsewhere_must_be_there(base: &Base) {
    let (a, _) = ten(base).await;
    let head = verified(base).await.head;
    assert!(head.is_some());
    base.team.tenant(&ctx(&a)).append_audit(vec![draft("later")]).await.unwrap();
    let trust = Trust { head, ..Trust::default() };
    let auditor = auditor(base).await;
    assert_eq!(auditor.verify_audit(None, &trust).await.unwrap().problems, []);
    // All of it is put back to what it was before: nothing in the database can show that.
    base.sql("DELETE FROM audit_records; DELETE FROM audit_nodes");
    assert_eq!(auditor.verify_audit(None, &Trust::default()).await.unwrap().problems, []);
    let found = auditor.verify_audit(None, &trust).await.unwrap().problems;
    assert_eq!(found[0].finding, Finding::HeadNotFound);
}

async fn the_chains_of_one_tenant_are_checked_and_its_records_counted(base: &Base) {
    let (a, b) = ten(base).await;
    let another = base.another().await;
    another.tenant(&ctx(&b)).append_audit(vec![draft("of b alone")]).await.unwrap();
    let auditor = auditor(base).await;
    let of = async |tenant: &Tenant| {
        auditor.verify_audit(Some(tenant.id), &Trust::default()).await.unwrap()
    };
    let (of_a, of_b) = (of(&a).await, of(&b).await);
    assert_eq!((of_a.chains, of_a.records, of_a.of_tenant), (1, 10, Some(5)));
    assert_eq!((of_b.chains, of_b.records, of_b.of_tenant), (2, 11, Some(6)));
    let node = another.audit_node();
    base.sql(&format!("DELETE FROM audit_records WHERE node = '{node}' AND seq = 1"));
    assert_eq!(of(&a).await.problems, []);
    assert_eq!(findings(base).await, [Finding::Cut { first: 1, last: 1 }]);
}

async fn the_audit_outlives_the_tenant_and_the_rotation_of_its_keys(base: &Base) {
    let (a, _) = ten(base).await;
    base.team.rotate_tenant_key(&a.id, |_| ()).await.unwrap();
    base.team.rotate_kek(|_| ()).await.unwrap();
    base.team.delete_tenant(&a.id).await.unwrap();
    let whole = verified(base).await;
    assert_eq!((whole.problems, whole.records), (Vec::new(), 10));
}

/// TN-12: the server's role checks nothing, because it may not read what is not of one tenant.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_the_server_cannot_read_the_chains_of_all_tenants() {
    use strongroom_store::team::TeamError;

    let base = Base::postgres().await;
    ten(&base).await;
    let refused = base.team.verify_audit(None, &Trust::default()).await;
    assert!(matches!(refused, Err(TeamError::Auditor)), "{refused:?}");
    let (postgres, database) = base.server.as_ref().unwrap();
    postgres.sql(database, "CREATE ROLE reviser LOGIN NOINHERIT");
    postgres.sql(database, "GRANT strongroom_app, strongroom_auditor TO reviser");
    let reviser = base.connect_to(&postgres.url("reviser", database)).await.unwrap();
    assert_eq!(reviser.verify_audit(None, &Trust::default()).await.unwrap().records, 10);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_is_no_superuser_checks_the_chains_too() {
    use std::sync::Arc;

    use strongroom_seal::{Key, LocalKek, TeamKek};
    use strongroom_store::team::migrate;
    use strongroom_testkit::fakes::FakeClock;
    use strongroom_testkit::postgres::Server;

    let server = Server::start();
    let database = server.create_database();
    server.sql(&database, "CREATE ROLE boss LOGIN CREATEROLE");
    server.sql(&database, &format!("ALTER DATABASE {database} OWNER TO boss"));
    let url = server.url("boss", &database).parse().unwrap();
    migrate(&url).await.unwrap();
    let kek: Arc<dyn TeamKek> = Arc::new(LocalKek::new(Key::generate().unwrap()));
    let team = Team::connect(&url, kek, Arc::new(FakeClock::default())).await.unwrap();
    team.record_act(None, draft("org.create")).await.unwrap();
    let whole = team.verify_audit(None, &Trust::default()).await.unwrap();
    assert_eq!((whole.records, whole.problems), (1, Vec::new()));
    assert_eq!(team.unguarded().await.unwrap(), [] as [String; 0]);
}
