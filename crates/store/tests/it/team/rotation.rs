//! KEKs and tenants' keys that are rotated while everybody works (CR-08).

use std::io::{BufRead as _, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_model::secret::Secret;
use strongroom_model::team::{Actor, Tenant, TenantCtx};
use strongroom_seal::{KekError, KekRing, Key, LocalKek, TeamKek};
use strongroom_store::team::{
    AuditQuery, Caps, DatabaseUrl, NewCredential, Progress, Team, TeamError,
};
use strongroom_testkit::again;
use strongroom_testkit::fakes::FakeClock;

use super::base::{Base, ctx};
use super::credentials::{retrieve, store, values};
use super::on_both;

on_both! {
    a_kek_is_rotated_while_everybody_works,
    a_kek_is_not_retired_while_anything_is_left_under_it,
    a_rotation_without_the_old_kek_changes_nothing,
    a_running_node_takes_up_keks_that_open_what_is_stored_and_no_others,
    a_rotation_of_the_kek_that_is_killed_goes_on,
    a_tenants_key_is_rotated_while_everybody_works,
    a_rotation_of_ten_thousand_rows_that_is_killed_goes_on,
}

const OLD: u8 = 1;
const NEW: u8 = 2;

fn kek(byte: u8) -> Arc<dyn TeamKek> {
    Arc::new(LocalKek::new(Key::from_secret(&Secret::new(vec![byte; 32])).unwrap()))
}

/// The ring during a rotation.
fn both() -> KekRing {
    KekRing::with_earlier(kek(NEW), [kek(OLD)])
}

async fn connect(base: &Base, keks: impl Into<KekRing>) -> Result<Team, TeamError> {
    Team::connect(&base.url, keks, base.clock.clone()).await
}

/// The database under the KEK `OLD`, with so many tenants who have stored something.
async fn under_old(base: &Base, tenants: usize) -> (Team, Vec<Tenant>) {
    base.sql("DELETE FROM installation");
    let team = connect(base, kek(OLD)).await.unwrap();
    let organization = team.create_organization("o").await.unwrap();
    let mut all = Vec::new();
    for number in 0..tenants {
        let tenant = team.create_tenant(&organization.id, &format!("t{number}")).await.unwrap();
        store(&team, &tenant, "amazon", &format!("key-{number}")).await;
        all.push(tenant);
    }
    (team, all)
}

async fn is_readable(team: &Team, tenants: &[Tenant]) {
    for (number, tenant) in tenants.iter().enumerate() {
        let expected = format!("key-{number}");
        assert_eq!(retrieve(team, tenant, "amazon").await.unwrap().unwrap(), expected);
    }
}

async fn keys_under(team: &Team, id: &str) -> u64 {
    let uses = team.kek_uses().await.unwrap();
    uses.iter().find(|kek| kek.id == id).map_or(0, |kek| kek.keys)
}

/// Reads, and stores anew, until it is told to end; says how often.
fn works(team: &Team, tenants: &[Tenant], end: &Arc<AtomicBool>) -> tokio::task::JoinHandle<u64> {
    let (team, tenants, end) = (team.clone(), tenants.to_vec(), Arc::clone(end));
    tokio::spawn(async move {
        let mut rounds = 0;
        while !end.load(Ordering::SeqCst) || rounds == 0 {
            is_readable(&team, &tenants).await;
            for tenant in &tenants {
                store(&team, tenant, "busy", &format!("round-{rounds}")).await;
            }
            rounds += 1;
        }
        rounds
    })
}

/// CR-08.
async fn a_kek_is_rotated_while_everybody_works(base: &Base) {
    let (before, tenants) = under_old(base, 12).await;
    let team = connect(base, both()).await.unwrap();
    let end = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> =
        [&team, &connect(base, both()).await.unwrap()].map(|t| works(t, &tenants, &end)).into();
    let mut reports: Vec<Progress> = Vec::new();
    let done = team.rotate_kek(|progress| reports.push(progress)).await.unwrap();
    end.store(true, Ordering::SeqCst);
    for worker in workers {
        assert!(worker.await.unwrap() > 0);
    }
    assert_eq!(done, 13, "twelve tenants and the installation");
    assert_eq!(reports.last(), Some(&Progress { done: 13, total: 13 }));
    assert!(reports.windows(2).all(|two| two[0].done <= two[1].done));
    assert_eq!(keys_under(&team, kek(OLD).id()).await, 0);
    assert_eq!(keys_under(&team, kek(NEW).id()).await, 13);
    assert_eq!(team.rotate_kek(|_| {}).await.unwrap(), 0, "there is nothing left to do");
    for tenant in &tenants {
        let lines = team.tenant(&ctx(tenant)).audit(&AuditQuery::default()).await.unwrap().lines;
        let (act, kek) = (r#""act":"kek.rotate""#, format!(r#""subject":"{}""#, kek(NEW).id()));
        assert!(lines.len() == 1 && lines[0].contains(act) && lines[0].contains(&kek), "{lines:?}");
    }

    // The old key is of no use any more, and the new one is enough.
    let error = connect(base, kek(OLD)).await.err().unwrap();
    let (needed, offered) = (kek(NEW).id().to_owned(), kek(OLD).id().to_owned());
    assert!(matches!(&error, TeamError::Kek(KekError::Unknown { needed: n, offered: o })
        if (n, o) == (&needed, &offered)));
    is_readable(&connect(base, kek(NEW)).await.unwrap(), &tenants).await;
    // Who was there before keeps what it has opened.
    is_readable(&before, &tenants).await;
}

/// CR-08.
async fn a_kek_is_not_retired_while_anything_is_left_under_it(base: &Base) {
    let (before, tenants) = under_old(base, 2).await;
    let team = connect(base, both()).await.unwrap();
    let old = kek(OLD).id().to_owned();
    let error = team.retire_kek(&old).await.unwrap_err();
    assert!(matches!(&error, TeamError::InUse { keys: Some(3), .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("3 keys are still wrapped under it"));
    let error = team.retire_kek(kek(NEW).id()).await.unwrap_err();
    assert!(matches!(&error, TeamError::InUse { keys: None, .. }), "{error:?}");
    team.rotate_kek(|_| {}).await.unwrap();

    // A node that has not heard of the new key still wraps under the old one, until it is retired.
    let organization = tenants[0].organization;
    let [late, later] = ["late", "later"];
    let late = before.create_tenant(&organization, late).await.unwrap();
    store(&before, &late, "amazon", "key").await;
    let error = team.retire_kek(&old).await.unwrap_err();
    assert!(matches!(&error, TeamError::InUse { keys: Some(1), .. }), "{error:?}");
    assert_eq!(team.rotate_kek(|_| {}).await.unwrap(), 1);
    team.retire_kek(&old).await.unwrap();
    team.retire_kek(&old).await.unwrap();
    let later = before.create_tenant(&organization, later).await.unwrap();
    let stored = before.tenant(&ctx(&later));
    let error = stored.store_credential("x", "api_key", values(r#"{"a":1}"#)).await.unwrap_err();
    assert!(matches!(&error, TeamError::Retired { kek } if *kek == old), "{error:?}");
    store(&team, &later, "amazon", "key").await;
    let uses = team.kek_uses().await.unwrap();
    let shown: Vec<_> = uses.iter().map(|k| (k.keys, k.current, k.retired, k.available)).collect();
    assert!(shown.contains(&(0, false, true, true)) && shown.contains(&(5, true, false, true)));
}

async fn a_running_node_takes_up_keks_that_open_what_is_stored_and_no_others(base: &Base) {
    let (node, _) = under_old(base, 1).await;
    let strange = node.replace_keks(&KekRing::new(kek(9))).await;
    assert!(matches!(strange, Err(TeamError::Kek(_))), "{strange:?}");
    assert_eq!(node.keks().current(), kek(OLD).id());
    node.replace_keks(&both()).await.unwrap();
    assert_eq!(node.keks().current(), kek(NEW).id());
    connect(base, both()).await.unwrap().rotate_kek(|_| ()).await.unwrap();
    node.ready().await.unwrap();
    assert!(matches!(node.replace_keks(&KekRing::new(kek(OLD))).await, Err(TeamError::Kek(_))));
}

async fn a_rotation_without_the_old_kek_changes_nothing(base: &Base) {
    let (_, tenants) = under_old(base, 3).await;
    let team = connect(base, both()).await.unwrap();
    // The rows of one tenant name a key that nobody has.
    base.sql(&format!(
        "UPDATE tenant_keys SET kek_id = 'kek:0000000000000000' WHERE tenant_id = '{}'",
        tenants[1].id
    ));
    let error = team.rotate_kek(|_| panic!("nothing is done")).await.unwrap_err();
    assert!(matches!(&error, TeamError::Kek(KekError::Unknown { needed, .. })
        if needed == "kek:0000000000000000"));
    assert_eq!(keys_under(&team, kek(OLD).id()).await, 3, "two tenants and the installation");
}

/// A process that does `what` to the database, killed once it has said so many words.
fn kill_one_that(what: &str, base: &Base, parameters: &[&str], words: usize) {
    let url = address(base);
    let all: Vec<&str> = [&*url].into_iter().chain(parameters.iter().copied()).collect();
    let mut child = again::start(&format!("team::rotation::{what}"), "", &all);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.filter(|line| line.starts_with("did ")).take(words).count();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(said, words, "it was killed in the middle");
}

fn address(base: &Base) -> String {
    #[cfg(target_os = "linux")]
    if let Some((server, database)) = &base.server {
        return server.url(strongroom_store::team::APP_ROLE, database);
    }
    format!("sqlite:{}", base.file().display())
}

/// What a process that another test starts is given: the database, and more.
async fn given() -> (Team, Vec<String>) {
    let mut parameters = again::parameters();
    let url: DatabaseUrl = parameters.remove(0).parse().unwrap();
    let team = Team::connect(&url, both(), Arc::new(FakeClock::default())).await.unwrap();
    (team, parameters)
}

fn say(progress: Progress) {
    use std::io::Write as _;
    let mut out = std::io::stdout();
    writeln!(out, "did {}", progress.done).unwrap();
    out.flush().unwrap();
}

/// CR-08.
async fn a_rotation_of_the_kek_that_is_killed_goes_on(base: &Base) {
    let (team, tenants) = under_old(base, 40).await;
    kill_one_that("rotates_the_kek", base, &[], 10);
    let node = connect(base, both()).await.unwrap();
    let left = keys_under(&node, kek(OLD).id()).await;
    assert!(left < 41, "something was done: {left}");
    is_readable(&node, &tenants).await;
    is_readable(&team, &tenants).await;
    assert_eq!(node.rotate_kek(|_| {}).await.unwrap(), left);
    assert_eq!(keys_under(&node, kek(NEW).id()).await, 41);
    is_readable(&connect(base, kek(NEW)).await.unwrap(), &tenants).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by another test, which kills it"]
async fn rotates_the_kek() {
    given().await.0.rotate_kek(say).await.unwrap();
}

/// CR-08.
async fn a_tenants_key_is_rotated_while_everybody_works(base: &Base) {
    let (team, tenants) = under_old(base, 1).await;
    let tenant = &tenants[0];
    let stored = team.tenant(&ctx(tenant));
    stored.store_credentials(many(250), true).await.unwrap();
    let first = stored.credentials(None).await.unwrap()[0].key_id.clone();
    let end = Arc::new(AtomicBool::new(false));
    let another = connect(base, kek(OLD)).await.unwrap();
    let workers = [&team, &another].map(|team| works(team, &tenants, &end));
    let mut reports: Vec<Progress> = Vec::new();
    let done = team.rotate_tenant_key(&tenant.id, |progress| reports.push(progress)).await.unwrap();
    end.store(true, Ordering::SeqCst);
    for worker in workers {
        assert!(worker.await.unwrap() > 0);
    }
    assert!((250..=252).contains(&done), "{done}");
    assert!(reports.len() >= 3 && reports.last().unwrap().done == done);
    for node in [&team, &another, &connect(base, kek(OLD)).await.unwrap()] {
        has_many(node, tenant, 250, &first).await;
    }
    // The old key is gone from the database.
    assert_eq!(keys_under(&team, kek(OLD).id()).await, 2, "one of the tenant, the installation's");
}

/// CR-08.
async fn a_rotation_of_ten_thousand_rows_that_is_killed_goes_on(base: &Base) {
    const MANY: usize = 10_000;
    let (team, tenants) = under_old(base, 1).await;
    let team = team.with_caps(Caps { credentials: 20_000, ..Caps::default() });
    let tenant = &tenants[0];
    let stored = team.tenant(&ctx(tenant));
    stored.store_credentials(many(MANY), true).await.unwrap();
    let first = stored.credentials(None).await.unwrap()[0].key_id.clone();
    kill_one_that("rotates_the_key", base, &[tenant.id.as_str()], 7);

    // Some are under the one key and some under the other, and all can be read.
    let node = connect(base, both()).await.unwrap();
    let keys =
        async || keys_under(&node, kek(OLD).id()).await + keys_under(&node, kek(NEW).id()).await;
    let rows = node.tenant(&ctx(tenant)).credentials(None).await.unwrap();
    let left = rows.iter().filter(|row| row.key_id == first).count() as u64;
    assert!(left > 0 && left <= MANY as u64 + 1 - 700, "{left} are left");
    for row in [rows.first(), rows.last(), rows.get(MANY / 2)].into_iter().flatten() {
        assert!(retrieve(&node, tenant, &row.service).await.unwrap().is_some());
    }
    assert_eq!(keys().await, 3, "both keys are there, and the installation's");
    let done = node.rotate_tenant_key(&tenant.id, |_| {}).await.unwrap();
    assert!(done > 0 && done <= left, "it goes on: {done} of {left}");
    has_many(&node, tenant, MANY, &first).await;
    assert_eq!(keys().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by another test, which kills it"]
async fn rotates_the_key() {
    let (team, parameters) = given().await;
    team.rotate_tenant_key(&parameters[0].parse().unwrap(), say).await.unwrap();
}

fn many(count: usize) -> Vec<NewCredential> {
    (0..count)
        .map(|number| NewCredential {
            service: format!("s{number}"),
            credential_type: "api_key".into(),
            values: values(&format!(r#"{{"api_key":"value-{number}"}}"#)),
            created_at: None,
        })
        .collect()
}

/// All are there, under another key than `first`, and can be read.
async fn has_many(team: &Team, tenant: &Tenant, count: usize, first: &str) {
    let ctx = TenantCtx { tenant: tenant.id, actor: Actor::Operator };
    let rows = team.tenant(&ctx).credentials(None).await.unwrap();
    assert!(rows.len() >= count && rows.iter().all(|row| row.key_id != first));
    for number in (0..count).step_by(count / 50) {
        let value = retrieve(team, tenant, &format!("s{number}")).await.unwrap().unwrap();
        assert_eq!(value, format!("value-{number}"));
    }
}
