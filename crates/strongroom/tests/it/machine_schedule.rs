//! `schedule`: what the systems themselves say of what we write, and a refresh that keeps failing.

use std::fs;
use std::path::{Path, PathBuf};

use strongroom::jobs::Job;
use strongroom::paths::{Environment, Home, Os};
use strongroom::schedule::{ARGUMENTS, By, Every, cron, files};

use crate::sandbox::{PROGRAM, Ran, Sandbox};

const HARD: &str = "it's a \"b\" \\ $HOME 100% & <c>";
const TIMER: &str = ".config/systemd/user/strongroom-refresh.timer";
const SERVICE: &str = ".config/systemd/user/strongroom-refresh.service";

/// Says that a test was not run: its tool is missing.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn skipped(tool: &str) {
    eprintln!("SKIPPED: there is no `{tool}` here");
}

fn script(sandbox: &Sandbox, below: &str, text: &str) -> PathBuf {
    let path = sandbox.write(below, text);
    sandbox.chmod(below, 0o700);
    path
}

/// A user with a crontab of their own: a stand-in that answers as Debian's does.
fn with_crontab() -> Sandbox {
    let sandbox = Sandbox::headless();
    let text = "#!/bin/sh\ncase \"$1\" in\n\
        -l) [ -f \"$HOME/table\" ] || { echo \"no crontab for ann\" >&2; exit 1; }\n\
            [ ! -f \"$HOME/broken\" ] || { echo \"cannot read\" >&2; exit 1; }\n\
            cat \"$HOME/table\" ;;\n\
        -) cat > \"$HOME/table\" ;;\n\
        -r) rm \"$HOME/table\" ;;\n\
        *) exit 2 ;;\nesac\n";
    script(&sandbox, "bin/crontab", text);
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    sandbox.with("PATH", path).with("OP_SERVICE_ACCOUNT_TOKEN", "canary-token")
}

#[test]
fn systemd_accepts_the_timer_and_its_service() {
    let analyze = Path::new("/usr/bin/systemd-analyze");
    if !analyze.exists() {
        return skipped("systemd-analyze");
    }
    let sandbox = Sandbox::headless();
    let runtime = sandbox.path("run");
    fs::create_dir(&runtime).unwrap();
    let sandbox = sandbox.with("XDG_RUNTIME_DIR", runtime).with("VAULT_TOKEN", "canary-token");
    let hard = sandbox.path(HARD);
    fs::create_dir(&hard).unwrap();
    let program = hard.join("strongroom");
    fs::hard_link(PROGRAM, &program).or_else(|_| fs::copy(PROGRAM, &program).map(drop)).unwrap();
    for every in ["1m", "15m", "1h", "3h", "24h"] {
        for program in [Path::new(PROGRAM), &program] {
            let words = ["schedule", "install", "--by", "systemd", "--every", every];
            sandbox.start(program, &words).ok();
            for file in [TIMER, SERVICE] {
                let text = sandbox.read(file);
                assert!(!text.contains("canary") && !text.contains("VAULT"), "{text}");
                let verify = ["verify", "--user", file];
                let verified = sandbox.start(analyze, &verify);
                assert_eq!((verified.code, verified.stderr.as_str()), (0, ""), "{every}: {text}");
            }
        }
    }
    assert!(sandbox.read(TIMER).contains("\nPersistent=true\nRandomizedDelaySec="));
}

