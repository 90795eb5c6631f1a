//! What Postgres itself says of the tables, and what its row-level security lets through.

use std::sync::Arc;

use strongroom_store::team::{APP_ROLE, TeamError, migrate};
use strongroom_testkit::postgres::{OWNER, Server};

use super::base::{Base, ctx, server};

/// Each line is something that should not be.
const FAULTS: &str = "
    SET search_path = strongroom;
    WITH tables AS (
        SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity, EXISTS (
            SELECT FROM pg_attribute a
            WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
        ) AS of_tenant
        FROM pg_class c
        WHERE c.relnamespace = 'strongroom'::regnamespace AND c.relkind IN ('r', 'p')
    ), tenant_column AS (
        SELECT attrelid, attnum FROM pg_attribute WHERE attname = 'tenant_id'
    )
    SELECT relname || ' is of a tenant and not guarded' FROM tables
        WHERE of_tenant AND NOT (relrowsecurity AND relforcerowsecurity)
    UNION ALL
    SELECT relname || ' has no policy for reading and writing' FROM tables
        WHERE of_tenant AND NOT EXISTS (
            SELECT FROM pg_policy p WHERE p.polrelid = tables.oid AND p.polcmd = '*'
            AND pg_get_expr(p.polqual, p.polrelid) LIKE '%app.tenant_id%'
            AND pg_get_expr(p.polwithcheck, p.polrelid) LIKE '%app.tenant_id%')
    UNION ALL
    SELECT relname || ' is nobody''s and not known as such' FROM tables
        WHERE NOT of_tenant AND relname NOT IN ('installation', 'organizations', 'tenants',
            'kernel_keys', 'kernel_signatures', 'installation_locks', 'audit_nodes',
            'retired_keks', 'schema_versions')
    UNION ALL
    SELECT relname || ' has the policy ' || polname FROM pg_policy p JOIN tables ON tables.oid = p.polrelid
        WHERE NOT (polname = 'of_tenant' AND polcmd = '*'
            OR (relname, polname, polcmd) IN
                (('api_keys', 'by_id', 'r'), ('tenant_keys', 'by_kek', 'r'))
                AND NOT 'strongroom_app'::regrole = ANY (polroles) AND NOT 0 = ANY (polroles)
            OR (relname, polname, polcmd) = ('audit_records', 'append', 'a')
                AND polroles = ARRAY['strongroom_audit'::regrole::oid]
            OR (relname, polname, polcmd) = ('audit_records', 'check_chains', 'r')
                AND polroles = ARRAY['strongroom_auditor'::regrole::oid])
    UNION ALL
    SELECT i.indexrelid::regclass || ' does not begin with the tenant'
        FROM pg_index i JOIN tables ON tables.oid = i.indrelid JOIN tenant_column ON attrelid = i.indrelid
        WHERE i.indisunique AND i.indkey[0] <> attnum
    UNION ALL
    SELECT c.conname || ' does not begin with the tenant'
        FROM pg_constraint c JOIN tables ON tables.oid = c.conrelid
        JOIN tenant_column ON attrelid = c.conrelid
        WHERE c.contype = 'f' AND c.conkey[1] <> attnum
    UNION ALL
    SELECT rolname || ' may do too much' FROM pg_roles
        WHERE rolname IN ('strongroom_app', 'strongroom_audit', 'strongroom_auditor')
        AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolinherit)
    UNION ALL
    SELECT c.relname || ' is owned by ' || r.rolname
        FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
        WHERE c.relnamespace = 'strongroom'::regnamespace AND r.rolname LIKE 'strongroom%'
    UNION ALL
    SELECT role || ' may create' FROM unnest(ARRAY['strongroom_app', 'strongroom_audit']) AS role
        WHERE has_schema_privilege(role, 'strongroom', 'CREATE')
        OR has_schema_privilege(role, 'public', 'CREATE')
        OR has_database_privilege(role, current_database(), 'CREATE')
    UNION ALL
    SELECT relname || ' lets the application change what was recorded' FROM tables
        WHERE relname IN ('audit_records', 'audit_nodes')
        AND has_table_privilege('strongroom_app', oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
    UNION ALL
    SELECT relname || ' lets the audit''s role do more than add' FROM tables
        WHERE has_table_privilege('strongroom_audit', oid, 'DELETE, TRUNCATE')
        OR relname <> 'audit_nodes'
            AND has_table_privilege('strongroom_audit', oid, 'SELECT, UPDATE')
        OR relname NOT LIKE 'audit%' AND has_table_privilege('strongroom_audit', oid, 'INSERT')
    UNION ALL
    SELECT relname || ' is open to who checks the chains' FROM tables
        WHERE has_table_privilege('strongroom_auditor', oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
        OR relname NOT IN ('audit_records', 'audit_nodes')
            AND has_table_privilege('strongroom_auditor', oid, 'SELECT')
    UNION ALL
    SELECT 'the application may check the chains of all tenants'
        WHERE pg_has_role('strongroom_app', 'strongroom_auditor', 'MEMBER')
    UNION ALL
    SELECT p.proname || ' runs as its owner and looks anywhere' FROM pg_proc p
        WHERE p.pronamespace = 'strongroom'::regnamespace AND p.prosecdef
        AND NOT coalesce('search_path=strongroom, pg_temp' = ANY (p.proconfig), false)
    UNION ALL
    SELECT p.proname || ' runs as its owner for anybody' FROM pg_proc p
        WHERE p.pronamespace = 'strongroom'::regnamespace AND p.prosecdef
        AND (has_function_privilege('strongroom_audit', p.oid, 'EXECUTE')
            OR p.proname NOT IN ('api_key_by_id', 'tenants_by_kek', 'keys_by_kek'))
    UNION ALL
    SELECT p.proname || ' finds one row and is planned for many' FROM pg_proc p
        WHERE p.pronamespace = 'strongroom'::regnamespace AND p.proname LIKE '%by_id'
        AND p.prorows <> 1
    UNION ALL
    SELECT relname || ' is a view of its owner' FROM pg_class
        WHERE relnamespace = 'strongroom'::regnamespace AND relkind IN ('v', 'm')
        AND NOT coalesce('security_invoker=true' = ANY (reloptions), false);
";

async fn migrated() -> (Arc<Server>, String) {
    let server = Server::start();
    let database = server.create_database();
    migrate(&server.url(OWNER, &database).parse().unwrap()).await.unwrap();
    (server, database)
}

/// TN-01, TN-06, TN-09.
#[tokio::test]
async fn every_table_of_a_tenant_is_guarded_and_the_application_may_do_no_more_than_it_needs() {
    let (server, database) = migrated().await;
    assert_eq!(server.sql(&database, FAULTS), "");
}

/// The twin of the test above: TN-12.
#[tokio::test]
async fn a_table_that_lacks_something_is_found_and_the_next_migration_guards_it() {
    let (server, database) = migrated().await;
    for (spoil, fault) in [
        ("CREATE TABLE t (tenant_id UUID PRIMARY KEY)", "t is of a tenant and not guarded"),
        ("CREATE TABLE u (id INT)", "u is nobody's and not known as such"),
        ("ALTER TABLE api_keys NO FORCE ROW LEVEL SECURITY", "api_keys is of a tenant"),
        ("CREATE UNIQUE INDEX x ON tenant_mcp_servers (server_id)", "x does not begin with"),
        ("CREATE POLICY all_of_it ON tenant_services USING (true)", "has the policy all_of_it"),
        ("DROP POLICY of_tenant ON tenant_locks", "tenant_locks has no policy"),
        ("GRANT DELETE ON audit_records TO strongroom_app", "lets the application change"),
        ("GRANT CREATE ON SCHEMA strongroom TO strongroom_app", "strongroom_app may create"),
        ("GRANT SELECT ON api_keys TO strongroom_auditor", "api_keys is open to who checks"),
        ("CREATE VIEW v AS SELECT * FROM api_keys", "v is a view of its owner"),
        (
            "CREATE FUNCTION f() RETURNS INT LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
            "f runs as its owner and looks anywhere",
        ),
    ] {
        server.sql(&database, &format!("SET search_path = strongroom; {spoil}"));
        let faults = server.sql(&database, FAULTS);
        assert!(faults.contains(fault), "{spoil}: {faults}");
    }
    migrate(&server.url(OWNER, &database).parse().unwrap()).await.unwrap();
    let faults = server.sql(&database, FAULTS);
    for mended in ["t is of a tenant", "api_keys is of", "tenant_locks has no", "lets the", "may "]
    {
        assert!(!faults.contains(mended), "{mended}: {faults}");
    }
}

/// TN-12.
#[tokio::test]
async fn the_application_cannot_migrate_nor_take_its_own_guard_away() {
    let (server, database) = migrated().await;
    let url = server.url(APP_ROLE, &database).parse().unwrap();
    assert!(migrate(&url).await.is_err());
    for statement in [
        "ALTER TABLE strongroom.api_keys DISABLE ROW LEVEL SECURITY",
        "DROP POLICY of_tenant ON strongroom.api_keys",
        "CREATE TABLE strongroom.x (id INT)",
        "ALTER ROLE strongroom_app BYPASSRLS",
        "SET ROLE owner",
        "DELETE FROM strongroom.audit_records",
        "UPDATE strongroom.schema_versions SET version = 7",
        "TRUNCATE strongroom.tenant_mcp_servers",
        "COPY strongroom.api_keys TO PROGRAM 'cat'",
    ] {
        let done = server.sql_as(APP_ROLE, &database, statement);
        assert!(done.is_err(), "{statement}: {done:?}");
    }
}

#[tokio::test]
async fn whoever_logs_in_acts_as_the_application() {
    let base = Base::postgres().await;
    let tenant = base.tenant("a").await;
    let (postgres, database) = base.server.as_ref().unwrap();
    let as_owner = base.connect_to(&postgres.url(OWNER, database)).await.unwrap();
    assert!(as_owner.find_tenant(&tenant.id).await.unwrap().is_some());
    postgres.sql(database, "REVOKE SELECT ON strongroom.tenants FROM strongroom_app");
    assert!(as_owner.find_tenant(&tenant.id).await.is_err());

    postgres.sql(database, "CREATE ROLE stranger LOGIN");
    let stranger = base.connect_to(&postgres.url("stranger", database)).await;
    assert!(matches!(stranger, Err(TeamError::Role)), "{:?}", stranger.err());
    let empty = postgres.create_database();
    let nobody = base.connect_to(&postgres.url("nobody_known", database)).await.err().unwrap();
    assert!(matches!(nobody, TeamError::Login { .. }), "{nobody:?}");
    assert!(nobody.hint().unwrap().contains("\\password strongroom_app"));
    let nowhere = base.connect_to(&postgres.url(APP_ROLE, "nowhere")).await.err().unwrap();
    assert!(matches!(nowhere, TeamError::NoDatabase { .. }), "{nowhere:?}");
    let unmigrated = base.connect_to(&postgres.url(APP_ROLE, &empty)).await;
    assert!(
        matches!(unmigrated, Err(TeamError::Schema { found: 0, .. })),
        "{:?}",
        unmigrated.err()
    );
}

/// TN-02.
#[tokio::test]
async fn a_statement_that_names_no_tenant_sees_nothing() {
    let base = Base::postgres().await;
    let (a, b) = (base.tenant("a").await, base.tenant("b").await);
    for tenant in [&a, &b] {
        base.team.tenant(&ctx(tenant)).register_server(server("s", "s.")).await.unwrap();
        base.key(tenant, None).await;
    }
    let (postgres, database) = base.server.as_ref().unwrap();
    let as_app = |statements: &str| {
        let statements = format!("SET search_path = strongroom; {statements}");
        postgres.sql_as(APP_ROLE, database, &statements)
    };
    for table in ["tenant_mcp_servers", "api_keys"] {
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(as_app(&count).unwrap(), "0");
        assert_eq!(as_app(&format!("SET app.tenant_id = ''; {count}")).unwrap(), "0");
        let committed = format!("BEGIN; SET LOCAL app.tenant_id = '{}'; COMMIT; {count}", a.id);
        assert_eq!(as_app(&committed).unwrap(), "0");
        for malformed in ["x", "00000000", "' OR true --"] {
            let quoted = malformed.replace('\'', "''");
            assert!(as_app(&format!("SET app.tenant_id = '{quoted}'; {count}")).is_err());
        }
        let theirs = format!("SET app.tenant_id = '{}'; SELECT tenant_id FROM {table}", a.id);
        assert_eq!(as_app(&theirs).unwrap(), a.id.to_string());
    }
    let all = "SELECT count(*) FROM strongroom.tenant_mcp_servers";
    assert_eq!(postgres.sql(database, all), "2", "they are there");
}

/// TN-05, TN-06: whatever a statement says, its rows are of the tenant.
#[tokio::test]
async fn a_row_of_another_tenant_is_neither_written_nor_moved() {
    let base = Base::postgres().await;
    let (a, b) = (base.tenant("a").await, base.tenant("b").await);
    base.team.tenant(&ctx(&b)).register_server(server("s", "s.")).await.unwrap();
    base.team.tenant(&ctx(&a)).register_server(server("s", "s.")).await.unwrap();
    let (postgres, database) = base.server.as_ref().unwrap();
    let as_a = |statement: &str| {
        let set = format!("SET search_path = strongroom; SET app.tenant_id = '{}';", a.id);
        postgres.sql_as(APP_ROLE, database, &format!("{set} {statement}"))
    };
    let insert = |tenant| {
        format!("INSERT INTO tenant_locks VALUES ('{tenant}', 'everything', now()) RETURNING part")
    };
    let refused = as_a(&insert(b.id)).unwrap_err();
    assert!(refused.contains("row-level security"), "{refused}");
    assert_eq!(as_a(&insert(a.id)).unwrap(), "everything");
    let moved = format!("UPDATE tenant_mcp_servers SET tenant_id = '{}'", b.id);
    assert!(as_a(&moved).unwrap_err().contains("row-level security"));
    let gone = "WITH d AS (DELETE FROM tenant_mcp_servers RETURNING tenant_id) \
                SELECT count(*) FROM d";
    assert_eq!(as_a(gone).unwrap(), "1");
    assert!(base.another().await.tenant(&ctx(&b)).server("s").await.unwrap().is_some());
}
