//! The command line of Strongroom and the wiring of its parts.

pub mod paths;
