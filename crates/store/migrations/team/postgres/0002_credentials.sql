-- The keys that tenants' credentials are sealed under, each wrapped by the KEK of `kek_id`. While a
-- key is rotated a tenant has two.
CREATE TABLE tenant_keys (
    tenant_id  UUID        NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id         TEXT        NOT NULL,
    kek_id     TEXT        NOT NULL,
    wrapped    BYTEA       NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE INDEX tenant_keys_of_kek ON tenant_keys (kek_id, tenant_id);

-- One for each tenant that has ever stored something: sealed under `key_id`, it covers every row.
CREATE TABLE tenant_heads (
    tenant_id  UUID   NOT NULL PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    key_id     TEXT   NOT NULL,
    generation BIGINT NOT NULL,
    head       BYTEA  NOT NULL
);

CREATE TABLE tenant_credentials (
    tenant_id             UUID        NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id                    UUID        NOT NULL,
    service               TEXT        NOT NULL,
    credential_type       TEXT        NOT NULL DEFAULT 'api_key',
    encrypted_credentials BYTEA       NOT NULL,
    encryption_key_id     TEXT        NOT NULL DEFAULT 'default',
    created_at            TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at            TIMESTAMPTZ NOT NULL DEFAULT now(),
    last_used_at          TIMESTAMPTZ,
    version               BIGINT      NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT tenant_credentials_credential_type UNIQUE (tenant_id, service, credential_type)
);

CREATE INDEX tenant_credentials_by_key ON tenant_credentials (tenant_id, encryption_key_id, id);

-- Nothing is wrapped under these KEKs any more, and nothing may be.
CREATE TABLE retired_keks (
    kek_id     TEXT        NOT NULL PRIMARY KEY,
    retired_at TIMESTAMPTZ NOT NULL
);

-- Which tenants have keys under which KEKs: what the rotation of a KEK goes through, and says nothing
-- of the keys. It runs as the owner, who is let in by a policy of its own.
CREATE FUNCTION tenants_by_kek(not_under TEXT, later_than UUID, most BIGINT) RETURNS SETOF UUID
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = strongroom, pg_temp
    AS 'SELECT DISTINCT tenant_id FROM tenant_keys
        WHERE kek_id <> not_under AND (later_than IS NULL OR tenant_id > later_than)
        ORDER BY tenant_id LIMIT most';
REVOKE ALL ON FUNCTION tenants_by_kek(TEXT, UUID, BIGINT) FROM PUBLIC;

CREATE FUNCTION keys_by_kek() RETURNS TABLE (kek TEXT, keys BIGINT)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = strongroom, pg_temp
    AS 'SELECT kek_id, count(*) FROM tenant_keys GROUP BY kek_id';
REVOKE ALL ON FUNCTION keys_by_kek() FROM PUBLIC;
