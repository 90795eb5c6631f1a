-- The roles of a team's server; another database of the same cluster may have made them at this moment.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'strongroom_app') THEN
        CREATE ROLE strongroom_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'strongroom_audit') THEN
        CREATE ROLE strongroom_audit
            NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'strongroom_auditor') THEN
        CREATE ROLE strongroom_auditor
            NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS;
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_auth_members
        WHERE roleid = 'strongroom_audit'::regrole AND member = 'strongroom_app'::regrole
    ) THEN
        GRANT strongroom_audit TO strongroom_app;
    END IF;
    -- The owner acts as the application, and checks the audit. Who made the roles may grant them; where
    -- somebody else did, that is theirs to do.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        BEGIN
            EXECUTE format('GRANT strongroom_app, strongroom_auditor TO %I', current_user);
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        END;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$;
