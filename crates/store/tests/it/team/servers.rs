//! A tenant's servers.

use std::time::Duration;

use strongroom_model::team::{NewServer, RawServer, ServerChange};
use strongroom_store::team::{Page, TeamError};

use super::base::{Base, ctx, raw, server};
use super::on_both;

on_both! {
    a_server_is_given_back_as_it_was_registered,
    the_name_and_the_advertised_prefix_of_a_server_are_unique,
    a_change_changes_what_it_names,
    pages_have_every_server_once_and_a_cursor_is_of_its_tenant,
    texts_are_values_and_never_statements,
    writes_at_the_same_time_are_all_there,
}

async fn a_server_is_given_back_as_it_was_registered(base: &Base) {
    let tenant = base.tenant("a").await;
    let store = base.team.tenant(&ctx(&tenant));
    let made = store.register_server(server("my-amazon-server", "amazon.")).await.unwrap();
    assert_eq!((made.config_rev, made.enabled), (1, true));
    assert_eq!(made.args[1], "--flag=\"quoted, {braced}\"");
    assert_eq!(store.servers(&Page::default()).await.unwrap().servers, std::slice::from_ref(&made));
    assert_eq!(store.server("my-amazon-server").await.unwrap(), Some(made));
    assert_eq!(store.server("other").await.unwrap(), None);

    let remote = RawServer {
        command: None,
        args: None,
        url: Some("https://mcp.example".into()),
        headers: Some([("x-a".into(), "1".into())].into()),
        enabled: Some(false),
        ..raw("remote", "remote.")
    };
    let remote = NewServer::new(remote).unwrap();
    base.clock.advance(Duration::from_secs(1));
    let made = store.register_server(remote).await.unwrap();
    let all = store.servers(&Page::default()).await.unwrap();
    assert_eq!((all.total, &all.servers[1]), (2, &made));
    let enabled = store.servers(&Page { enabled_only: true, ..Page::default() }).await.unwrap();
    assert_eq!((enabled.total, enabled.servers.len()), (1, 1));
    assert!(store.delete_server("remote").await.unwrap());
    assert!(!store.delete_server("remote").await.unwrap());
}

async fn the_name_and_the_advertised_prefix_of_a_server_are_unique(base: &Base) {
    let tenant = base.tenant("a").await;
    let store = base.team.tenant(&ctx(&tenant));
    store.register_server(server("a", "a.b.")).await.unwrap();
    let again = store.register_server(server("a", "c.")).await;
    assert!(matches!(again, Err(TeamError::Conflict { field: "server_id" })), "{again:?}");
    for taken in ["a.b.", "a_b."] {
        let again = store.register_server(server("b", taken)).await;
        assert!(matches!(again, Err(TeamError::Conflict { field: "tool_prefix" })), "{again:?}");
    }
    store.register_server(server("b", "a-b.")).await.unwrap();
    let raw = RawServer { tool_prefix: Some("a_b.".into()), ..RawServer::default() };
    let moved = store.update_server("b", ServerChange::new(raw).unwrap()).await;
    assert!(matches!(moved, Err(TeamError::Conflict { field: "tool_prefix" })), "{moved:?}");
    assert_eq!(store.server("b").await.unwrap().unwrap().tool_prefix, "a-b.");
}

async fn a_change_changes_what_it_names(base: &Base) {
    let (tenant, other) = (base.tenant("a").await, base.tenant("b").await);
    let store = base.team.tenant(&ctx(&tenant));
    let made = store.register_server(server("a", "a.")).await.unwrap();
    base.clock.advance(Duration::from_mins(1));
    let raw = RawServer { name: Some("New".into()), enabled: Some(false), ..RawServer::default() };
    let change = ServerChange::new(raw).unwrap();
    let changed = store.update_server("a", change.clone()).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.enabled, changed.config_rev), ("New", false, 2));
    assert_eq!((changed.id, changed.created_at), (made.id, made.created_at));
    assert!(changed.updated_at > made.updated_at);
    assert_eq!(store.server("a").await.unwrap(), Some(changed));

    let bad = RawServer { args: Some(Vec::new()), ..RawServer::default() };
    let refused = store.update_server("a", ServerChange::new(bad).unwrap()).await;
    assert!(matches!(refused, Err(TeamError::Invalid(error)) if error.field == "args"));
    for (whose, which) in [(&other, "a"), (&tenant, "b")] {
        let missing = base.team.tenant(&ctx(whose)).update_server(which, change.clone()).await;
        assert!(matches!(missing, Err(TeamError::NotFound)), "{missing:?}");
    }
}

