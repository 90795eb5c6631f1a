//! Several nodes, or processes, on one database: what one changes, all know.

use std::time::Duration;

use strongroom_model::lock::Part;
use strongroom_model::secret::Secret;
use strongroom_model::team::KeyKind;
use strongroom_store::team::{Change, Page, Team};

use super::base::{Base, ctx, server};
use super::on_both;

on_both! {
    a_revoked_key_is_refused_by_every_node,
    what_one_node_registers_all_nodes_list,
    a_lock_is_known_to_every_node,
    when_a_key_was_used_is_written_later_and_seldom,
    what_is_dumped_holds_no_key,
}

/// Waits for what is to come, as long as a busy machine may take.
pub(crate) async fn until(what: &str, is: impl AsyncFn() -> bool) {
    for _ in 0..400 {
        if is().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came about that {what}");
}

async fn lets_in(team: &Team, token: &Secret) -> bool {
    team.authenticate_api_key(token).await.unwrap().is_some()
}

async fn a_revoked_key_is_refused_by_every_node(base: &Base) {
    let (tenant, other) = (base.tenant("a").await, base.tenant("b").await);
    let token = base.key(&tenant, None).await;
    let theirs = base.key(&other, None).await;
    let another = base.another().await;
    let mut changes = another.changes();
    for team in [&base.team, &another] {
        assert!(lets_in(team, &token).await && lets_in(team, &token).await);
        assert!(lets_in(team, &theirs).await);
    }
    let id = KeyKind::Api.parse(token.expose()).unwrap().id;
    base.team.enable_api_key(&tenant.id, &id, false).await.unwrap();
    assert!(!lets_in(&base.team, &token).await, "who did it knows it at once");
    until("the other node refuses it", async || !lets_in(&another, &token).await).await;
    assert!(lets_in(&another, &theirs).await);
    while changes.changed().await == Change::All {}
    base.team.enable_api_key(&tenant.id, &id, true).await.unwrap();
    assert!(lets_in(&base.team, &token).await);
    until("the other node lets it in", async || lets_in(&another, &token).await).await;
}

async fn what_one_node_registers_all_nodes_list(base: &Base) {
    let tenant = base.tenant("a").await;
    let another = base.another().await;
    let there = async |team: &Team| {
        team.tenant(&ctx(&tenant)).servers(&Page::default()).await.unwrap().total
    };
    assert_eq!(there(&another).await, 0);
    let store = base.team.tenant(&ctx(&tenant));
    for total in 1..4 {
        let name = format!("s{total}");
        store.register_server(server(&name, &format!("{name}."))).await.unwrap();
        assert_eq!(there(&base.team).await, total);
        until("the other node lists it", async || there(&another).await == total).await;
    }
}

async fn a_lock_is_known_to_every_node(base: &Base) {
    let tenant = base.tenant("a").await;
    let another = base.another().await;
    let open = async |team: &Team| team.tenant(&ctx(&tenant)).locked().await.unwrap().is_empty();
    assert!(open(&base.team).await && open(&another).await);
    another.lock_all(&Part::Everything).await.unwrap();
    assert!(!open(&another).await);
    until("it is locked", async || !open(&base.team).await).await;
    base.team.unlock_all(&Part::Everything).await.unwrap();
    until("it is open", async || open(&another).await).await;
}

async fn when_a_key_was_used_is_written_later_and_seldom(base: &Base) {
    let tenant = base.tenant("a").await;
    let token = base.key(&tenant, None).await;
    let another = base.another().await;
    assert!(lets_in(&another, &token).await);
    assert_eq!(base.team.api_keys(&tenant.id).await.unwrap()[0].last_used, None);
    another.shutdown().await;
    let used = base.team.api_keys(&tenant.id).await.unwrap()[0].last_used.unwrap();

    base.clock.advance(Duration::from_secs(59));
    let another = base.another().await;
    assert!(lets_in(&another, &token).await);
    another.shutdown().await;
    assert_eq!(base.team.api_keys(&tenant.id).await.unwrap()[0].last_used, Some(used));
    base.clock.advance(Duration::from_secs(1));
    let another = base.another().await;
    assert!(lets_in(&another, &token).await);
    another.shutdown().await;
    assert!(base.team.api_keys(&tenant.id).await.unwrap()[0].last_used > Some(used));
}

/// AU-02.
async fn what_is_dumped_holds_no_key(base: &Base) {
    let tenant = base.tenant("a").await;
    let token = base.key(&tenant, None).await;
    let (_, kernel) = base.team.create_kernel_key(&tenant.organization, "k", true).await.unwrap();
    assert!(lets_in(&base.team, &token).await);
    let secret = |kind: KeyKind, token: &Secret| {
        let token = kind.parse(token.expose()).unwrap();
        (token.id.to_string(), token.secret.to_vec())
    };
    let keys = [secret(KeyKind::Api, &token), secret(KeyKind::Kernel, &kernel)];
    let all = everything(base);
    let holds = |part: &[u8]| all.windows(part.len()).any(|window| window == part);
    for (id, secret) in keys {
        assert!(holds(id.as_bytes()), "the key is there");
        assert!(!holds(&secret));
    }
}

/// Every byte that is kept, the write-ahead log included.
fn everything(base: &Base) -> Vec<u8> {
    #[cfg(target_os = "linux")]
    if let Some((server, database)) = &base.server {
        let mut all = server.dump(database);
        for log in std::fs::read_dir(server.data().join("pg_wal")).unwrap() {
            all.extend(std::fs::read(log.unwrap().path()).unwrap_or_default());
        }
        return all;
    }
    let folder = base.file().parent().unwrap().to_owned();
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.flat_map(|file| std::fs::read(file).unwrap()).collect()
}
