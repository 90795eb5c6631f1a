//! Credentials: stored, given out, and nothing that was tampered with.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use strongroom_model::ports::{BoxFuture, Clock as _};
use strongroom_model::secret::Secret;
use strongroom_model::team::Tenant;
use strongroom_seal::{KekError, Key, LocalKek, TeamKek};
use strongroom_store::team::{Credential, CredentialValues, Team, TeamError, Which};
use strongroom_testkit::oracle::Oracle;

use super::base::{Base, ctx};
use super::on_both;

on_both! {
    a_credential_comes_back_as_it_was_stored,
    a_credential_that_is_stored_again_keeps_its_id_and_gets_a_new_version,
    a_credential_is_found_by_its_id_or_by_its_service_and_type,
    a_tenant_finds_nothing_of_another,
    a_deleted_credential_is_gone,
    uses_are_written_down_together,
    names_have_one_spelling,
    a_row_that_was_taken_back_is_noticed,
    a_row_that_was_removed_is_noticed,
    rows_that_were_swapped_or_relabelled_are_noticed,
    credentials_without_their_head_are_damage,
    many_who_write_at_once_lose_nothing,
    whoever_keeps_the_kek_is_asked_once_for_a_tenant,
    a_kek_that_does_not_answer_is_like_a_database_that_does_not,
    the_key_of_a_deleted_tenant_is_gone,
    nothing_that_is_stored_holds_a_plaintext,
}

pub(crate) fn values(json: &str) -> CredentialValues {
    CredentialValues::new(Secret::new(json.as_bytes().to_vec())).unwrap()
}

pub(crate) fn by_name(service: &str) -> Which<'_> {
    Which::Named { service, credential_type: "api_key" }
}

