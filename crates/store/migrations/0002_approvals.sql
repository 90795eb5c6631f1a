-- What people are asked, and what they granted. A row counts only with the tag that the tenant's key
-- makes over all of it; `state` is in the clear beside it so that of two who use a yes one wins.
CREATE TABLE approvals (
    id        TEXT   NOT NULL PRIMARY KEY,
    tenant    TEXT   NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    principal TEXT   NOT NULL,
    digest    BLOB   NOT NULL,
    access    BIGINT NOT NULL,
    question  TEXT   NOT NULL,
    state     TEXT   NOT NULL,
    answer    TEXT,
    method    TEXT,
    opened    BIGINT NOT NULL,
    changed   BIGINT NOT NULL,
    expires   BIGINT NOT NULL,
    tag       BLOB   NOT NULL
);

CREATE INDEX approvals_of_principal ON approvals (tenant, principal, digest);
CREATE INDEX approvals_in_state ON approvals (tenant, state, expires);

CREATE TABLE grants (
    id        TEXT   NOT NULL PRIMARY KEY,
    tenant    TEXT   NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    principal TEXT   NOT NULL,
    service   TEXT   NOT NULL,
    rule      TEXT   NOT NULL,
    class     TEXT   NOT NULL,
    revision  BIGINT NOT NULL,
    method    TEXT   NOT NULL,
    created   BIGINT NOT NULL,
    lapses    BIGINT NOT NULL,
    tag       BLOB   NOT NULL
);

CREATE INDEX grants_by_scope ON grants (tenant, principal, service, rule, class, revision, lapses);
CREATE INDEX grants_by_end ON grants (tenant, lapses);
