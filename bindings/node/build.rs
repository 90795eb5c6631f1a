//! How a module for Node is linked. Nothing of Node is linked with it: its functions are looked up when
//! the module is loaded (`napi`'s feature `dyn-symbols`), on every platform alike.
#![expect(clippy::disallowed_methods, reason = "cargo tells build scripts by the environment")]

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_CFG_TARGET_OS").is_some_and(|os| os == "linux") {
        // A thread of Node's that ends must not unload what other threads run.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
