//! `op://` through a Connect server, against a stand-in.

use super::*;

fn at(url: &str) -> Kept {
    let pairs = [("connect_host", url), ("connect_token", "env://T")];
    provider("op", &pairs, &[("T", "canary-connect")])
}

#[tokio::test]
async fn connect_holds_the_contract_with_a_stand_in() {
    let stand_in = StandIn::connect().await;
    let holdings = Holdings {
        found: vec![
            (reference("op://Dev/Stitch/api-key"), "canary-key"),
            (reference("op://Dev/Stitch/f1"), "canary-key"),
            (reference("op://Dev/Stitch/token"), "canary-token"),
            (reference("op://Dev/Stitch/prod/Token"), "canary-token"),
            (reference("op://Dev/Stitch/s1/same"), "x"),
            (reference("op://Dev/abcdefghijklmnopqrstuvwxyz/api-key"), "canary-key"),
        ],
        missing: reference("op://Dev/Stitch/none"),
        unusable: Some(reference("op://Dev/Stitch/empty")),
    };
    holds_the_contract(&at(&stand_in.url()), &holdings).await;
    every_trouble(&stand_in, at, &references(&["op://Dev/Stitch/api-key"])).await;
}

#[tokio::test]
async fn many_fields_of_one_item_are_three_requests_of_the_stand_in() {
    let stand_in = StandIn::connect().await;
    let wanted = ["op://Dev/Stitch/api-key", "op://Dev/Stitch/token", "op://Dev/Stitch/s2/same"];
    assert_eq!(answers(&at(&stand_in.url()), &wanted).await, ["canary-key", "canary-token", "y"]);
    let expected = ["GET /v1/vaults", "GET /v1/vaults/v1/items", "GET /v1/vaults/v1/items/i1"];
    assert_eq!(stand_in.asked(), expected);
}

#[tokio::test]
async fn names_that_are_not_one_are_refused_with_a_stand_in() {
    let stand_in = StandIn::connect().await;
    for (text, expected) in [
        ("op://Dev/Twice/x", "unusable"),
        ("op://Dev/Stitch/same", "unusable"),
        ("op://Dev/None/x", "not_found"),
        ("op://None/Stitch/x", "not_found"),
        ("op://Dev/Stitch/None/token", "not_found"),
    ] {
        assert_eq!(answers(&at(&stand_in.url()), &[text]).await, [expected], "{text}");
    }
    let url = stand_in.url();
    let wrong = provider(
        "op",
        &[("connect_host", &url), ("connect_token", "env://T")],
        &[("T", "canary-wrong")],
    );
    assert_eq!(answers(&wrong, &["op://Dev/Stitch/token"]).await, ["token_rejected"]);
    let own = [("OP_CONNECT_HOST", &*url), ("OP_CONNECT_TOKEN", "canary-connect")];
    let environment = provider("op", &[], &own);
    assert_eq!(answers(&environment, &["op://Dev/Stitch/token"]).await, ["canary-token"]);
}
