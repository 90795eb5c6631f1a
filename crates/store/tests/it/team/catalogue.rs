//! What Postgres itself says of the tables (TN-01, TN-12).