#[test]
fn a_job_finds_the_home_that_its_person_has_set_and_is_told_nothing_else() {
    let sandbox = with_crontab().with("XDG_RUNTIME_DIR", "/nonexistent");
    let [config, data, own] = ["c", "d", "own"].map(|dir| sandbox.path(dir).display().to_string());
    let sandbox = sandbox.with("XDG_CONFIG_HOME", &config).with("XDG_DATA_HOME", &data);
    sandbox.run("init --headless").ok();
    for (by, first, second) in [
        ("systemd", format!("\nEnvironment=\"XDG_CONFIG_HOME={config}\"\n"), "\nEnvironment=\""),
        ("cron", format!(" XDG_CONFIG_HOME={config} "), " "),
    ] {
        let plan = sandbox.run(&format!("schedule install --by {by} --dry-run")).ok().stdout;
        assert!(plan.contains(&first), "{plan}");
        assert!(plan.contains(&format!("{second}XDG_DATA_HOME={data}")), "{plan}");
        for other in ["canary", "OP_", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"] {
            assert!(!plan.contains(other), "{other}: {plan}");
        }
    }
    let plan =
        sandbox.with("STRONGROOM_HOME", own).run("schedule install --dry-run --by cron --every 3h");
    assert!(plan.stdout.contains(" STRONGROOM_HOME=") && !plan.stdout.contains("XDG_"), "{plan:?}");
}

#[test]
fn python_reads_the_agent_and_the_task_as_they_were_meant() {
    let Some(python) = ["/usr/bin/python3", "/usr/local/bin/python3"]
        .into_iter()
        .map(Path::new)
        .find(|p| p.exists())
    else {
        return skipped("python3");
    };
    let sandbox = Sandbox::new();
    let every = Every::within(std::time::Duration::from_hours(3));
    let hard = format!("/opt/{HARD}/strongroom");
    let job = Job {
        program: &hard,
        arguments: &ARGUMENTS,
        variables: &[("STRONGROOM_HOME", HARD)],
        log: "/l",
    };
    let mac = Environment::new(Os::Macos, [("HOME", "/ann")]);
    let text = files(By::Launchd, &job, every, &mac, &Home::locate(&mac).unwrap()).unwrap();
    assert_eq!(text[0].0.as_os_str(), "/ann/Library/LaunchAgents/strongroom.refresh.plist");
    let file = sandbox.write("agent.plist", &text[0].1);
    let read =
        "import plistlib, json, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let read = sandbox.start(python, &["-c", read, file.to_str().unwrap()]).ok().json();
    let words = [&[hard.as_str()], ARGUMENTS.as_slice()].concat();
    assert_eq!(read["ProgramArguments"], serde_json::json!(words));
    assert_eq!(read["EnvironmentVariables"], serde_json::json!({ "STRONGROOM_HOME": HARD }));
    assert_eq!(read["StartInterval"], 10_800);

    let job = Job { program: r"C:\a & <b>\strongroom.exe", variables: &[], ..job };
    let windows = Environment::new(Os::Windows, [("APPDATA", r"C:\R"), ("LOCALAPPDATA", r"C:\L")]);
    let home = Home::locate(&windows).unwrap();
    let text = files(By::Task, &job, every, &windows, &home).unwrap();
    let file = sandbox.write("task.xml", &text[0].1);
    let read = "import sys, xml.etree.ElementTree as E\n\
        n = '{http://schemas.microsoft.com/windows/2004/02/mit/task}'\n\
        r = E.parse(sys.argv[1]).getroot()\n\
        print('|'.join(r.find('.//' + n + t).text for t in ['Command', 'Arguments', 'Interval']))";
    let read = sandbox.start(python, &["-c", read, file.to_str().unwrap()]).ok().stdout;
    let expected = r"C:\a & <b>\strongroom.exe|secrets refresh --due --quiet|PT180M";
    assert_eq!(read.trim_end(), expected);
}

