-- The keys that tenants' credentials are sealed under, each wrapped by the KEK of `kek_id`. While a
-- key is rotated a tenant has two.
CREATE TABLE tenant_keys (
    tenant_id  TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id         TEXT    NOT NULL,
    kek_id     TEXT    NOT NULL,
    wrapped    BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX tenant_keys_of_kek ON tenant_keys (kek_id, tenant_id);

-- One for each tenant that has ever stored something: sealed under `key_id`, it covers every row.
CREATE TABLE tenant_heads (
    tenant_id  TEXT    NOT NULL PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    key_id     TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    head       BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant_credentials (
    tenant_id             TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id                    TEXT    NOT NULL,
    service               TEXT    NOT NULL,
    credential_type       TEXT    NOT NULL DEFAULT 'api_key',
    encrypted_credentials BLOB    NOT NULL,
    encryption_key_id     TEXT    NOT NULL DEFAULT 'default',
    created_at            INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    last_used_at          INTEGER,
    version               INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, service, credential_type)
) STRICT, WITHOUT ROWID;

CREATE INDEX tenant_credentials_by_key ON tenant_credentials (tenant_id, encryption_key_id, id);

-- Nothing is wrapped under these KEKs any more, and nothing may be.
CREATE TABLE retired_keks (
    kek_id     TEXT    NOT NULL PRIMARY KEY,
    retired_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
