-- What people are asked, sealed under the tenant's key `key_id`, with which it goes. `digest` is a tag
-- under the installation's secret, to find a question that is asked again; `state` is in the clear so
-- that of two who answer, or use a yes, one wins, and counts only where the sealed record says the same.
CREATE TABLE tenant_approvals (
    tenant_id  UUID        NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id         TEXT        NOT NULL,
    key_id     TEXT        NOT NULL,
    principal  TEXT        NOT NULL,
    digest     BYTEA       NOT NULL,
    access     BOOLEAN     NOT NULL,
    state      TEXT        NOT NULL,
    version    BIGINT      NOT NULL,
    opened_at  TIMESTAMPTZ NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    sealed     BYTEA       NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, key_id) REFERENCES tenant_keys (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX tenant_approvals_of_principal ON tenant_approvals (tenant_id, principal, digest);
CREATE INDEX tenant_approvals_in_state ON tenant_approvals (tenant_id, state, expires_at);
CREATE INDEX tenant_approvals_by_time ON tenant_approvals (tenant_id, opened_at, id);
CREATE INDEX tenant_approvals_by_key ON tenant_approvals (tenant_id, key_id);

-- What was granted for a while. A row counts only with its tag, under the installation's secret.
CREATE TABLE tenant_grants (
    tenant_id  UUID        NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id         TEXT        NOT NULL,
    principal  TEXT        NOT NULL,
    service    TEXT        NOT NULL,
    rule       TEXT        NOT NULL,
    class      TEXT        NOT NULL,
    revision   BIGINT      NOT NULL,
    method     TEXT        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    lapses_at  TIMESTAMPTZ NOT NULL,
    tag        BYTEA       NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE INDEX tenant_grants_of_principal
    ON tenant_grants (tenant_id, principal, service, class, revision, lapses_at);
CREATE INDEX tenant_grants_by_end ON tenant_grants (tenant_id, lapses_at);
