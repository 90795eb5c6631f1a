//! `cargo xtask test`: everything that can be tested on this machine, nextest's summary last.

use crate::{
    dist, install,
    shell::{self, Shell, step},
};

/// How often `soak` kills the server. The tests do a tenth of it.
const KILLS: &str = "200";

/// Installs what is missing and runs all tests.
pub(crate) fn run(shell: &Shell) -> Result<(), String> {
    step("what the tests need", || {
        install::programs(shell)?;
        install::cargo_tool(
            shell,
            "cargo-nextest",
            &["--no-default-features", "--features", "default-no-update"],
        )?;
        install::node_clients(shell)?;
        install::python_clients(shell)?;
        install::python_backends(shell)?;
        install::python_keyring(shell)?;
        install::openapi_client(shell)?;
        install::vault_server(shell)
    })?;
    let packages = dist::packages(shell, "dev")?;
    step("packages", || install::python_package(shell, &packages))?;
    step("examples in the documentation", || {
        shell.cargo(&["test", "--quiet", "--workspace", "--doc"])
    })?;
    step("tests", || {
        let profile = if install::unattended() { "ci" } else { "default" };
        shell.cargo(&["nextest", "run", "--workspace", "--profile", profile])
    })?;
    Ok(())
}

/// How often `soak` kills a refresh.
const REFRESH_KILLS: &str = "500";

/// How often `soak` kills the server of a team on each database; its Postgres a fifth of it.
const TEAM_KILLS: &str = "100";

/// How many seconds `soak` loads the gateway.
const GATEWAY_SECONDS: &str = "3600";

/// Kills `serve` again and again while it writes, the server and the database of a team, and refreshes of the cache while they do.
pub(crate) fn soak(shell: &Shell) -> Result<(), String> {
    step("soak", || {
        let mut command = shell.command("cargo");
        command.env("STRONGROOM_SOAK_KILLS", KILLS);
        command.args(["nextest", "run", "-p", "strongroom", "--profile", "soak"]);
        shell::run(command.args(["-E", "test(killed) and not test(refresh) and not test(team)"]))
    })?;
    step("soak gateway", || {
        let mut command = shell.command("cargo");
        command.env("STRONGROOM_SOAK_SECONDS", GATEWAY_SECONDS);
        command.args(["nextest", "run", "-p", "strongroom", "--profile", "soak"]);
        shell::run(command.args(["-E", "test(soaked_at_half_load)"]))
    })?;
    step("soak team", || {
        let mut command = shell.command("cargo");
        command.env("STRONGROOM_SOAK_KILLS", TEAM_KILLS);
        command.args(["nextest", "run", "-p", "strongroom", "--profile", "soak"]);
        shell::run(command.args(["-E", "test(killed_team)"]))
    })?;
    for (package, tests) in
        [("strongroom-secrets", "test(flight)"), ("strongroom", "test(killed) and test(refresh)")]
    {
        step(&format!("soak {package}"), || {
            let mut command = shell.command("cargo");
            command.env("STRONGROOM_SOAK_KILLS", REFRESH_KILLS);
            command.args(["nextest", "run", "-p", package, "--profile", "soak"]);
            shell::run(command.args(["-E", tests]))
        })?;
    }
    Ok(())
}

/// Measures whether refusals and comparisons can be told apart by their time, and prints it.
pub(crate) fn timing(shell: &Shell) -> Result<(), String> {
    step("timing", || {
        let package = ["nextest", "run", "--cargo-profile", "release", "-p", "strongroom-store"];
        let how = ["--profile", "soak", "--run-ignored", "only", "--no-capture"];
        shell.cargo(&[&package[..], &how, &["-E", "test(timing)"]].concat())
    })?;
    Ok(())
}
