//! What is approved of the tools of tenants' servers.

use strongroom_model::pin::{DefinitionHash, Offered, Pins as _, Standing, Why};
use strongroom_store::team::TeamError;

use super::base::{Base, ctx, server};
use super::on_both;

on_both! {
    the_first_definition_is_approved_on_every_node_and_a_change_waits_for_a_person,
    tools_of_a_server_are_its_tenants_and_go_with_it,
    a_row_that_others_wrote_approves_nothing,
    of_two_nodes_that_see_a_tool_first_one_is_right,
}

const CHANGED: Standing = Standing::Waits(Why::Changed);

fn offered(tool: &str, hash: u8) -> Vec<Offered> {
    let text = format!(r#"{{"name":"{tool}"}}"#).into();
    let hash = DefinitionHash([hash; 32]);
    vec![Offered { tool: tool.into(), hash, text, suspicion: None }]
}

async fn the_first_definition_is_approved_on_every_node_and_a_change_waits_for_a_person(
    base: &Base,
) {
    let tenant = base.tenant("a").await;
    let (here, there) = (&base.team, base.another().await);
    let store = here.tenant(&ctx(&tenant));
    let shop = store.register_server(server("shop", "shop.")).await.unwrap().id;
    let [one, two] = [here, &there].map(|team| team.pins(&ctx(&tenant), shop));
    assert_eq!(one.check(&offered("x", 1)).await.unwrap().standings, [Standing::Approved]);
    let changed = two.check(&offered("x", 2)).await.unwrap();
    assert_eq!((changed.standings, changed.news.len()), (vec![CHANGED], 1));
    let again = one.check(&offered("x", 2)).await.unwrap();
    assert_eq!((again.standings, again.news.len()), (vec![CHANGED], 0), "told once");

    let pins = store.pins().await.unwrap();
    assert_eq!((pins.len(), &*pins[0].server_id, &*pins[0].pin.tool), (1, "shop", "x"));
    assert!(!store.approve_pin(shop, "x", DefinitionHash([3; 32])).await.unwrap());
    assert_eq!(one.check(&offered("x", 2)).await.unwrap().standings, [CHANGED]);
    let before = one.version();
    assert!(store.approve_pin(shop, "x", DefinitionHash([2; 32])).await.unwrap());
    assert_ne!(one.version(), before);
    for pins in [&one, &two] {
        assert_eq!(pins.check(&offered("x", 2)).await.unwrap().standings, [Standing::Approved]);
        assert_eq!(pins.check(&offered("x", 1)).await.unwrap().standings, [CHANGED]);
    }
    let unknown = store.approve_pin(shop, "y", DefinitionHash([2; 32])).await;
    assert!(matches!(unknown, Err(TeamError::NotFound)), "{unknown:?}");
}

async fn tools_of_a_server_are_its_tenants_and_go_with_it(base: &Base) {
    let [ours, theirs] = [base.tenant("a").await, base.tenant("b").await];
    let [a, b] = [&ours, &theirs].map(|tenant| base.team.tenant(&ctx(tenant)));
    let shop = a.register_server(server("shop", "shop.")).await.unwrap().id;
    base.team.pins(&ctx(&ours), shop).check(&offered("x", 1)).await.unwrap();
    let stranger = base.team.pins(&ctx(&theirs), shop);
    assert!(stranger.check(&offered("x", 2)).await.is_err(), "the server is none of theirs");
    assert!(b.pins().await.unwrap().is_empty());
    let yes = b.approve_pin(shop, "x", DefinitionHash([1; 32])).await;
    assert!(matches!(yes, Err(TeamError::NotFound)), "{yes:?}");
    assert_eq!(a.pins().await.unwrap().len(), 1);
    assert!(a.delete_server("shop").await.unwrap());
    assert!(a.pins().await.unwrap().is_empty());
}

async fn a_row_that_others_wrote_approves_nothing(base: &Base) {
    let tenant = base.tenant("a").await;
    let store = base.team.tenant(&ctx(&tenant));
    let shop = store.register_server(server("shop", "shop.")).await.unwrap().id;
    let pins = base.team.pins(&ctx(&tenant), shop);
    pins.check(&offered("x", 1)).await.unwrap();
    let (one, two) = ("01".repeat(32), "02".repeat(32));
    base.sql(&format!("UPDATE tenant_tool_pins SET record = replace(record, '{one}', '{two}')"));
    for hash in [1, 2] {
        assert_eq!(pins.check(&offered("x", hash)).await.unwrap().standings, [CHANGED]);
    }
    assert!(store.pins().await.unwrap()[0].pin.approved.is_none());
}

async fn of_two_nodes_that_see_a_tool_first_one_is_right(base: &Base) {
    let tenant = base.tenant("a").await;
    let there = base.another().await;
    let store = base.team.tenant(&ctx(&tenant));
    let shop = store.register_server(server("shop", "shop.")).await.unwrap().id;
    for round in 0..8 {
        let tool = format!("t{round}");
        let [one, two] = [&base.team, &there].map(|team| team.pins(&ctx(&tenant), shop));
        let (a, b) = (offered(&tool, 1), offered(&tool, 2));
        let (a, b) = tokio::join!(one.check(&a), two.check(&b));
        let approved = [a.unwrap(), b.unwrap()]
            .iter()
            .filter(|checked| checked.standings == [Standing::Approved])
            .count();
        assert_eq!(approved, 1, "{tool}");
    }
}
