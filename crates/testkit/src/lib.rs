//! What tests share: keys that must never come out, and the oracle that says whether they did.

pub mod canary;
pub mod oracle;
