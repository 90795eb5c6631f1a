-- What holds after every migration, for every table that there is: who has a `tenant_id` is guarded,
-- and the application may do what it needs and nothing else. A table is guarded by what it has, and
-- not by being remembered in a list.
DO $$
DECLARE
    seen CONSTANT TEXT :=
        'tenant_id = nullif(pg_catalog.current_setting(''app.tenant_id'', true), '''')::pg_catalog.uuid';
    one NAME;
BEGIN
    FOR one IN
        SELECT relname FROM pg_class
        WHERE relnamespace = 'strongroom'::regnamespace AND relkind IN ('r', 'p')
    LOOP
        EXECUTE format(
            'REVOKE ALL ON %I FROM PUBLIC, strongroom_app, strongroom_audit, strongroom_auditor', one);
        IF one = 'schema_versions' THEN
            EXECUTE format('GRANT SELECT ON %I TO strongroom_app', one);
        ELSIF one NOT IN ('audit_nodes', 'audit_records') THEN
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO strongroom_app', one);
        END IF;
        IF EXISTS (
            SELECT FROM pg_attribute
            WHERE attrelid = format('strongroom.%I', one)::regclass
                AND attname = 'tenant_id' AND NOT attisdropped
        ) THEN
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
            EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', one);
            EXECUTE format('DROP POLICY IF EXISTS of_tenant ON %I', one);
            EXECUTE format(
                'CREATE POLICY of_tenant ON %I USING (%s) WITH CHECK (%s)', one, seen, seen);
        END IF;
    END LOOP;
    -- The functions that find a key, and tenants by their KEK, run as the owner.
    DROP POLICY IF EXISTS by_id ON api_keys;
    EXECUTE format('CREATE POLICY by_id ON api_keys FOR SELECT TO %I USING (true)', current_user);
    DROP POLICY IF EXISTS by_kek ON tenant_keys;
    EXECUTE format(
        'CREATE POLICY by_kek ON tenant_keys FOR SELECT TO %I USING (true)', current_user);
END
$$;

REVOKE ALL ON SCHEMA strongroom FROM PUBLIC, strongroom_app, strongroom_audit, strongroom_auditor;
GRANT USAGE ON SCHEMA strongroom TO strongroom_app, strongroom_audit, strongroom_auditor;
GRANT EXECUTE ON FUNCTION api_key_by_id(TEXT) TO strongroom_app;
GRANT EXECUTE ON FUNCTION tenants_by_kek(TEXT, UUID, BIGINT) TO strongroom_app;
GRANT EXECUTE ON FUNCTION keys_by_kek() TO strongroom_app;

-- Records are added by a role that can do nothing else with them. A batch has those of many tenants.
GRANT SELECT ON audit_records TO strongroom_app;
GRANT INSERT ON audit_records TO strongroom_audit;
GRANT SELECT, INSERT, UPDATE ON audit_nodes TO strongroom_audit;
DROP POLICY IF EXISTS append ON audit_records;
CREATE POLICY append ON audit_records FOR INSERT TO strongroom_audit WITH CHECK (true);

-- Who checks the chains reads them whole, and nothing else. The server is not among those.
GRANT SELECT ON audit_records, audit_nodes TO strongroom_auditor;
DROP POLICY IF EXISTS check_chains ON audit_records;
CREATE POLICY check_chains ON audit_records FOR SELECT TO strongroom_auditor USING (true);
