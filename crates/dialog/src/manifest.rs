//! Which window program belongs to this build: the manifest beside it, which `cargo xtask dist` writes.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The name of the manifest.
pub(crate) const FILE: &str = "strongroom-dialog.manifest.json";

/// The name of the program.
pub(crate) const PROGRAM: &str =
    if cfg!(windows) { "strongroom-dialog.exe" } else { "strongroom-dialog" };

/// At most so many bytes are read.
pub(crate) const MOST: usize = 64 << 10;

/// The one format there is.
const VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    version: u32,
    programs: BTreeMap<String, RawProgram>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProgram {
    file: String,
    sha256: String,
}

/// What this platform is called in a manifest: `linux-x86_64`.
pub(crate) fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// The SHA-256 of this platform's program in `text`, in lower-case hexadecimal digits.
///
/// `None`: the text is no manifest, or has no such program for this platform.
pub(crate) fn hash(text: &[u8]) -> Option<String> {
    let Raw { version, mut programs } = serde_json::from_slice(text).ok()?;
    let program = programs.remove(&platform())?;
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let good = version == VERSION
        && program.file == PROGRAM
        && program.sha256.len() == 64
        && program.sha256.bytes().all(hexadecimal);
    good.then_some(program.sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(version: u32, platform: &str, file: &str, sha256: &str) -> Option<String> {
        let text = format!(
            r#"{{"version":{version},"programs":{{"{platform}":{{"file":"{file}","sha256":"{sha256}"}}}}}}"#
        );
        hash(text.as_bytes())
    }

    #[test]
    fn a_manifest_names_the_program_of_its_platform() {
        let (here, good) = (platform(), "0a".repeat(32));
        assert_eq!(manifest(1, &here, PROGRAM, &good), Some(good.clone()));
        assert_eq!(manifest(2, &here, PROGRAM, &good), None);
        assert_eq!(manifest(1, "plan9-mips", PROGRAM, &good), None);
        assert_eq!(manifest(1, &here, "../strongroom-dialog", &good), None);
        assert_eq!(manifest(1, &here, PROGRAM, &good.to_uppercase()), None);
        assert_eq!(manifest(1, &here, PROGRAM, "0a"), None);
        assert_eq!(hash(b"{}"), None);
        assert_eq!(hash(b""), None);
    }
}