#[test]
#[cfg(target_os = "linux")]
fn debians_crontab_accepts_every_line() {
    let crontab = Path::new("/usr/bin/crontab");
    let sandbox = Sandbox::new();
    let good = sandbox.write("good", "* * * * * true\n");
    let check = |file: &Path| sandbox.start(crontab, &["-n", file.to_str().unwrap()]).code;
    // Others than Debian's have no dry run.
    if !crontab.exists() || check(&good) != 0 {
        return skipped("crontab -n");
    }
    assert_ne!(check(&sandbox.write("bad", "x y z\n")), 0);
    for minutes in [1, 15, 60, 180, 1440] {
        let every = Every::within(std::time::Duration::from_mins(minutes));
        let program = format!("/opt/{HARD}/strongroom");
        let job = Job {
            program: &program,
            arguments: &ARGUMENTS,
            variables: &[("STRONGROOM_HOME", HARD)],
            log: "",
        };
        let block = cron::block(&job, every, Some("/usr/bin/logger")).unwrap();
        assert_eq!(check(&sandbox.write("block", &block)), 0, "{block}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_line_is_put_into_the_crontab_and_taken_out_and_all_others_stay() {
    let sandbox = with_crontab();
    sandbox.write("table", "MAILTO=ann\n0 1 * * * backup\n");
    let installed = sandbox.run("schedule install --json").ok().json();
    assert_eq!((&installed["by"], &installed["every"]), (&"cron".into(), &"3h".into()));
    let table = sandbox.read("table");
    assert!(table.starts_with("MAILTO=ann\n0 1 * * * backup\n# >>> strongroom"), "{table}");
    assert!(table.contains(&format!(" */3 * * * {PROGRAM} secrets refresh --due --quiet")));
    assert!(!table.contains("canary") && !table.contains("OP_"), "{table}");
    let again = sandbox.run("schedule install --json").ok().json();
    assert_eq!((&again["changed"], sandbox.read("table")), (&false.into(), table));

    let state = sandbox.run("schedule status --json").ok().json();
    assert_eq!((&state["scheduled"], &state["every"]), (&true.into(), &"3h".into()));
    sandbox.run("schedule install --every 45m").ok();
    let table = sandbox.read("table");
    assert!(table.contains("*/30 * * * *") && !table.contains("*/3 *"), "{table}");

    // The other kind takes its place.
    sandbox.run("schedule install --by systemd").ok();
    assert_eq!(sandbox.read("table"), "MAILTO=ann\n0 1 * * * backup\n");
    assert!(sandbox.path(TIMER).exists() && sandbox.path(SERVICE).exists());
    sandbox.run("schedule install").ok();
    assert!(!sandbox.path(TIMER).exists() && !sandbox.path(SERVICE).exists());
    assert!(sandbox.run("uninstall").ok().stdout.contains("crontab"));
    assert_eq!(sandbox.read("table"), "MAILTO=ann\n0 1 * * * backup\n");
    let removed = sandbox.run("schedule remove --json").ok().json();
    assert_eq!(removed["removed"], serde_json::json!([]));
    let logs = sandbox.run("logs").ok().stdout;
    assert_eq!(logs.matches("schedule.install").count(), 5, "{logs}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_crontab_that_cannot_be_read_is_never_replaced() {
    let sandbox = with_crontab();
    sandbox.write("table", "0 1 * * * backup\n");
    sandbox.write("broken", "");
    let refused = sandbox.run("schedule install");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_eq!(sandbox.read("table"), "0 1 * * * backup\n");
}

#[test]
fn a_unit_of_somebody_else_is_left_alone() {
    let sandbox = Sandbox::headless();
    sandbox.write(TIMER, "[Timer]\n");
    for command in ["schedule install --by systemd", "schedule remove"] {
        let refused = sandbox.run(command);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert_eq!(sandbox.read(TIMER), "[Timer]\n");
    }
}

/// A user with a server whose secret is printed by a program that fails where there is a file `down`.
fn with_server() -> Sandbox {
    let sandbox = Sandbox::headless();
    let pass = script(
        &sandbox,
        "pass.sh",
        "#!/bin/sh\n[ ! -f \"$(dirname \"$0\")/down\" ] || exit 1\necho canary-value-0123456789\n",
    );
    let tell = script(
        &sandbox,
        "tell.sh",
        "#!/bin/sh\nd=$(dirname \"$0\")\necho \"$@\" >> \"$d/told\"\nenv > \"$d/told.env\"\n",
    );
    let file = ".config/strongroom/strongroom.toml";
    let config = sandbox.read(file);
    let more = format!(
        "enable = [\"s\"]\n{config}\n[cache]\nttl = \"1ms\"\non_failure = [\"{}\", \"-x\"]\n\
         [providers.cmd.token]\ncommand = [\"{}\"]\n\
         [servers.s]\ncommand = \"/bin/true\"\nsecrets = {{ TOKEN = \"cmd://token\" }}\n",
        tell.display(),
        pass.display()
    );
    sandbox.write(file, &more);
    sandbox
}

fn refresh(sandbox: &Sandbox) -> Ran {
    // What failed a moment ago is left alone: a test has no time to wait.
    let attempts = sandbox.path(".cache/strongroom/attempts.json");
    if let Ok(text) = fs::read_to_string(&attempts) {
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        age(&mut value);
        fs::write(&attempts, value.to_string()).unwrap();
    }
    sandbox.run("secrets refresh --due --quiet")
}

/// Puts every time in what is known of failures ten minutes back.
fn age(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Number(number) => {
            if let Some(at) = number.as_u64().filter(|at| *at > 1_000_000_000_000) {
                *value = (at - 600_000).into();
            }
        }
        serde_json::Value::Object(members) => members.values_mut().for_each(age),
        serde_json::Value::Array(items) => items.iter_mut().for_each(age),
        _ => {}
    }
}

#[test]
fn a_person_is_told_once_of_ten_failed_refreshes_and_the_doctor_says_it() {
    let sandbox = with_server();
    refresh(&sandbox).ok();
    let doctor = sandbox.run("doctor").stdout;
    assert!(doctor.contains("none: secrets are refreshed as they are used"), "{doctor}");
    assert!(doctor.contains("opens: 1 secret, the oldest fetched "), "{doctor}");
    sandbox.write("down", "");
    for round in 1..=10 {
        let ran = refresh(&sandbox);
        assert_eq!(ran.code, 4, "{round}: {ran:?}");
        let line = "secrets of cmd could not be refreshed 3 times in a row";
        assert_eq!(ran.stderr.contains(line), round == 3, "{round}: {ran:?}");
        assert!(!ran.stderr.contains("canary"), "{ran:?}");
    }
    assert_eq!(sandbox.read("told"), "-x cmd\n");
    assert!(!sandbox.read("told.env").contains("canary"));
    let doctor = sandbox.run("doctor");
    assert!(doctor.code == 1 && doctor.stdout.contains("`cmd` has failed 10 times in a row"));
    let state = sandbox.run("schedule status --json").ok().json();
    assert_eq!(state["failures"][0]["in_a_row"], 10, "{state}");

    fs::remove_file(sandbox.path("down")).unwrap();
    refresh(&sandbox).ok();
    sandbox.write("down", "");
    for _ in 1..=4 {
        refresh(&sandbox);
    }
    assert_eq!(sandbox.read("told"), "-x cmd\n-x cmd\n");
}

#[test]
fn the_doctor_names_servers_that_are_on_and_cannot_be_started_or_are_not_pinned() {
    let sandbox = Sandbox::headless();
    let file = ".config/strongroom/strongroom.toml";
    let on = "enable = [\"n\", \"bad\"]\n";
    let servers = "\n[servers.n]\ncommand = \"npx -y pkg\"\n\
                   [servers.bad]\ncommand = \"x\"\ntoken = \"y\"\n";
    sandbox.write(file, &(on.to_owned() + &sandbox.read(file) + servers));
    let doctor = sandbox.run("doctor").stdout;
    assert!(doctor.contains("`npx` may start another version at any time"), "{doctor}");
    assert!(doctor.contains("do: strongroom mcp pin n"), "{doctor}");
    assert!(doctor.contains("server bad"), "{doctor}");
    assert!(!doctor.contains("schedule"), "nothing is to be fetched: {doctor}");
}
