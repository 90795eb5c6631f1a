//! How the program is linked: what every start would pay for.
//!
//! `strongroom run` is all of a server's start that is ours, and how the program is put together costs it as
//! much as everything that is read there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What the linker finds where it looks for the shared library: a script that names the static ones.
const SCRIPT: &str = "INPUT(-lgcc_eh -lgcc)\n";

/// The functions that a start goes through: `cargo xtask order` writes it.
const ORDER: &str = "order.txt";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={ORDER}");
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        unwind_by_ourselves();
        if is("PROFILE", "release") && is("CARGO_CFG_TARGET_ARCH", "x86_64") && is_linked_by_lld() {
            put_side_by_side();
        }
    }
}

/// Rust unwinds by `libgcc_s`, which is loaded, bound, and asks the processor what it can do, one slow
/// question after the other on a virtual machine. The same code stands in the static libraries that the
/// compiler brings along, and asks nothing.
fn unwind_by_ourselves() {
    let folder = PathBuf::from(variable("OUT_DIR").expect("cargo says where"));
    fs::write(folder.join("libgcc_s.so"), SCRIPT).expect("cargo made the folder");
    println!("cargo:rustc-link-search=native={}", folder.display());
}

/// Pages come into memory sixteen at a time. Where the linker puts functions as it finds them, a start needs
/// some in 88 places of the program; side by side they fill a few. A name in the list that there is no more
/// is passed over.
fn put_side_by_side() {
    let folder = variable("CARGO_MANIFEST_DIR").expect("cargo says where");
    let list = Path::new(&folder).join(ORDER);
    for argument in ["--no-warn-symbol-ordering".to_owned(), order_by(&list)] {
        println!("cargo:rustc-link-arg-bins=-Wl,{argument}");
    }
}

fn order_by(list: &Path) -> String {
    format!("--symbol-ordering-file={}", list.display())
}

/// Whether nobody has chosen a linker: then it is the one that comes with the compiler, which knows lists.
#[expect(clippy::disallowed_methods, reason = "a build script is no part of the program")]
fn is_linked_by_lld() -> bool {
    let chosen = ["RUSTC_LINKER", "CARGO_ENCODED_RUSTFLAGS"]
        .iter()
        .any(|name| variable(name).is_some_and(|value| !value.is_empty()));
    let compiler = variable("RUSTC").expect("cargo says which");
    let asked = Command::new(compiler).args(["--print", "target-libdir"]).output();
    let folder = asked.ok().and_then(|said| String::from_utf8(said.stdout).ok());
    let lld =
        folder.and_then(|lib| Some(Path::new(lib.trim()).parent()?.join("bin/gcc-ld/ld.lld")));
    !chosen && lld.is_some_and(|lld| lld.exists())
}

fn is(name: &str, value: &str) -> bool {
    variable(name).is_some_and(|there| there == value)
}

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script by variables")]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}
