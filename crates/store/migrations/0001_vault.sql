-- One tenant on one machine, many in a team. A tenant's key is wrapped by the KEK of `kek_id`; the
-- head is sealed under that key and covers every row below it, in its generation.
CREATE TABLE tenants (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    kek_id      TEXT    NOT NULL,
    key_id      TEXT    NOT NULL,
    wrapped_key BLOB    NOT NULL,
    token_key   BLOB    NOT NULL,
    generation  BIGINT  NOT NULL,
    head        BLOB    NOT NULL
);

CREATE TABLE secrets (
    id      TEXT    NOT NULL PRIMARY KEY,
    tenant  TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name    TEXT    NOT NULL,
    used_by TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    version BIGINT  NOT NULL,
    format  INTEGER NOT NULL,
    key_id  TEXT    NOT NULL,
    sealed  BLOB    NOT NULL,
    created BIGINT  NOT NULL,
    updated BIGINT  NOT NULL,
    UNIQUE (tenant, name)
);

CREATE TABLE principals (
    id         TEXT   NOT NULL PRIMARY KEY,
    tenant     TEXT   NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name       TEXT   NOT NULL,
    token_hash BLOB,
    version    BIGINT NOT NULL,
    created    BIGINT NOT NULL,
    disabled   BIGINT,
    UNIQUE (tenant, name)
);
