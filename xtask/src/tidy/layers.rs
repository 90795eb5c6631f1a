//! Who may depend on whom.

use crate::shell::Shell;

/// The ground: what every crate may build on.
const L0: &[&str] = &["strongroom-model", "strongroom-seal", "strongroom-process"];

/// Each member and the members it may depend on. An edge that is not here is refused.
const LAYERS: &[(&str, &[&str])] = &[
    ("strongroom-model", &[]),
    ("strongroom-seal", &["strongroom-model"]),
    ("strongroom-process", &["strongroom-model"]),
    ("strongroom-secrets", L0),
    ("strongroom-store", L0),
    ("strongroom-proxy", L0),
    ("strongroom-gateway", L0),
    ("strongroom-clients", L0),
    ("strongroom-dialog", L0),
    ("strongroom-window", &["strongroom-model", "strongroom-process", "strongroom-dialog"]),
    (
        "strongroom-sdk",
        &[
            "strongroom-model",
            "strongroom-seal",
            "strongroom-process",
            "strongroom-secrets",
            "strongroom-dialog",
        ],
    ),
    ("strongroom-python", &["strongroom-sdk"]),
    ("strongroom-node", &["strongroom-sdk"]),
    (
        "strongroom-config",
        &[
            "strongroom-model",
            "strongroom-seal",
            "strongroom-secrets",
            "strongroom-store",
            "strongroom-proxy",
            "strongroom-gateway",
        ],
    ),
    ("strongroom-server", &["strongroom-model", "strongroom-seal", "strongroom-store"]),
    (
        "strongroom",
        &[
            "strongroom-config",
            "strongroom-server",
            "strongroom-model",
            "strongroom-seal",
            "strongroom-process",
            "strongroom-secrets",
            "strongroom-store",
            "strongroom-proxy",
            "strongroom-gateway",
            "strongroom-clients",
            "strongroom-server",
            "strongroom-dialog",
        ],
    ),
    ("strongroom-testkit", L0),
    // Not shipped: it fills databases past the server that it measures.
    ("strongroom-bench", &["strongroom-model", "strongroom-seal", "strongroom-store", TESTKIT]),
    ("xtask", &[]),
];

/// Tests of any crate may use these, and nothing that is shipped.
const IN_TESTS: [&str; 2] = [TESTKIT, "strongroom-bench"];
const TESTKIT: &str = "strongroom-testkit";

pub(super) fn check(shell: &Shell) -> Result<Vec<String>, String> {
    let metadata = shell.metadata()?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let mut complaints = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = LAYERS.iter().find(|(member, _)| *member == name) else {
            complaints.push(format!("{name} has no place in the table of layers"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let other = dependency["name"].as_str().unwrap_or_default();
            let inside = !dependency["path"].is_null();
            let in_tests = dependency["kind"] == "dev" && IN_TESTS.contains(&other);
            if inside && !in_tests && !allowed.contains(&other) {
                complaints.push(format!("{name} must not depend on {other}"));
            }
        }
    }
    Ok(complaints)
}
