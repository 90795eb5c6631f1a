//! The package itself: what is in it, how it is loaded, what its types take.

use std::process::Command;

use serde_json::json;

use crate::project::{Project, installed, node_program};

const NAMES: [&str; 8] = [
    "AsyncUIHandler",
    "MCPSecretsManager",
    "MCPSecretsStorage",
    "Secret",
    "SecretsError",
    "fetch_secrets",
    "secrets_manager",
    "withSecrets",
];

#[test]
fn import_and_require_give_the_same_instance() {
    let project = Project::installed_by_npm();
    let seen = project.script("instance.cjs");
    let imported = [NAMES.as_slice(), &["default"]].concat();
    let mut required = NAMES.to_vec();
    required.sort_unstable();
    let mut without = seen.clone();
    let names = without["names"].take();
    assert!(names == json!(NAMES) || names == json!(imported), "{names}");
    assert_eq!(seen["same"], true);
    assert_eq!(seen["required"], json!(required));
}

#[test]
fn the_package_names_its_platform_and_carries_its_window_and_nothing_to_be_installed_with_it() {
    let project = Project::installed_by_npm();
    let read = |file: &str| std::fs::read(project.path("node_modules/mcp-secrets").join(file));
    let package: serde_json::Value =
        serde_json::from_slice(&read("package.json").unwrap()).unwrap();
    assert_eq!(package["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(package["os"], json!(["linux"]));
    for field in ["dependencies", "optionalDependencies", "scripts"] {
        assert!(package[field].is_null(), "{field}");
    }
    for file in ["strongroom-dialog", "strongroom-dialog.manifest.json", "mcp-secrets.node"] {
        assert!(read(&format!("native/{file}")).is_ok(), "{file}");
    }
    for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "lib/index.d.mts"] {
        assert!(read(file).is_ok(), "{file}");
    }
    let modules = std::fs::read_dir(project.path("node_modules")).unwrap();
    let names = modules.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.filter(|name| !name.starts_with('.')).eq(["mcp-secrets"]));
}

#[test]
fn the_types_take_what_authors_write_and_nothing_that_fails_later() {
    let project = Project::new();
    for package in ["fastmcp", "@modelcontextprotocol/sdk", "@types/node", "zod"] {
        project.link(package);
    }
    let sample = project.copy("bindings/node/tests/it/scripts/sample.ts");
    let servers = ["server.ts", "declared.ts", "official.ts"]
        .map(|file| project.copy(&format!("examples/servers/node/{file}")));
    let module = ["--module", "nodenext", "--target", "es2023", "--types", "node"];
    let check = |more: &[&str]| {
        let mut tsc = Command::new(node_program());
        tsc.arg(installed("node/node_modules/typescript/bin/tsc"));
        tsc.args(["--noEmit", "--strict", "--skipLibCheck"]).args(module).args(more);
        let output = tsc.current_dir(project.path("")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{more:?}: {said}");
    };
    check(&[sample.to_str().unwrap(), servers[1].to_str().unwrap(), servers[2].to_str().unwrap()]);
    // This one reads `error.message` of what was caught.
    check(&["--useUnknownInCatchVariables", "false", servers[0].to_str().unwrap()]);
}
