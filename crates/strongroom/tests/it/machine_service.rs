//! `service`: what the systems themselves say of the files that we write for them.

use std::fs;
use std::path::Path;

use strongroom::autostart::render;
use strongroom::jobs::Job;
use strongroom::paths::Os;

use crate::sandbox::{PROGRAM, Sandbox};

const HARD: &str = "it's a \"b\" \\ $HOME 100% & <c>";

/// Says that a test was not run: its tool is missing.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn skipped(tool: &str) {
    eprintln!("SKIPPED: there is no `{tool}` here");
}

#[test]
fn systemd_accepts_the_unit_of_a_program_with_any_name() {
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        return skipped("systemd-analyze");
    }
    let sandbox = Sandbox::new();
    let runtime = sandbox.path("");
    let sandbox = sandbox.with("XDG_RUNTIME_DIR", runtime);
    for (at, name) in ["strongroom", "with a blank", HARD].into_iter().enumerate() {
        let directory = sandbox.path(&format!("d{at}"));
        fs::create_dir(&directory).unwrap();
        let program = directory.join(name);
        fs::hard_link(PROGRAM, &program)
            .or_else(|_| fs::copy(PROGRAM, &program).map(drop))
            .unwrap();
        let unit = sandbox.start(&program, &["service", "install", "--print"]).ok().stdout;
        let file = sandbox.write(&format!("u{at}/strongroom.service"), &unit);
        let arguments = ["verify", "--user", file.to_str().unwrap()];
        let verified = sandbox.start(Path::new("/usr/bin/systemd-analyze"), &arguments);
        assert_eq!((verified.code, verified.stderr.as_str()), (0, ""), "{name}: {unit}");
    }
}

#[test]
fn a_launch_agent_reads_back_as_what_was_meant() {
    let Some(python) = ["/usr/bin/python3", "/usr/local/bin/python3"]
        .into_iter()
        .map(Path::new)
        .find(|p| p.exists())
    else {
        return skipped("python3");
    };
    let sandbox = Sandbox::new();
    let program = format!("/opt/{HARD}/strongroom");
    let job = Job {
        program: &program,
        arguments: &["serve", "--http"],
        variables: &[("STRONGROOM_HOME", HARD)],
        log: "/l",
    };
    let file = sandbox.write("agent.plist", &render(Os::Macos, &job).unwrap());
    let script =
        "import plistlib, json, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let read = sandbox.start(python, &["-c", script, file.to_str().unwrap()]).ok().json();
    assert_eq!(read["ProgramArguments"], serde_json::json!([program, "serve", "--http"]));
    assert_eq!(read["EnvironmentVariables"]["STRONGROOM_HOME"], HARD);
    assert_eq!(read["RunAtLoad"], true);
}

#[test]
#[cfg(target_os = "linux")]
fn a_unit_is_written_once_and_removed_and_a_foreign_one_is_left_alone() {
    const UNIT: &str = ".config/systemd/user/strongroom.service";
    let sandbox = Sandbox::initialised();
    let installed = sandbox.run("service install --listen 127.0.0.1:4747 --json").ok().json();
    assert_eq!((&installed["changed"], &installed["told"]), (&true.into(), &false.into()));
    let start =
        format!("ExecStart=\"{PROGRAM}\" \"serve\" \"--http\" \"--listen\" \"127.0.0.1:4747\"");
    assert!(sandbox.read(UNIT).contains(&start), "{}", sandbox.read(UNIT));
    let again = sandbox.run("service install --listen 127.0.0.1:4747 --json").ok().json();
    assert_eq!(again["changed"], false);
    sandbox.run("service remove").ok();
    assert!(!sandbox.path(UNIT).exists());
    assert_eq!(sandbox.run("service remove --json").ok().json()["changed"], false);
    let logs = sandbox.run("logs").ok().stdout;
    assert_eq!(logs.matches("| cli | serve --http | autostart.install").count(), 2, "{logs}");
    assert_eq!(logs.matches("| cli | serve --http | autostart.remove").count(), 1, "{logs}");

    sandbox.write(UNIT, "[Service]\nExecStart=/bin/true\n");
    for command in ["service install", "service remove"] {
        let refused = sandbox.run(command);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(sandbox.read(UNIT).contains("/bin/true"));
    }
}

#[test]
fn a_service_without_a_home_is_not_installed() {
    let sandbox = Sandbox::new();
    let refused = sandbox.run("service install");
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.stderr.contains("strongroom init"), "{refused:?}");
}
