//! Providers and what is made of them.

#![expect(clippy::unwrap_used, reason = "a test that fails may say so by a panic")]

mod cache;
mod flight;
mod loaded;
#[cfg(unix)]
mod onepassword;
#[cfg(unix)]
mod program;
mod providers;
mod resolver;
mod script;
mod stock;
mod supply;
