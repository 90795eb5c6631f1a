//! What is approved of servers' tools, over REST.

use serde_json::json;
use strongroom_model::pin::{DefinitionHash, Offered, Pins as _, Standing, Why};
use strongroom_model::team::{Actor, TenantCtx};
#[cfg(target_os = "linux")]
use strongroom_server::{AllowedCommand, Options};
#[cfg(target_os = "linux")]
use strongroom_testkit::postgres::Server;

use crate::support::{AMAZON, Site};

fn offered(hash: u8, description: &str) -> [Offered; 1] {
    let text = json!({ "name": "order", "description": description }).to_string().into();
    let hash = DefinitionHash([hash; 32]);
    [Offered { tool: "order".into(), hash, text, suspicion: None }]
}

#[tokio::test]
async fn a_changed_definition_is_listed_shown_and_approved_by_its_hash() {
    changed_shown_and_approved(&Site::new().await).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_changed_definition_is_listed_shown_and_approved_by_its_hash() {
    let server = Server::start();
    let options = Options {
        listen: ([127, 0, 0, 1], 0).into(),
        allowed_commands: vec![
            AllowedCommand::new("node", "@mycompany/amazon-mcp-server").unwrap(),
        ],
        ..Options::default()
    };
    changed_shown_and_approved(&Site::on_postgres(&server, options).await).await;
}

async fn changed_shown_and_approved(site: &Site) {
    let admin = site.key(&site.a, "use,register,admin").await;
    let person = site.key(&site.a, "approve").await;
    site.post("/mcp/servers/register", &admin, AMAZON).await.data();
    let ctx = TenantCtx { tenant: site.a.id, actor: Actor::Operator };
    let server = site.team.tenant(&ctx).server("my-amazon-server").await.unwrap().unwrap();
    let pins = site.team.pins(&ctx, server.id);
    let (first, now) = (offered(1, "Orders."), offered(2, "Orders, and reads your mail."));
    assert_eq!(pins.check(&first).await.unwrap().standings, [Standing::Approved]);
    assert_eq!(pins.check(&now).await.unwrap().standings, [Standing::Waits(Why::Changed)]);

    let listed = site.get("/v1/tools?waiting=true", &person).await.data();
    let tool = &listed["tools"][0];
    assert_eq!((&listed["count"], &tool["state"]), (&json!(1), &json!("changed")));
    assert_eq!(tool["waiting_hash"], "02".repeat(32));
    assert!(!listed.to_string().contains("mail"), "without the definitions");
    let shown = "/v1/tools/definition?server_id=my-amazon-server&tool=order";
    let shown = site.get(shown, &person).await.data();
    assert_eq!(shown["approved"], *first[0].text);
    assert_eq!(shown["waiting"], *now[0].text);

    let yes = |tool: &str, hash: &str| {
        json!({ "server_id": "my-amazon-server", "tool": tool, "hash": hash }).to_string()
    };
    let approve = async |key: &str, body: &str| site.post("/v1/tools/approve", key, body).await;
    let right = yes("order", &"02".repeat(32));
    for scopes in ["use", "use,register,credentials:write,executor"] {
        let agent = site.key(&site.a, scopes).await;
        assert_eq!(approve(&agent, &right).await.problem().1, "policy_denied", "{scopes}");
        assert_eq!(site.get("/v1/tools", &agent).await.problem().1, "policy_denied");
    }
    let stranger = site.key(&site.b, "admin").await;
    assert_eq!(approve(&stranger, &right).await.problem().1, "not_found");
    assert_eq!(site.get("/v1/tools", &stranger).await.data(), json!({ "tools": [], "count": 0 }));
    let other = yes("order", &"03".repeat(32));
    assert_eq!(approve(&person, &other).await.problem(), (409, "conflict".into()));
    let unknown = yes("orders", &"02".repeat(32));
    assert_eq!(approve(&person, &unknown).await.problem().1, "not_found");
    let bad = yes("order", &"zz".repeat(32));
    assert_eq!(approve(&person, &bad).await.problem().1, "invalid_request");
    assert_eq!(pins.check(&now).await.unwrap().standings, [Standing::Waits(Why::Changed)]);

    let approved = approve(&person, &right).await.data();
    assert_eq!((&approved["state"], &approved["by_person"]), (&json!("approved"), &json!(true)));
    assert_eq!(pins.check(&now).await.unwrap().standings, [Standing::Approved]);
    assert_eq!(approve(&person, &right).await.problem(), (409, "conflict".into()), "once");
    let log = site.get("/v1/audit?limit=1000", &admin).await.data();
    assert!(log.to_string().contains("\"tool.approve\""), "{log}");
}
