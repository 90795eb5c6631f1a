//! The audit on disk: daily segments, one chain.
