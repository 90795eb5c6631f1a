-- What is approved of the tools of a tenant's servers. A row counts only with its tag, under the
-- installation's secret.
CREATE TABLE tenant_tool_pins (
    tenant_id UUID  NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    server    UUID  NOT NULL,
    tool      TEXT  NOT NULL,
    record    TEXT  NOT NULL,
    tag       BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, server, tool),
    FOREIGN KEY (tenant_id, server) REFERENCES tenant_mcp_servers (tenant_id, id) ON DELETE CASCADE
);
