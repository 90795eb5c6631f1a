-- Which tools of a registered server may be called: rules, as a list of texts.
ALTER TABLE tenant_mcp_servers ADD COLUMN tools TEXT NOT NULL DEFAULT '["allow *"]';
