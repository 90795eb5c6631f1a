-- The tables of a team. Whatever belongs to a tenant has `tenant_id` first in every key, so that no
-- tenant learns of another by what is taken. Times are microseconds since 1970.
CREATE TABLE installation (
    id             INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    kek_id         TEXT    NOT NULL,
    wrapped_secret BLOB    NOT NULL,
    check_value    BLOB    NOT NULL,
    created_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE organizations (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE tenants (
    id              TEXT    NOT NULL PRIMARY KEY,
    organization_id TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name            TEXT    NOT NULL,
    enabled         INTEGER NOT NULL DEFAULT 1,
    created_at      INTEGER NOT NULL,
    UNIQUE (organization_id, name)
) STRICT;

CREATE TABLE kernel_keys (
    id                TEXT    NOT NULL PRIMARY KEY,
    organization_id   TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name              TEXT    NOT NULL,
    mac               BLOB    NOT NULL,
    signing_key       BLOB,
    require_signature INTEGER NOT NULL DEFAULT 0,
    enabled           INTEGER NOT NULL DEFAULT 1,
    created_at        INTEGER NOT NULL,
    last_used_at      INTEGER
) STRICT;

CREATE INDEX kernel_keys_of_organization ON kernel_keys (organization_id, created_at);

-- Signatures that were used, so that none is used twice.
CREATE TABLE kernel_signatures (
    signature  BLOB    NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX kernel_signatures_by_end ON kernel_signatures (expires_at);

CREATE TABLE api_keys (
    tenant_id    TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id           TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    scopes       TEXT    NOT NULL,
    mac          BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    enabled      INTEGER NOT NULL DEFAULT 1,
    last_used_at INTEGER,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX api_keys_by_id ON api_keys (id);

CREATE TABLE tenant_mcp_servers (
    tenant_id         TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id                TEXT    NOT NULL,
    server_id         TEXT    NOT NULL,
    name              TEXT    NOT NULL,
    command           TEXT,
    args              TEXT    NOT NULL,
    url               TEXT,
    headers           TEXT    NOT NULL,
    secrets           TEXT    NOT NULL,
    tool_prefix       TEXT    NOT NULL,
    advertised_prefix TEXT    NOT NULL,
    enabled           INTEGER NOT NULL DEFAULT 1,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    config_rev        INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, server_id),
    UNIQUE (tenant_id, advertised_prefix)
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant_services (
    tenant_id  TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id         TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    definition TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
) STRICT, WITHOUT ROWID;

-- The kill switch: what is locked. The operator's own locks are of no tenant.
CREATE TABLE tenant_locks (
    tenant_id TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    part      TEXT    NOT NULL,
    since     INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE installation_locks (
    part  TEXT    NOT NULL PRIMARY KEY,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The audit: one chain for each node, whose rows are those of its tenants. It outlives the tenants.
CREATE TABLE audit_nodes (
    node TEXT    NOT NULL PRIMARY KEY,
    seq  INTEGER NOT NULL,
    hash BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_records (
    tenant_id TEXT    NOT NULL,
    node      TEXT    NOT NULL,
    seq       INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    audit_id  TEXT    NOT NULL,
    line      TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, at, node, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX audit_records_of_call ON audit_records (tenant_id, audit_id);
CREATE INDEX audit_records_in_chain ON audit_records (node, seq);

-- Which tenant changed; without one, many did. Every process reads on from where it was.
CREATE TABLE changes (
    seq       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT
) STRICT;
