//! Many servers behind one endpoint.

pub mod definition;
pub mod names;
