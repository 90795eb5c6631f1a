//! The core of the packages against a true gnome-keyring, other writers of the same layout, and a
//! window program that is a stand-in.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that fails may say so by a panic")]

mod keychain;
mod python;
mod sealed;
mod session;
mod window;
mod writers;
