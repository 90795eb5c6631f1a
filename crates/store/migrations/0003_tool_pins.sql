-- What is approved of servers' tools. A row counts only with the tag that the tenant's key makes over all
-- of it; `scope` is the file that the server stands in, and empty for the user's own.
CREATE TABLE tool_pins (
    tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    scope  TEXT NOT NULL,
    server TEXT NOT NULL,
    tool   TEXT NOT NULL,
    record TEXT NOT NULL,
    tag    BLOB NOT NULL,
    PRIMARY KEY (tenant, scope, server, tool)
) WITHOUT ROWID;
