//! The command line of Strongroom and the wiring of its parts.

pub mod autostart;
pub mod clients;
pub mod clock;
pub mod demo;
pub mod home;
pub mod paths;
pub mod scan;
