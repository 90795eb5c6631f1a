//! What is approved of servers' tools: in several processes, forged, taken back.

use std::sync::Arc;

use strongroom_model::pin::{Checked, DefinitionHash, Offered, Pins, Standing, Why};
use strongroom_store::PinStore;

use crate::home::{Home, name};

fn offered(tool: &str, hash: u8) -> Offered {
    let hash = DefinitionHash([hash; 32]);
    let text = format!(r#"{{"name":"{tool}","version":{}}}"#, hash.0[0]).into();
    Offered { tool: tool.into(), hash, text, suspicion: None }
}

fn store(home: &Home) -> Arc<PinStore> {
    home.open().unwrap().pins().unwrap()
}

async fn check(pins: &Arc<dyn Pins>, offered: &[Offered]) -> Checked {
    pins.check(offered).await.unwrap()
}

const CHANGED: Standing = Standing::Waits(Why::Changed);

#[tokio::test]
async fn what_one_process_saw_first_is_approved_in_all_and_a_change_waits_in_all() {
    let (home, _vault) = Home::with_vault();
    let [one, two] = [store(&home), store(&home)];
    let [a, b] = [&one, &two].map(|store| store.of("", &name("shop")));
    let before = b.version();
    assert_eq!(check(&a, &[offered("x", 1)]).await.standings, [Standing::Approved]);
    assert_ne!(b.version(), before, "another process sees that something has changed");
    let changed = check(&b, &[offered("x", 2)]).await;
    assert_eq!((changed.standings, changed.news.len()), (vec![CHANGED], 1));
    let again = check(&a, &[offered("x", 2)]).await;
    assert_eq!((again.standings, again.news.len()), (vec![CHANGED], 0), "told once");
    assert_eq!(check(&b, &[offered("x", 1)]).await.standings, [Standing::Approved]);

    let kept = one.list().unwrap();
    assert_eq!(kept.len(), 1);
    let (waiting, why) = kept[0].pin.waiting.clone().unwrap();
    assert_eq!((waiting.hash, why), (DefinitionHash([2; 32]), Why::Changed));
    assert_eq!(waiting.text, r#"{"name":"x","version":2}"#);
    let tool = ("", &name("shop"), "x");
    assert!(!one.approve(tool, DefinitionHash([3; 32])).unwrap(), "only what was seen");
    assert_eq!(check(&b, &[offered("x", 2)]).await.standings, [CHANGED]);
    let before = b.version();
    assert!(one.approve(tool, DefinitionHash([2; 32])).unwrap());
    assert_ne!(b.version(), before);
    assert_eq!(check(&b, &[offered("x", 2)]).await.standings, [Standing::Approved]);
    assert_eq!(check(&b, &[offered("x", 1)]).await.standings, [CHANGED], "the old one no more");
}

#[tokio::test]
async fn servers_of_one_name_in_two_files_have_nothing_to_do_with_each_other() {
    let (home, _vault) = Home::with_vault();
    let store = store(&home);
    let own = store.of("", &name("shop"));
    let project = store.of("/src/a/strongroom.toml", &name("shop"));
    check(&own, &[offered("x", 1)]).await;
    assert_eq!(check(&project, &[offered("x", 2)]).await.standings, [Standing::Approved]);
    assert_eq!(check(&own, &[offered("x", 2)]).await.standings, [CHANGED]);
    assert_eq!(store.forget("", &name("shop")).unwrap(), 1);
    assert_eq!(check(&own, &[offered("x", 2)]).await.standings, [Standing::Approved]);
    assert_eq!(check(&project, &[offered("x", 1)]).await.standings, [CHANGED]);
}

#[tokio::test]
async fn a_row_that_others_wrote_approves_nothing() {
    let (home, vault) = Home::with_vault();
    let store = store(&home);
    let pins = store.of("", &name("shop"));
    check(&pins, &[offered("x", 1), offered("y", 1)]).await;
    let now = [offered("x", 2), offered("y", 2), offered("z", 1)];
    let standings = [CHANGED, CHANGED, Standing::Approved];
    assert_eq!(check(&pins, &now).await.standings, standings);
    let db = rusqlite::Connection::open(vault.path()).unwrap();
    let (one, two) = ("01".repeat(32), "02".repeat(32));
    for forged in [
        format!("UPDATE tool_pins SET record = replace(record, '{one}', '{two}')"),
        "UPDATE tool_pins SET record = 'x' WHERE tool = 'x'".to_owned(),
        "UPDATE tool_pins SET tag = x'00' WHERE tool = 'y'".to_owned(),
    ] {
        db.execute_batch(&forged).unwrap();
        let checked = check(&pins, &now).await;
        assert_eq!(checked.standings[..2], standings[..2], "{forged}");
        let old = check(&pins, &[offered("x", 1)]).await;
        assert_eq!(old.standings, [CHANGED], "nor is what was approved before: {forged}");
    }
}
