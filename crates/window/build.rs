//! The manifest of the program for Windows: the system's controls as they look today, and not as they did
//! before 2001, without which an empty field has no placeholder either.
#![expect(clippy::disallowed_methods, reason = "cargo tells build scripts by the environment")]

use embed_manifest::manifest::DpiAwareness::System;
use embed_manifest::{embed_manifest, new_manifest};

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_CFG_WINDOWS").is_some() {
        embed_manifest(new_manifest("Strongroom.Dialog").dpi_awareness(System))?;
    }
    Ok(())
}
