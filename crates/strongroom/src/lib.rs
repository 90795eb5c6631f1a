//! The command line of Strongroom and the wiring of its parts.

pub mod clients;
pub mod paths;
pub mod scan;
