-- The tables of a team. Whatever belongs to a tenant has `tenant_id` first in every key, so that no
-- tenant learns of another by what is taken, and is seen only by a transaction that has set
-- `app.tenant_id`: row-level security is enabled and forced. '' and nothing at all are no tenant;
-- what is no UUID is an error.
CREATE TABLE installation (
    id             SMALLINT    NOT NULL PRIMARY KEY CHECK (id = 1),
    kek_id         TEXT        NOT NULL,
    wrapped_secret BYTEA       NOT NULL,
    check_value    BYTEA       NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL
);

CREATE TABLE organizations (
    id         UUID        NOT NULL PRIMARY KEY,
    name       TEXT        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT organizations_name UNIQUE (name)
);

CREATE TABLE tenants (
    id              UUID        NOT NULL PRIMARY KEY,
    organization_id UUID        NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name            TEXT        NOT NULL,
    enabled         BOOLEAN     NOT NULL DEFAULT true,
    created_at      TIMESTAMPTZ NOT NULL,
    CONSTRAINT tenants_name UNIQUE (organization_id, name)
);

CREATE TABLE kernel_keys (
    id                TEXT        NOT NULL PRIMARY KEY,
    organization_id   UUID        NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name              TEXT        NOT NULL,
    mac               BYTEA       NOT NULL,
    signing_key       BYTEA,
    require_signature BOOLEAN     NOT NULL DEFAULT false,
    enabled           BOOLEAN     NOT NULL DEFAULT true,
    created_at        TIMESTAMPTZ NOT NULL,
    last_used_at      TIMESTAMPTZ
);

CREATE INDEX kernel_keys_of_organization ON kernel_keys (organization_id, created_at);

CREATE TABLE kernel_signatures (
    signature  BYTEA       NOT NULL PRIMARY KEY,
    expires_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX kernel_signatures_by_end ON kernel_signatures (expires_at);

CREATE TABLE api_keys (
    tenant_id    UUID        NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id           TEXT        NOT NULL,
    name         TEXT        NOT NULL,
    scopes       TEXT        NOT NULL,
    mac          BYTEA       NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    expires_at   TIMESTAMPTZ,
    enabled      BOOLEAN     NOT NULL DEFAULT true,
    last_used_at TIMESTAMPTZ,
    PRIMARY KEY (tenant_id, id)
);

CREATE INDEX api_keys_by_id ON api_keys (id);

CREATE TABLE tenant_mcp_servers (
    tenant_id         UUID        NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id                UUID        NOT NULL,
    server_id         TEXT        NOT NULL,
    name              TEXT        NOT NULL,
    command           TEXT,
    args              TEXT[]      NOT NULL,
    url               TEXT,
    headers           TEXT        NOT NULL,
    secrets           TEXT        NOT NULL,
    tool_prefix       TEXT        NOT NULL,
    advertised_prefix TEXT        NOT NULL,
    enabled           BOOLEAN     NOT NULL DEFAULT true,
    created_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
    config_rev        BIGINT      NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT tenant_mcp_servers_server_id UNIQUE (tenant_id, server_id),
    CONSTRAINT tenant_mcp_servers_advertised_prefix UNIQUE (tenant_id, advertised_prefix)
);

CREATE TABLE tenant_services (
    tenant_id  UUID        NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id         UUID        NOT NULL,
    name       TEXT        NOT NULL,
    definition TEXT        NOT NULL,
    revision   BIGINT      NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT tenant_services_name UNIQUE (tenant_id, name)
);

CREATE TABLE tenant_locks (
    tenant_id UUID        NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    part      TEXT        NOT NULL,
    since     TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, part)
);

CREATE TABLE installation_locks (
    part  TEXT        NOT NULL PRIMARY KEY,
    since TIMESTAMPTZ NOT NULL
);

CREATE TABLE audit_nodes (
    node TEXT   NOT NULL PRIMARY KEY,
    seq  BIGINT NOT NULL,
    hash BYTEA  NOT NULL
);

CREATE TABLE audit_records (
    tenant_id UUID        NOT NULL,
    node      TEXT        NOT NULL,
    seq       BIGINT      NOT NULL,
    at        TIMESTAMPTZ NOT NULL,
    audit_id  TEXT        NOT NULL,
    line      TEXT        NOT NULL,
    PRIMARY KEY (tenant_id, at, node, seq)
);

CREATE INDEX audit_records_of_call ON audit_records (tenant_id, audit_id);

-- The one way from the id of a key to its tenant, before a tenant is known. It runs as the owner, who
-- is let in by a policy of its own, and says nothing but the row of one key. ROWS: otherwise the plan is
-- made for a thousand, and reads every tenant.
CREATE FUNCTION api_key_by_id(wanted TEXT) RETURNS SETOF api_keys
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET search_path = strongroom, pg_temp
    AS 'SELECT * FROM api_keys WHERE id = wanted';
REVOKE ALL ON FUNCTION api_key_by_id(TEXT) FROM PUBLIC;
