//! Many servers behind one endpoint.

pub mod catalogue;
pub mod definition;
pub mod names;
