-- What people are asked, sealed under the tenant's key `key_id`, with which it goes. `digest` is a tag
-- under the installation's secret, to find a question that is asked again; `state` is in the clear so
-- that of two who answer, or use a yes, one wins, and counts only where the sealed record says the same.
CREATE TABLE tenant_approvals (
    tenant_id  TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id         TEXT    NOT NULL,
    key_id     TEXT    NOT NULL,
    principal  TEXT    NOT NULL,
    digest     BLOB    NOT NULL,
    access     INTEGER NOT NULL,
    state      TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    opened_at  INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    sealed     BLOB    NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, key_id) REFERENCES tenant_keys (tenant_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX tenant_approvals_of_principal ON tenant_approvals (tenant_id, principal, digest);
CREATE INDEX tenant_approvals_in_state ON tenant_approvals (tenant_id, state, expires_at);
CREATE INDEX tenant_approvals_by_time ON tenant_approvals (tenant_id, opened_at, id);
CREATE INDEX tenant_approvals_by_key ON tenant_approvals (tenant_id, key_id);

-- What was granted for a while. A row counts only with its tag, under the installation's secret.
CREATE TABLE tenant_grants (
    tenant_id  TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id         TEXT    NOT NULL,
    principal  TEXT    NOT NULL,
    service    TEXT    NOT NULL,
    rule       TEXT    NOT NULL,
    class      TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    method     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    lapses_at  INTEGER NOT NULL,
    tag        BLOB    NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX tenant_grants_of_principal
    ON tenant_grants (tenant_id, principal, service, class, revision, lapses_at);
CREATE INDEX tenant_grants_by_end ON tenant_grants (tenant_id, lapses_at);
