//! Credentials of another store, from a dump.

use std::collections::BTreeMap;

use strongroom_model::secret::Secret;
use strongroom_seal::LocalKek;
use strongroom_store::team::{AuditQuery, ImportError, ImportOptions, Imported, parse_dump};

use super::base::{Base, ctx};
use super::credentials::{retrieve, store};
use super::on_both;

on_both! {
    a_dump_of_the_plain_layout_is_imported_once,
    a_wrong_key_and_a_damaged_row_import_nothing,
    a_tenant_that_is_not_here_imports_nothing,
}

/// Sealed by another program, with AES-256-GCM of Python's `cryptography`.
const AMAZON: &str = "010101010101010101010101d8bd3ab2a6f965f827f9dae2c4f3d47745c7ff88805e285cc328394aff80b5550cd1322ca28f1a2f389264e80e81b4219c7bd7eaf0ad0518565954058daa6eac5dfe066f2a006f7426200a0577b68e32a6ec85d2d7ddd331bd43adb7f41b24fbb90d072f3da27d97db46";
const STRIPE: &str = "0202020202020202020202024921d3871755c6d534cd1a37ed08ec82eecf388bc5a3f1487c2ea478a441d97fb0ff5664e8";
/// What was sealed is no object.
const NO_OBJECT: &str =
    "030303030303030303030303f11666708633a9904888b11d4aec6c84435363dcd23e3dca67bc";

fn master(digits: &str) -> LocalKek {
    LocalKek::of_variable(&Secret::new(digits.repeat(32).into_bytes())).unwrap()
}

fn dump(rows: &[(&str, &str, &str)]) -> String {
    let mut lines = vec!["tenant_id,service,encrypted_credentials,created_at".to_owned()];
    lines.extend(rows.iter().map(|(tenant, service, sealed)| {
        format!("{tenant},{service},\\x{sealed},2026-02-23 10:00:00+00")
    }));
    lines.join("\n")
}

async fn a_dump_of_the_plain_layout_is_imported_once(base: &Base) {
    let (one, other) = (base.tenant("a").await, base.tenant("b").await);
    store(&base.team, &one, "shopify", "stays").await;
    let text = dump(&[
        (one.id.as_str(), "amazon", AMAZON),
        ("acme", "stripe", STRIPE),
        ("acme", "amazon", AMAZON),
    ]);
    let rows = parse_dump(&text).unwrap();
    let tenants = BTreeMap::from([("acme".to_owned(), other.id)]);
    let options = ImportOptions { tenants, ..ImportOptions::default() };
    let check = ImportOptions { check_only: true, ..options.clone() };
    let import = async |options| base.team.import_credentials(&rows, &master("5a"), options).await;
    let none = Imported { stored: 0, kept: 0, tenants: 2 };
    assert_eq!(import(&check).await.unwrap(), none);
    assert_eq!(retrieve(&base.team, &one, "amazon").await.unwrap(), None);
    assert_eq!(import(&options).await.unwrap(), Imported { stored: 3, ..none });
    assert_eq!(import(&options).await.unwrap(), Imported { kept: 3, ..none });
    let replaced = ImportOptions { replace: true, ..options.clone() };
    assert_eq!(import(&replaced).await.unwrap(), Imported { stored: 3, ..none });

    let another = base.another().await;
    for tenant in [&one, &other] {
        let value = retrieve(&another, tenant, "amazon").await.unwrap().unwrap();
        assert_eq!(value, "AKIAIOSFODNN7EXAMPLE");
    }
    assert_eq!(retrieve(&another, &one, "shopify").await.unwrap().unwrap(), "stays");
    let rows = another.tenant(&ctx(&other)).credentials(Some("stripe")).await.unwrap();
    assert_eq!((rows.len(), rows[0].version), (1, 2));
    let since = rows[0].created_at.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(since.as_secs(), 1_771_840_800, "when the other store had it first");
    let audit = another.tenant(&ctx(&other)).audit(&AuditQuery::default()).await.unwrap();
    assert!(audit.lines[0].contains(r#""act":"credentials.import""#), "{:?}", audit.lines);
}

async fn a_wrong_key_and_a_damaged_row_import_nothing(base: &Base) {
    let tenant = base.tenant("a").await;
    let id = tenant.id.as_str();
    let damaged = STRIPE.replace("4921", "4922");
    let all = ImportOptions::default();
    let failed = async |rows: &[(&str, &str, &str)], key: LocalKek| {
        let rows = parse_dump(&dump(rows)).unwrap();
        base.team.import_credentials(&rows, &key, &all).await.unwrap_err()
    };
    let good = [(id, "amazon", AMAZON), (id, "stripe", STRIPE)];
    let error = failed(&good, master("5b")).await;
    assert!(matches!(error, ImportError::WrongKey { rows: 2 }), "{error}");
    assert!(error.hint().unwrap().contains("CREDENTIAL_ENCRYPTION_KEY"));
    for (bad, words) in [
        ((id, "stripe", &*damaged), "does not open"),
        ((id, "stripe", &STRIPE[..54]), "does not open"),
        ((id, "stripe", NO_OBJECT), "is an object of fields"),
        ((id, "a b", STRIPE), "letters, digits"),
    ] {
        let error = failed(&[good[0], bad], master("5a")).await;
        assert!(matches!(&error, ImportError::Rows(rows) if rows.len() == 1), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("line 3") && text.contains(words) && !text.contains("canary"),
            "{text}"
        );
    }
    assert_eq!(base.team.tenant(&ctx(&tenant)).credentials(None).await.unwrap(), []);
}

async fn a_tenant_that_is_not_here_imports_nothing(base: &Base) {
    let tenant = base.tenant("a").await;
    for name in ["acme", "00000000-0000-4000-8000-000000000000"] {
        let rows = [(tenant.id.as_str(), "amazon", AMAZON), (name, "stripe", STRIPE)];
        let rows = parse_dump(&dump(&rows)).unwrap();
        let (key, options) = (master("5a"), ImportOptions::default());
        let imported = base.team.import_credentials(&rows, &key, &options).await;
        let error = imported.unwrap_err().to_string();
        assert!(error.contains("line 3: there is no tenant of its name"), "{error}");
    }
    assert_eq!(base.team.tenant(&ctx(&tenant)).credentials(None).await.unwrap(), []);
}
