//! What tests share: keys that must never come out, the oracle that says whether they did, and
//! stand-ins for everything that a part under test talks to.

pub mod again;
pub mod ca;
pub mod canary;
#[cfg(target_os = "linux")]
pub mod display;
pub mod echo;
pub mod fakes;
pub mod far;
pub mod fixture;
pub mod op;
pub mod oracle;
#[cfg(target_os = "linux")]
pub mod postgres;
pub mod provider;
#[cfg(target_os = "linux")]
pub mod secret_service;
pub mod shim;
pub mod standins;
pub mod upstream;
