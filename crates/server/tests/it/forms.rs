//! In what form a key may be sent, over the wire.

use strongroom_model::ports::Clock as _;

use crate::support::{LIST, Site};

/// A target, headers, and the status.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], u16);

// AU-04
#[tokio::test]
async fn a_key_is_sent_once_in_its_header_or_the_request_is_refused() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use").await;
    let theirs = site.key(&site.b, "use").await;
    let (_, kernel) = site.kernel(false).await;
    let bearer = format!("Bearer {kernel}");
    let long = "a".repeat(2000);
    let cookie = format!("x-api-key={key}");
    let by_query = format!("{LIST}?api_key={key}");
    let table: &[Row<'_>] = &[
        (LIST, &[("x-api-key", &key)], 200),
        (LIST, &[("x-api-key", &key), ("cookie", "theme=dark")], 200),
        (LIST, &[], 401),
        (LIST, &[("x-api-key", &key), ("x-api-key", &key)], 400),
        (LIST, &[("x-api-key", &key), ("x-api-key", &theirs)], 400),
        (LIST, &[("x-api-key", &key), ("authorization", &bearer)], 400),
        (LIST, &[("authorization", &bearer), ("authorization", &bearer)], 400),
        (LIST, &[("authorization", "Bearer  x")], 400),
        (LIST, &[("authorization", "bearer x")], 400),
        (LIST, &[("authorization", "Basic eDp5")], 400),
        (LIST, &[("x-api-key", &long)], 400),
        (LIST, &[("x-api-key", "m\u{e9}")], 400),
        (LIST, &[("x-api-key", &key), ("cookie", &cookie)], 400),
        (&by_query, &[], 400),
        (LIST, &[("x-api-key", &kernel)], 401),
        (LIST, &[("authorization", &format!("Bearer {key}"))], 401),
    ];
    for (at, (path, headers, status)) in table.iter().enumerate() {
        let reply = site.send("GET", path, headers, "").await;
        assert_eq!(reply.status, *status, "row {at}: {}", reply.body);
        assert!(!reply.body.contains(&key[21..]), "row {at}");
        if *status == 401 {
            assert!(reply.header("www-authenticate").is_some());
        }
    }
}

#[tokio::test]
async fn a_key_that_has_expired_or_was_turned_off_is_like_one_that_never_was() {
    let site = Site::new().await;
    let scopes = "use".parse().unwrap();
    let soon = site.clock.now() + std::time::Duration::from_mins(1);
    let (_, short) =
        site.team.create_api_key(&site.a.id, "short", scopes, Some(soon)).await.unwrap();
    let short = crate::support::text(&short);
    site.get(LIST, &short).await.data();
    site.clock.advance(std::time::Duration::from_secs(61));
    let expired = site.get(LIST, &short).await;
    let off = site.key(&site.a, "use").await;
    site.team.enable_api_key(&site.a.id, &off[4..20].parse().unwrap(), false).await.unwrap();
    let off = site.get(LIST, &off).await;
    let nobodys = site.get(LIST, "mcp_0123456789abcdef_x").await;
    assert_eq!((expired.status, &expired.body), (401, &nobodys.body));
    assert_eq!((off.status, &off.body), (401, &nobodys.body));
}
