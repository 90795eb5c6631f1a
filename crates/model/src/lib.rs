//! Every noun of Strongroom, its pure decisions, and the ports that the rest plugs into.
//!
//! Nothing here reads a clock, a file, a socket or the environment: what is decided follows from
//! what is passed in, so every question that a reviewer can ask is answered by a table test.
//!
//! Read in this order: [`secret`], [`reference`], [`service`], [`canonical`], [`policy`],
//! [`pipeline`] (the order of one call, written down once), [`ports`].

pub mod approval;
pub mod audit;
pub mod base_url;
pub mod call;
pub mod canonical;
pub mod code;
pub mod command;
pub mod display;
pub mod far;
pub mod form;
pub mod freshness;
pub mod injection;
pub mod json;
pub mod lock;
pub mod near;
pub mod network;
pub mod paths;
pub mod pin;
pub mod pipeline;
pub mod policy;
pub mod ports;
pub mod principal;
pub mod rate;
pub mod redact;
pub mod reference;
pub mod secret;
pub mod server;
pub mod service;
pub mod team;
pub mod tool;

#[cfg(test)]
mod testing;