/// TN-07.
async fn pages_have_every_server_once_and_a_cursor_is_of_its_tenant(base: &Base) {
    let (tenant, other) = (base.tenant("a").await, base.tenant("b").await);
    let store = base.team.tenant(&ctx(&tenant));
    for n in 0..7 {
        store.register_server(server(&format!("s{n}"), &format!("s{n}."))).await.unwrap();
    }
    let all = store.servers(&Page::default()).await.unwrap();
    assert_eq!((all.servers.len(), all.next_cursor), (7, None));
    let (mut cursor, mut seen) = (None, Vec::new());
    for size in [3, 3, 1] {
        let page = Page { limit: Some(3), cursor, ..Page::default() };
        let page = store.servers(&page).await.unwrap();
        assert_eq!((page.servers.len(), page.total), (size, 7));
        seen.extend(page.servers);
        cursor = page.next_cursor;
    }
    assert_eq!((seen, cursor), (all.servers, None));

    let page = Page { limit: Some(3), ..Page::default() };
    let cursor = store.servers(&page).await.unwrap().next_cursor.unwrap();
    let page =
        |cursor: &str| Page { limit: Some(3), cursor: Some(cursor.to_owned()), ..Page::default() };
    let elsewhere = base.team.tenant(&ctx(&other)).servers(&page(&cursor)).await;
    assert!(matches!(elsewhere, Err(TeamError::Cursor)), "{elsewhere:?}");
    let flipped = cursor.replacen(|c: char| c.is_ascii_lowercase(), "0", 1);
    for bad in ["", "x", "' OR 1=1 --", &cursor[1..], &flipped] {
        let refused = store.servers(&page(bad)).await;
        assert!(matches!(refused, Err(TeamError::Cursor)), "{bad}");
    }
    assert!(store.servers(&page(&cursor)).await.is_ok());
}

/// TN-07.
async fn texts_are_values_and_never_statements(base: &Base) {
    let (tenant, other) = (base.tenant("a'; DROP TABLE tenants; --").await, base.tenant("b").await);
    let store = base.team.tenant(&ctx(&tenant));
    store.register_server(server("a", "a.")).await.unwrap();
    base.team.tenant(&ctx(&other)).register_server(server("a", "a.")).await.unwrap();
    for text in ["' OR '1'='1", "%", "_", "a' --", "a\"; DELETE FROM tenants; --", "\\", "$1"] {
        assert_eq!(store.server(text).await.unwrap(), None);
        assert!(!store.delete_server(text).await.unwrap(), "{text}");
        let raw = RawServer { name: Some(text.into()), ..RawServer::default() };
        let changed = store.update_server("a", ServerChange::new(raw).unwrap()).await.unwrap();
        assert_eq!(changed.name, text);
        assert_eq!(store.server("a").await.unwrap().unwrap().name, text);
    }
    assert_eq!(base.team.tenant(&ctx(&other)).server("a").await.unwrap().unwrap().name, "A server");
}

async fn writes_at_the_same_time_are_all_there(base: &Base) {
    let tenant = base.tenant("a").await;
    let ctx = ctx(&tenant);
    let another = base.another().await;
    let mut tasks = Vec::new();
    for n in 0..40 {
        let team = if n % 2 == 0 { base.team.clone() } else { another.clone() };
        tasks.push(tokio::spawn(async move {
            // Every second name is wanted twice.
            let name = format!("s{}", n / 4 * 4 + n % 3);
            team.tenant(&ctx).register_server(server(&name, &format!("{name}."))).await
        }));
    }
    let mut done = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => done += 1,
            Err(TeamError::Conflict { field: "server_id" | "tool_prefix" }) => (),
            Err(other) => panic!("{other:?}"),
        }
    }
    let there = another.tenant(&ctx).servers(&Page::default()).await.unwrap();
    assert_eq!((there.total, done), (30, 30));
}
