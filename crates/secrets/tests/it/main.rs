//! Providers and what is made of them.

#![expect(clippy::unwrap_used, reason = "a test that fails may say so by a panic")]

#[cfg(unix)]
mod age;
#[cfg(unix)]
mod bws;
mod cache;
mod flight;
mod http;
#[cfg(unix)]
mod keepass;
mod kek;
#[cfg(target_os = "linux")]
mod keychain;
mod loaded;
#[cfg(unix)]
mod onepassword;
#[cfg(unix)]
mod pass;
#[cfg(unix)]
mod program;
mod providers;
mod resolver;
mod script;
#[cfg(unix)]
mod sops;
mod stock;
mod supply;
