-- Chains are numbered, so that one that is gone leaves a gap, and the end of each is signed with every
-- batch: it moves on, and never back.
ALTER TABLE audit_nodes ADD COLUMN ordinal BIGINT UNIQUE;
ALTER TABLE audit_nodes ADD COLUMN signed_by BYTEA;
ALTER TABLE audit_nodes ADD COLUMN signature BYTEA;

-- The records are there in the order of their chains too, for whoever checks those.
CREATE INDEX audit_records_in_chain ON audit_records (node, seq);
