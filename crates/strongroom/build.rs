//! How the program is linked: what every start would pay for.
//!
//! `strongroom run` is all of a server's start that is ours, and a library costs it as much as everything
//! that is read there. Rust unwinds by `libgcc_s`, which is loaded, bound, and asks the processor what it can
//! do, one slow question after the other on a virtual machine. The same code stands in the static libraries
//! that the compiler brings along, and asks nothing.

use std::path::PathBuf;
use std::{env, fs};

/// What the linker finds where it looks for the shared library: a script that names the static ones.
const SCRIPT: &str = "INPUT(-lgcc_eh -lgcc)\n";

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script by variables")]
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|there| there == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where"));
        fs::write(folder.join("libgcc_s.so"), SCRIPT).expect("cargo made the folder");
        println!("cargo:rustc-link-search=native={}", folder.display());
    }
}
