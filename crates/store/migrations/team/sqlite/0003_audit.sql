-- Chains are numbered, so that one that is gone leaves a gap, and the end of each is signed with every
-- batch: it moves on, and never back.
ALTER TABLE audit_nodes ADD COLUMN ordinal INTEGER;
ALTER TABLE audit_nodes ADD COLUMN signed_by BLOB;
ALTER TABLE audit_nodes ADD COLUMN signature BLOB;

CREATE UNIQUE INDEX audit_nodes_by_ordinal ON audit_nodes (ordinal);