pub(crate) async fn store(team: &Team, tenant: &Tenant, service: &str, key: &str) -> Credential {
    let values = values(&format!(r#"{{"api_key":"{key}"}}"#));
    team.tenant(&ctx(tenant)).store_credential(service, "api_key", values).await.unwrap()
}

/// The field `api_key` of the credential of `service`.
pub(crate) async fn retrieve(
    team: &Team,
    tenant: &Tenant,
    service: &str,
) -> Result<Option<String>, TeamError> {
    let found = team.tenant(&ctx(tenant)).retrieve_credential(by_name(service)).await?;
    Ok(found.map(|(_, values)| {
        String::from_utf8(values.field("api_key").unwrap().expose().to_vec()).unwrap()
    }))
}

async fn a_credential_comes_back_as_it_was_stored(base: &Base) {
    let tenant = base.tenant("a").await;
    let store = base.team.tenant(&ctx(&tenant));
    assert_eq!(store.credentials(None).await.unwrap(), []);
    assert!(store.retrieve_credential(by_name("amazon")).await.unwrap().is_none());
    let json =
        r#"{"api_key": "AKIA\u00e9", "secret_key":"s/+=", "port": 5432, "extra":{"a":[null]}}"#;
    let stored = store.store_credential("amazon", "api_key", values(json)).await.unwrap();
    assert_eq!((&*stored.service, stored.version, stored.last_used_at), ("amazon", 1, None));
    assert_eq!((stored.created_at, stored.updated_at), (base.clock.now(), base.clock.now()));
    for team in [&base.team, &base.another().await] {
        let store = team.tenant(&ctx(&tenant));
        let (found, values) = store.retrieve_credential(by_name("amazon")).await.unwrap().unwrap();
        assert_eq!(values.json().expose(), json.as_bytes());
        let used = Some(base.clock.now());
        assert_eq!(found, Credential { last_used_at: used, ..stored.clone() });
        let listed = store.credentials(None).await.unwrap();
        assert_eq!(listed, [Credential { last_used_at: used, ..stored.clone() }]);
    }
}

async fn a_credential_that_is_stored_again_keeps_its_id_and_gets_a_new_version(base: &Base) {
    let tenant = base.tenant("a").await;
    let first = store(&base.team, &tenant, "stripe", "one").await;
    let another = base.another().await;
    assert_eq!(retrieve(&another, &tenant, "stripe").await.unwrap().unwrap(), "one");
    base.clock.advance(Duration::from_secs(5));
    let second = store(&another, &tenant, "stripe", "two").await;
    assert_eq!((second.id, second.version), (first.id, 2));
    assert_eq!(second.created_at, first.created_at);
    assert_eq!(second.updated_at, first.updated_at + Duration::from_secs(5));
    for team in [&base.team, &another] {
        assert_eq!(retrieve(team, &tenant, "stripe").await.unwrap().unwrap(), "two");
        assert_eq!(team.tenant(&ctx(&tenant)).credentials(None).await.unwrap().len(), 1);
    }
}

async fn a_credential_is_found_by_its_id_or_by_its_service_and_type(base: &Base) {
    let tenant = base.tenant("a").await;
    let team = base.team.tenant(&ctx(&tenant));
    let key = store(&base.team, &tenant, "amazon", "key").await;
    let token = values(r#"{"api_key":"token"}"#);
    let token = team.store_credential("amazon", "oauth_token", token).await.unwrap();
    let other = store(&base.team, &tenant, "shopify", "other").await;
    for stored in [&key, &token, &other] {
        let named =
            Which::Named { service: &stored.service, credential_type: &stored.credential_type };
        for which in [Which::Id(stored.id), named] {
            let (found, _) = team.retrieve_credential(which).await.unwrap().unwrap();
            assert_eq!(found.id, stored.id);
        }
    }
    let ids = async |service| -> Vec<_> {
        team.credentials(service).await.unwrap().into_iter().map(|row| row.id).collect()
    };
    let mut both = [key.id, token.id];
    both.sort();
    assert_eq!(ids(Some("amazon")).await, both);
    assert_eq!(ids(Some("none")).await, []);
    assert_eq!(ids(None).await.len(), 3);
    let missing = Which::Named { service: "shopify", credential_type: "oauth_token" };
    assert!(team.retrieve_credential(missing).await.unwrap().is_none());
}

/// TN-01.
async fn a_tenant_finds_nothing_of_another(base: &Base) {
    let (one, other) = (base.tenant("a").await, base.tenant("b").await);
    let mine = store(&base.team, &one, "amazon", "mine").await;
    let theirs = base.team.tenant(&ctx(&other));
    for which in [Which::Id(mine.id), by_name("amazon")] {
        assert!(theirs.retrieve_credential(which).await.unwrap().is_none());
        assert!(theirs.delete_credential(which).await.unwrap().is_none());
    }
    store(&base.team, &other, "amazon", "theirs").await;
    assert!(theirs.retrieve_credential(Which::Id(mine.id)).await.unwrap().is_none());
    assert!(theirs.delete_credential(Which::Id(mine.id)).await.unwrap().is_none());
    assert_eq!(theirs.credentials(None).await.unwrap().len(), 1);
    assert_eq!(retrieve(&base.team, &one, "amazon").await.unwrap().unwrap(), "mine");
    assert_eq!(retrieve(&base.team, &other, "amazon").await.unwrap().unwrap(), "theirs");
}

async fn a_deleted_credential_is_gone(base: &Base) {
    let tenant = base.tenant("a").await;
    let team = base.team.tenant(&ctx(&tenant));
    let [one, two] = [
        store(&base.team, &tenant, "one", "1").await,
        store(&base.team, &tenant, "two", "2").await,
    ];
    let another = base.another().await;
    assert_eq!(retrieve(&another, &tenant, "one").await.unwrap().unwrap(), "1");
    assert_eq!(team.delete_credential(Which::Id(one.id)).await.unwrap(), Some(one.id));
    assert_eq!(team.delete_credential(Which::Id(one.id)).await.unwrap(), None);
    assert_eq!(team.delete_credential(by_name("two")).await.unwrap(), Some(two.id));
    for team in [&base.team, &another] {
        assert_eq!(retrieve(team, &tenant, "one").await.unwrap(), None);
        assert_eq!(team.tenant(&ctx(&tenant)).credentials(None).await.unwrap(), []);
    }
    let anew = store(&base.team, &tenant, "one", "3").await;
    assert_eq!(anew.version, 1);
    assert_ne!(anew.id, one.id);
    assert_eq!(retrieve(&another, &tenant, "one").await.unwrap().unwrap(), "3");
}

async fn uses_are_written_down_together(base: &Base) {
    let tenants = [base.tenant("a").await, base.tenant("b").await];
    for tenant in &tenants {
        for service in ["x", "y"] {
            store(&base.team, tenant, service, "k").await;
        }
    }
    let another = base.another().await;
    let last = async |team: &Team, tenant: &Tenant| {
        let mut rows = team.tenant(&ctx(tenant)).credentials(None).await.unwrap();
        rows.sort_by(|one, other| one.service.cmp(&other.service));
        rows.into_iter().map(|row| row.last_used_at).collect::<Vec<_>>()
    };
    base.clock.advance(Duration::from_secs(1));
    let first = base.clock.now();
    retrieve(&base.team, &tenants[0], "x").await.unwrap();
    retrieve(&base.team, &tenants[1], "y").await.unwrap();
    base.clock.advance(Duration::from_secs(1));
    let second = base.clock.now();
    retrieve(&base.team, &tenants[0], "x").await.unwrap();
    assert_eq!(last(&base.team, &tenants[0]).await, [Some(second), None]);
    assert_eq!(last(&another, &tenants[0]).await, [None, None], "nobody has written it down");
    assert_eq!(base.team.write_credential_uses().await.unwrap(), 2);
    assert_eq!(base.team.write_credential_uses().await.unwrap(), 0);
    assert_eq!(last(&another, &tenants[0]).await, [Some(second), None]);
    assert_eq!(last(&another, &tenants[1]).await, [None, Some(first)]);
    // A use is no change: whoever has verified the rows goes on with them.
    assert_eq!(retrieve(&another, &tenants[0], "x").await.unwrap().unwrap(), "k");
}

/// CR-04.
async fn names_have_one_spelling(base: &Base) {
    let tenant = base.tenant("a").await;
    let team = base.team.tenant(&ctx(&tenant));
    for bad in ["", "a b", "a|b", "a:b", "a\0b", "café", "_a", &"a".repeat(65)] {
        for (service, credential_type, field) in
            [(bad, "api_key", "service"), ("amazon", bad, "credential_type")]
        {
            let stored = team.store_credential(service, credential_type, values(r#"{"a":1}"#));
            let error = stored.await.unwrap_err();
            assert!(matches!(&error, TeamError::Invalid(error) if error.field == field), "{bad:?}");
            assert!(Which::named(service, credential_type).is_err());
        }
    }
    // Names that read the same when joined are different ones.
    store(&base.team, &tenant, "a", "1").await;
    for (service, credential_type) in [("ab", "c"), ("a", "bc"), ("A", "api_key")] {
        let json = format!(r#"{{"api_key":"{service}+{credential_type}"}}"#);
        team.store_credential(service, credential_type, values(&json)).await.unwrap();
    }
    assert_eq!(retrieve(&base.team, &tenant, "a").await.unwrap().unwrap(), "1");
    assert_eq!(retrieve(&base.team, &tenant, "A").await.unwrap().unwrap(), "A+api_key");
    assert_eq!(team.credentials(None).await.unwrap().len(), 4);
}

async fn is_damage(base: &Base, tenant: &Tenant) {
    for team in [&base.team, &base.another().await] {
        for service in ["one", "two"] {
            let error = retrieve(team, tenant, service).await.unwrap_err();
            assert!(matches!(error, TeamError::Integrity { .. }), "{service}: {error:?}");
        }
    }
}

async fn two_credentials(base: &Base) -> (Tenant, Credential, Credential) {
    let tenant = base.tenant("a").await;
    let one = store(&base.team, &tenant, "one", "1").await;
    let two = store(&base.team, &tenant, "two", "2").await;
    base.sql("CREATE TABLE saved AS SELECT * FROM tenant_credentials");
    (tenant, one, two)
}

/// CR-11.
async fn a_row_that_was_taken_back_is_noticed(base: &Base) {
    let (tenant, one, _) = two_credentials(base).await;
    store(&base.team, &tenant, "one", "newer").await;
    assert_eq!(retrieve(&base.team, &tenant, "one").await.unwrap().unwrap(), "newer");
    let id = one.id;
    base.sql(&format!(
        "DELETE FROM tenant_credentials WHERE id = '{id}'; \
         INSERT INTO tenant_credentials SELECT * FROM saved WHERE id = '{id}'"
    ));
    // Whoever has verified the rows knows which one it is; everybody else, that it is one of them.
    let error = retrieve(&base.team, &tenant, "one").await.unwrap_err();
    assert!(matches!(error, TeamError::Integrity { .. }), "{error:?}");
    assert_eq!(retrieve(&base.team, &tenant, "two").await.unwrap().unwrap(), "2");
    let another = base.another().await;
    for service in ["one", "two"] {
        let error = retrieve(&another, &tenant, service).await.unwrap_err();
        assert!(matches!(error, TeamError::Integrity { .. }), "{error:?}");
    }
}

/// CR-11.
async fn a_row_that_was_removed_is_noticed(base: &Base) {
    let (tenant, one, _) = two_credentials(base).await;
    assert_eq!(retrieve(&base.team, &tenant, "one").await.unwrap().unwrap(), "1");
    base.sql(&format!("DELETE FROM tenant_credentials WHERE id = '{}'", one.id));
    let another = base.another().await;
    for team in [&base.team, &another] {
        for which in [Which::Id(one.id), by_name("one")] {
            let error = team.tenant(&ctx(&tenant)).retrieve_credential(which).await.unwrap_err();
            assert!(matches!(error, TeamError::Integrity { .. }), "{error:?}");
        }
    }
    let error = another.tenant(&ctx(&tenant)).credentials(None).await.unwrap_err();
    assert!(matches!(error, TeamError::Integrity { .. }), "{error:?}");
    let id = one.id;
    base.sql(&format!("INSERT INTO tenant_credentials SELECT * FROM saved WHERE id = '{id}'"));
    assert_eq!(retrieve(&another, &tenant, "one").await.unwrap().unwrap(), "1");
}

/// CR-04.
async fn rows_that_were_swapped_or_relabelled_are_noticed(base: &Base) {
    let (tenant, one, two) = two_credentials(base).await;
    let (one, two) = (one.id, two.id);
    let sealed = |from, to| {
        format!(
            "UPDATE tenant_credentials SET encrypted_credentials = (SELECT encrypted_credentials \
             FROM saved WHERE id = '{from}') WHERE id = '{to}'; "
        )
    };
    // The values of one in the row of the other: each row is as it was, and opens no more.
    base.sql(&(sealed(one, two) + &sealed(two, one)));
    is_damage(base, &tenant).await;
    base.sql(&(sealed(one, one) + &sealed(two, two)));
    assert_eq!(retrieve(&base.team, &tenant, "one").await.unwrap().unwrap(), "1");
    for (change, back) in [
        ("service = 'three'", "service = 'one'"),
        ("credential_type = 'other'", "credential_type = 'api_key'"),
        ("version = 7", "version = 1"),
        ("encryption_key_id = 'default'", "encryption_key_id = (SELECT key_id FROM tenant_heads)"),
    ] {
        let set = |what| format!("UPDATE tenant_credentials SET {what} WHERE id = '{one}'");
        base.sql(&set(change));
        for team in [&base.team, &base.another().await] {
            let found = team.tenant(&ctx(&tenant)).retrieve_credential(Which::Id(one)).await;
            let error = found.unwrap_err();
            assert!(matches!(error, TeamError::Integrity { .. }), "{change}: {error:?}");
        }
        base.sql(&set(back));
        assert_eq!(retrieve(&base.team, &tenant, "one").await.unwrap().unwrap(), "1");
    }
}

async fn credentials_without_their_head_are_damage(base: &Base) {
    let (tenant, ..) = two_credentials(base).await;
    base.sql("CREATE TABLE heads AS SELECT * FROM tenant_heads; DELETE FROM tenant_heads");
    is_damage(base, &tenant).await;
    let stored = base.team.tenant(&ctx(&tenant));
    let error = stored.store_credential("one", "api_key", values(r#"{"a":1}"#)).await.unwrap_err();
    assert!(matches!(error, TeamError::Integrity { .. }), "{error:?}");
    base.sql("INSERT INTO tenant_heads SELECT * FROM heads");
    assert_eq!(retrieve(&base.team, &tenant, "one").await.unwrap().unwrap(), "1");
    base.sql("UPDATE tenant_heads SET generation = generation - 1");
    let error = retrieve(&base.another().await, &tenant, "one").await.unwrap_err();
    assert!(matches!(error, TeamError::Integrity { .. }), "{error:?}");
}

async fn many_who_write_at_once_lose_nothing(base: &Base) {
    let tenant = base.tenant("a").await;
    let nodes = [base.team.clone(), base.another().await];
    let tasks: Vec<_> = (0..24)
        .map(|number| {
            let (team, ctx) = (nodes[number % 2].clone(), ctx(&tenant));
            tokio::spawn(async move {
                let store = team.tenant(&ctx);
                let json = format!(r#"{{"api_key":"{number}"}}"#);
                let own = format!("own-{number}");
                store.store_credential(&own, "api_key", values(&json)).await.unwrap();
                store.store_credential("shared", "api_key", values(&json)).await.unwrap();
                store.retrieve_credential(by_name("shared")).await.unwrap().unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for team in &nodes {
        for number in 0..24 {
            let service = format!("own-{number}");
            assert_eq!(
                retrieve(team, &tenant, &service).await.unwrap().unwrap(),
                number.to_string()
            );
        }
        let all = team.tenant(&ctx(&tenant)).credentials(None).await.unwrap();
        assert_eq!(all.len(), 25);
        let shared = all.iter().find(|row| row.service == "shared").unwrap();
        assert_eq!(shared.version, 24);
    }
}

/// A KEK that counts, and that can be out of reach.
struct Counted {
    kek: Arc<dyn TeamKek>,
    unwrapped: AtomicUsize,
    gone: std::sync::atomic::AtomicBool,
}

impl Counted {
    fn new() -> Arc<Self> {
        let kek: Arc<dyn TeamKek> = Arc::new(LocalKek::new(Key::generate().unwrap()));
        Arc::new(Self { kek, unwrapped: AtomicUsize::new(0), gone: false.into() })
    }

    fn answers(&self) -> Result<(), KekError> {
        if self.gone.load(Ordering::SeqCst) {
            let kek = self.kek.id().to_owned();
            return Err(KekError::Unreachable { kek, why: "the test says so".into() });
        }
        Ok(())
    }
}

impl TeamKek for Counted {
    fn id(&self) -> &str {
        self.kek.id()
    }

    fn wrap<'a>(
        &'a self,
        tenant: &'a str,
        key_id: &'a str,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Vec<u8>, KekError>> {
        Box::pin(async move {
            self.answers()?;
            self.kek.wrap(tenant, key_id, key).await
        })
    }

    fn unwrap<'a>(
        &'a self,
        tenant: &'a str,
        key_id: &'a str,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Key, KekError>> {
        Box::pin(async move {
            self.answers()?;
            self.unwrapped.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            self.kek.unwrap(tenant, key_id, wrapped).await
        })
    }
}

/// A database of its own, under this KEK.
async fn another_base(base: &Base, kek: Arc<Counted>) -> Team {
    base.sql("DELETE FROM installation");
    base.connect(kek).await.unwrap()
}

async fn whoever_keeps_the_kek_is_asked_once_for_a_tenant(base: &Base) {
    let kek = Counted::new();
    let team = another_base(base, Arc::clone(&kek)).await;
    let tenants = [base.tenant("a").await, base.tenant("b").await];
    for tenant in &tenants {
        for service in ["x", "y", "z"] {
            store(&team, tenant, service, "k").await;
        }
    }
    let node = base.connect(Arc::clone(&kek) as Arc<dyn TeamKek>).await.unwrap();
    let before = kek.unwrapped.load(Ordering::SeqCst);
    let tasks: Vec<_> = (0..40)
        .map(|number| {
            let (team, ctx) = (node.clone(), ctx(&tenants[number % 2]));
            let service = ["x", "y", "z"][number % 3];
            tokio::spawn(async move {
                team.tenant(&ctx).retrieve_credential(by_name(service)).await.unwrap().unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(kek.unwrapped.load(Ordering::SeqCst) - before, 2, "once for each tenant");
}

async fn a_kek_that_does_not_answer_is_like_a_database_that_does_not(base: &Base) {
    let kek = Counted::new();
    let team = another_base(base, Arc::clone(&kek)).await;
    let (tenant, other) = (base.tenant("a").await, base.tenant("b").await);
    store(&team, &tenant, "x", "k").await;
    let node = base.connect(Arc::clone(&kek) as Arc<dyn TeamKek>).await.unwrap();
    kek.gone.store(true, Ordering::SeqCst);
    assert!(node.ready().await.unwrap_err().is_transient());
    assert!(retrieve(&node, &tenant, "x").await.unwrap_err().is_transient());
    let store = node.tenant(&ctx(&other));
    let first = store.store_credential("x", "api_key", values(r#"{"a":1}"#)).await;
    assert!(first.unwrap_err().is_transient());
    // Whoever has opened the key needs nobody.
    assert_eq!(retrieve(&team, &tenant, "x").await.unwrap().unwrap(), "k");
    kek.gone.store(false, Ordering::SeqCst);
    assert_eq!(retrieve(&node, &tenant, "x").await.unwrap().unwrap(), "k");
}

async fn the_key_of_a_deleted_tenant_is_gone(base: &Base) {
    let (tenant, ..) = two_credentials(base).await;
    base.sql(
        "CREATE TABLE saved_tenants AS SELECT * FROM tenants; \
         CREATE TABLE saved_heads AS SELECT * FROM tenant_heads",
    );
    let other = base.tenant("b").await;
    store(&base.team, &other, "x", "k").await;
    assert!(base.team.delete_tenant(&tenant.id).await.unwrap());
    // All but the key is put back.
    base.sql(
        "INSERT INTO tenants SELECT * FROM saved_tenants; \
         INSERT INTO tenant_heads SELECT * FROM saved_heads; \
         INSERT INTO tenant_credentials SELECT * FROM saved",
    );
    is_damage(base, &tenant).await;
    assert_eq!(retrieve(&base.team, &other, "x").await.unwrap().unwrap(), "k");
}

async fn nothing_that_is_stored_holds_a_plaintext(base: &Base) {
    let canary = strongroom_testkit::canary::of("credential");
    let tenant = base.tenant("a").await;
    store(&base.team, &tenant, "amazon", &canary).await;
    store(&base.team, &tenant, "amazon", &format!("{canary}-2")).await;
    store(&base.team, &tenant, "gone", &canary).await;
    assert_eq!(retrieve(&base.team, &tenant, "gone").await.unwrap().unwrap(), canary);
    base.team.tenant(&ctx(&tenant)).delete_credential(by_name("gone")).await.unwrap();
    base.team.rotate_tenant_key(&tenant.id, |_| {}).await.unwrap();
    let dump = base.dump();
    assert!(dump.len() > 4096, "there is something to look at");
    let oracle = Oracle::new(&[("the credential", canary.as_bytes())]);
    oracle.assert_clean("the dump", &dump);
    #[cfg(target_os = "linux")]
    if let Some((server, _)) = &base.server {
        for file in std::fs::read_dir(server.data().join("pg_wal")).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                let mut log = std::fs::read(&path).unwrap();
                // A segment is made in full and used bit by bit.
                log.truncate(log.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1));
                oracle.assert_clean("the log", &log);
            }
        }
    }
}
