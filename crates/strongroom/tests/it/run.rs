//! `strongroom run`: a server gets its own secrets and nothing else of ours.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use strongroom::clock::SystemClock;
use strongroom::config::Config;
use strongroom::environment::{Host, Terminals};
use strongroom::supply;
use strongroom_model::ports::Clock;
use strongroom_secrets::supply::How;
use strongroom_testkit::op::{StandInOp, TOKEN, Trouble, executable};
use strongroom_testkit::oracle::Oracle;

use crate::sandbox::{PROGRAM, Ran, Sandbox};

const CONFIG: &str = ".config/strongroom/strongroom.toml";
const SECRET: &str = "canary-of-stitch";
const REFERENCE: &str = "op://Developer/Stitch/api-key";

/// The registry of the specification, byte for byte.
const REGISTRY: &str = r#"{ "stitch": { "command": "npx @anthropic/stitch-mcp",
              "secrets": { "STITCH_API_KEY": "op://Developer/Stitch/api-key" } } }
"#;

/// A registry in `$DEV_INFRA`, trusted and on, with stand-ins for `op` and `npx`.
fn stitch(more: &str) -> (Sandbox, StandInOp) {
    let op = StandInOp::new();
    op.put(REFERENCE, SECRET);
    let sandbox = Sandbox::new();
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    let infra = sandbox.path("infra");
    let sandbox = sandbox.with("PATH", path).with("DEV_INFRA", infra);
    sandbox.write("infra/mcp-registry.json", REGISTRY);
    let npx = sandbox.write("bin/npx", "#!/bin/sh\necho \"args: $*\"\nexec env\n");
    executable(&npx);
    sandbox.run("init --headless").ok();
    let config = sandbox.read(CONFIG);
    let config = config.replace("headless = true", "headless = true\nenable = [\"stitch\"]");
    sandbox.write(CONFIG, &format!("{config}\n{more}"));
    let program = op.program();
    let words = ["provider", "set", "op", "--token-stdin", "--program", program.to_str().unwrap()];
    sandbox.feed(&words, TOKEN).ok();
    sandbox.run("trust infra/mcp-registry.json").ok();
    (sandbox, op)
}

fn run(sandbox: &Sandbox, words: &[&str]) -> Ran {
    sandbox.start(Path::new(PROGRAM), &[&["run"], words].concat())
}

/// What the program is given must be there, and nothing of ours.
fn has_its_own_and_nothing_else(ran: &Ran) {
    assert!(ran.stdout.contains(&format!("STITCH_API_KEY={SECRET}\n")), "{ran:?}");
    for ours in ["OP_", "STRONGROOM_", "DEV_INFRA", TOKEN] {
        assert!(!ran.stdout.contains(ours), "{ours}: {ran:?}");
    }
    assert!(!ran.stderr.contains(SECRET), "{ran:?}");
}

#[test]
fn the_registry_of_the_specification_starts_its_server_with_a_stand_in_for_op_and_npx() {
    let (sandbox, op) = stitch("");
    let ran = run(&sandbox, &["stitch", "--", "--more"]).ok();
    assert!(ran.stdout.starts_with("args: @anthropic/stitch-mcp --more\n"), "{ran:?}");
    has_its_own_and_nothing_else(&ran);
    assert!(ran.stderr.contains("`strongroom mcp pin stitch`"), "it is unpinned: {ran:?}");
    assert_eq!(op.calls().len(), 1);
    let again = run(&sandbox, &["stitch", "--quiet"]).ok();
    has_its_own_and_nothing_else(&again);
    assert_eq!(again.stderr, "");
    assert!(op.calls().is_empty(), "the second start asks nobody");
}

#[test]
fn what_is_not_trusted_is_not_started_and_starts_again_when_it_is() {
    let (sandbox, op) = stitch("");
    sandbox.write("infra/mcp-registry.json", &REGISTRY.replace("npx", "npx -y"));
    let refused = run(&sandbox, &["stitch"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("strongroom trust"), "{refused:?}");
    assert!(op.calls().is_empty());
    sandbox.run("trust infra/mcp-registry.json").ok();
    has_its_own_and_nothing_else(&run(&sandbox, &["stitch"]).ok());
}

#[test]
fn a_server_that_is_off_is_started_once_where_the_person_says_so() {
    let (sandbox, _op) = stitch("[servers.other]\ncommand = [\"echo\", \"started\"]\n");
    let off = run(&sandbox, &["other"]);
    assert_eq!(off.code, 3, "{off:?}");
    assert!(off.stderr.contains("strongroom mcp enable other"), "{off:?}");
    assert_eq!(run(&sandbox, &["other", "--once"]).ok().stdout, "started\n");
}

#[test]
fn nothing_of_a_secret_is_left_in_files_and_logs() {
    let (sandbox, _op) = stitch("");
    run(&sandbox, &["stitch"]).ok();
    let mut places = vec![sandbox.path("")];
    while let Some(place) = places.pop() {
        if place.is_dir() {
            places.extend(std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(bytes) = std::fs::read(&place) {
            let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(!found, "{place:?}");
        }
    }
    let logs = sandbox.run("logs --server stitch").ok();
    assert!(logs.stdout.contains("| stitch | 1 secret released"), "{logs:?}");
    assert_eq!(sandbox.run("logs --server nobody").ok().stdout, "");
}

#[test]
fn names_that_mean_something_to_a_shell_or_a_path_start_nothing() {
    let (sandbox, _op) = stitch("");
    for name in ["x; id", "../x", "$(id)", "a/b", "stitch\n", ""] {
        let ran = run(&sandbox, &["--", name]);
        assert_ne!(ran.code, 0, "{name:?}");
        let ran = run(&sandbox, &[name]);
        assert!(ran.code == 1 || ran.code == 2, "{name:?}: {ran:?}");
        assert!(!ran.stdout.contains("uid="), "{ran:?}");
    }
    assert_eq!(run(&sandbox, &["-rf"]).code, 2);
    // The same in an argument is a word like any other.
    let ran = run(&sandbox, &["stitch", "--", "x; id", "$(id)", "-rf"]).ok();
    assert!(ran.stdout.contains("@anthropic/stitch-mcp x; id $(id) -rf\n"), "{ran:?}");
}

#[test]
fn a_provider_that_is_gone_holds_up_no_start_until_what_is_kept_is_too_old_with_a_stand_in() {
    let (sandbox, op) = stitch("");
    run(&sandbox, &["stitch"]).ok();
    assert_eq!(op.calls().len(), 1);
    op.trouble(Trouble::Unreachable);
    has_its_own_and_nothing_else(&run(&sandbox, &["stitch"]).ok());
    assert!(op.calls().is_empty());

    // It has expired: the provider is asked, and what was kept stands in, with a warning.
    let config = sandbox.read(CONFIG);
    let cache = |lines: &str| sandbox.write(CONFIG, &format!("{config}\n[cache]\n{lines}\n"));
    cache("ttl = \"0s\"");
    let stale = run(&sandbox, &["stitch"]).ok();
    has_its_own_and_nothing_else(&stale);
    assert!(stale.stderr.contains(&format!("`{REFERENCE}` has expired and `op`")), "{stale:?}");
    assert_eq!(sandbox.run("secrets status").code, 3);

    // It is too old.
    cache("ttl = \"0s\"\nmax_stale = \"0s\"");
    let lost = run(&sandbox, &["stitch"]);
    assert_eq!(lost.code, 4, "{lost:?}");
    assert!(lost.stderr.contains("`stitch` was not started"), "{lost:?}");
    assert!(lost.stderr.contains(&format!("`STITCH_API_KEY`, from `{REFERENCE}`")), "{lost:?}");
    assert!(!lost.stdout.contains("args:"), "{lost:?}");
    assert_eq!(sandbox.run("secrets status").code, 4);
    assert_eq!(sandbox.run("secrets refresh").code, 4);
}

#[test]
fn a_token_that_is_gone_takes_nothing_away_of_what_is_kept_with_a_stand_in() {
    let (sandbox, op) = stitch("");
    run(&sandbox, &["stitch"]).ok();
    let config = sandbox.read(CONFIG);
    let token = "local://provider/op/token";
    sandbox.write(CONFIG, &config.replace(token, "file:///nonexistent/token"));
    let refreshed = sandbox.run("secrets refresh");
    assert_eq!(refreshed.code, 4, "{refreshed:?}");
    let said = "`op` cannot be used here: its own token cannot be had";
    assert!(refreshed.stderr.contains(said), "{refreshed:?}");
    op.calls();
    has_its_own_and_nothing_else(&run(&sandbox, &["stitch"]).ok());
    assert!(op.calls().is_empty());
}

#[test]
fn a_cache_that_cannot_be_written_is_warned_of_and_holds_nothing_up() {
    let (sandbox, op) = stitch("");
    // A file in the place of the directory: also root cannot write there.
    std::fs::remove_dir_all(sandbox.path(".cache/strongroom")).unwrap();
    sandbox.write(".cache/strongroom", "");
    std::fs::remove_dir_all(sandbox.path(".local/state/strongroom/audit")).unwrap();
    sandbox.write(".local/state/strongroom/audit", "");
    let ran = run(&sandbox, &["stitch"]).ok();
    has_its_own_and_nothing_else(&ran);
    assert!(ran.stderr.contains(".cache/strongroom` is not safe to use"), "{ran:?}");
    assert!(ran.stderr.contains("the audit has no record"), "{ran:?}");
    assert_eq!(op.calls().len(), 1);
    // Whoever wants no start without a record says so.
    let config = sandbox.read(CONFIG);
    sandbox.write(CONFIG, &format!("{config}\n[audit]\non_failure = \"refuse\"\n"));
    let refused = run(&sandbox, &["stitch"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(!refused.stdout.contains("args:"));
}

/// Starts the server fifty times at once; each has its secret.
fn fifty_starts(sandbox: &Sandbox) {
    let children: Vec<_> = (0..50).map(|_| sandbox.child(&["run", "stitch", "--quiet"])).collect();
    for mut child in children {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut child.stdout().unwrap(), &mut text).unwrap();
        assert!(text.contains(SECRET), "{text}");
    }
}

#[test]
fn fifty_starts_at_once_without_a_cache_ask_once_with_a_stand_in() {
    let (sandbox, op) = stitch("");
    fifty_starts(&sandbox);
    assert_eq!(op.calls().len(), 1);
}

#[test]
fn fifty_starts_at_once_on_an_expired_cache_ask_once_with_a_stand_in() {
    let (sandbox, op) = stitch("");
    fetch(&sandbox, Duration::from_hours(5));
    assert_eq!(op.calls().len(), 1);
    let status = sandbox.run("secrets status --json");
    assert_eq!((status.code, &status.json()["secrets"][0]["state"]), (3, &"stale".into()));
    fifty_starts(&sandbox);
    assert_eq!(op.calls().len(), 1);
    assert_eq!(sandbox.run("secrets status --json").ok().json()["secrets"][0]["state"], "fresh");
}

/// Fetches the secret into the sandbox's cache, as it would have been done this long ago.
fn fetch(sandbox: &Sandbox, ago: Duration) {
    struct Ago(SystemClock, Duration);
    impl Clock for Ago {
        fn now(&self) -> SystemTime {
            self.0.now() - self.1
        }

        fn monotonic(&self) -> Duration {
            self.0.monotonic()
        }
    }
    let host = Host {
        arguments: Vec::new(),
        environment: sandbox.environment(),
        program: PROGRAM.into(),
        directory: sandbox.path(""),
        terminals: Terminals::default(),
        clock: Arc::new(Ago(SystemClock::new(), ago)),
    };
    let home = host.home().ok().unwrap();
    let config = Config::load_without_services(&home).unwrap();
    let supply = supply::open(&host, &home, &config, &sandbox.path(""));
    let done = supply.refresh(&[REFERENCE.parse().unwrap()], How::All).done;
    assert!(done[0].outcome.is_ok(), "{done:?}");
}

// LM-02, LM-12
#[cfg(target_os = "linux")]
#[test]
fn a_started_process_has_its_own_secret_in_its_environment_and_nowhere_else_and_nothing_of_ours() {
    let (sandbox, _op) = stitch("");
    let sandbox = sandbox.with("OP_SERVICE_ACCOUNT_TOKEN", TOKEN).with("VAULT_TOKEN", "canary-v");
    let sandbox = sandbox.with("STRONGROOM_PASSPHRASE", "canary-s").with("MY_OWN", "canary-m");
    sandbox.write("bin/npx", "#!/bin/sh\necho ready\nread line\n");
    // Whoever looks at the table of processes sees the launcher first, and then what it became.
    for _ in 0..2 {
        let mut child = sandbox.child(&["run", "stitch", "--quiet", "--", "--more"]);
        let mut ready = [0; 6];
        std::io::Read::read_exact(&mut child.stdout().unwrap(), &mut ready).unwrap();
        let of = |file: &str| {
            let bytes = std::fs::read(format!("/proc/{}/{file}", child.id())).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            text.split_terminator('\0').map(str::to_owned).collect::<Vec<_>>()
        };
        let npx = sandbox.path("bin/npx").display().to_string();
        assert_eq!(of("cmdline"), ["/bin/sh", &npx, "@anthropic/stitch-mcp", "--more"]);
        let path = format!("PATH={}:/usr/bin:/bin", sandbox.path("bin").display());
        let mut expected = [
            format!("HOME={}", sandbox.path("").display()),
            path,
            format!("STITCH_API_KEY={SECRET}"),
            format!("XDG_RUNTIME_DIR={}", sandbox.path("no-session").display()),
        ];
        let mut environment = of("environ");
        environment.sort();
        expected.sort();
        assert_eq!(environment, expected, "and nothing else");
        let secrets = [("the secret", SECRET.as_bytes()), ("the token", TOKEN.as_bytes())];
        assert_eq!(Oracle::new(&secrets).scan_command_lines(), []);
        drop(child.stdin());
        assert_eq!(child.wait().unwrap().code(), Some(1), "`read` has met the end");
    }
}

#[test]
fn a_runtime_secret_is_asked_for_at_each_start_and_kept_nowhere() {
    let server = format!(
        "[servers.now]\ncommand = \"env\"\ndelivery = \"runtime\"\nenv = {{ K = \"{REFERENCE}\" }}\n"
    );
    let (sandbox, op) = stitch(&server);
    for _ in 0..2 {
        let ran = run(&sandbox, &["now", "--once"]).ok();
        assert!(ran.stdout.contains(&format!("K={SECRET}\n")), "{ran:?}");
        assert_eq!(op.calls().len(), 1);
    }
    assert!(!sandbox.path(".cache/strongroom/secrets.enc").exists());
}

#[test]
fn a_file_of_variables_is_written_closed_to_others_and_read_only_then() {
    let server = format!(
        "[servers.filed]\ncommand = \"env\"\ndelivery = \"env-file\"\nenv = {{ K = \"{REFERENCE}\" }}\n"
    );
    let (sandbox, op) = stitch(&server);
    let config = sandbox.read(CONFIG).replace("[\"stitch\"]", "[\"stitch\", \"filed\"]");
    sandbox.write(CONFIG, &config);
    let missing = run(&sandbox, &["filed"]);
    assert_eq!(missing.code, 4, "{missing:?}");
    assert!(missing.stderr.contains("strongroom env filed --write"), "{missing:?}");
    assert_eq!(sandbox.run("env filed").ok().stdout, "K\n");

    sandbox.write(".env.local", "# mine\nOTHER=1\nK=old\n");
    let wrote = sandbox.run("env filed --write").ok();
    assert!(!wrote.stdout.contains(SECRET) && wrote.stderr.contains("plain text"), "{wrote:?}");
    assert_eq!(sandbox.read(".env.local"), format!("# mine\nOTHER=1\nK={SECRET}\n"));
    assert_eq!(sandbox.mode(".env.local"), 0o600);
    assert_eq!(sandbox.read(".gitignore"), "/.env.local\n");

    // The cache has a newer one: the file is used all the same, and the person is told.
    let newer = "the cache has newer secrets of `filed` than";
    let file = std::fs::File::options().append(true).open(sandbox.path(".env.local")).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.set_modified(written - Duration::from_hours(1)).unwrap();
    op.put(REFERENCE, "canary-of-today");
    sandbox.run("secrets refresh").ok();
    let older = run(&sandbox, &["filed"]).ok();
    assert!(older.stdout.contains(&format!("K={SECRET}\n")), "{older:?}");
    assert!(older.stderr.contains(newer), "{older:?}");
    assert!(older.stderr.contains("run `strongroom env filed --write`"), "{older:?}");
    assert!(!older.stderr.contains("canary"), "{older:?}");
    sandbox.run("env filed --write").ok();
    let written = run(&sandbox, &["filed"]).ok();
    assert!(written.stdout.contains("K=canary-of-today\n"), "{written:?}");
    assert!(!written.stderr.contains(newer), "{written:?}");

    op.trouble(Trouble::Unreachable);
    let ran = run(&sandbox, &["filed"]).ok();
    assert!(ran.stdout.contains("K=canary-of-today\n"), "{ran:?}");
    assert!(!ran.stdout.contains("OTHER"), "only what it declares: {ran:?}");
    sandbox.chmod(".env.local", 0o644);
    let open = run(&sandbox, &["filed"]);
    assert_eq!(open.code, 4, "{open:?}");
}

#[test]
fn a_damaged_record_of_failures_holds_nothing_up() {
    let (sandbox, _op) = stitch("");
    let file = ".cache/strongroom/attempts.json";
    let far = u64::MAX;
    sandbox.write(
        file,
        &format!(
            "{{\"references\": {{\"{REFERENCE}\": {{\"at\": {far}, \"kind\": \"denied\"}}}}}}"
        ),
    );
    sandbox.chmod(file, 0o600);
    sandbox.chmod(".cache/strongroom", 0o700);
    let status = sandbox.run("secrets status");
    assert!(status.stdout.contains(REFERENCE), "{status:?}");
    assert!(!status.stderr.contains("panicked"), "{status:?}");
    has_its_own_and_nothing_else(&run(&sandbox, &["stitch"]).ok());
}

// SC-04
#[test]
fn a_link_in_a_project_takes_secrets_nowhere_unseen() {
    use std::os::unix::fs::symlink;

    let server = format!("[servers.filed]\ncommand = \"env\"\nenv = {{ K = \"{REFERENCE}\" }}\n");
    let (sandbox, _op) = stitch(&server);
    let config = sandbox.read(CONFIG).replace("[\"stitch\"]", "[\"stitch\", \"filed\"]");
    sandbox.write(CONFIG, &config);
    sandbox.write("public/env.txt", "");
    symlink(sandbox.path("public/env.txt"), sandbox.path(".env.local")).unwrap();
    let wrote = sandbox.run("env filed --write").ok();
    assert!(wrote.stderr.contains("public/env.txt"), "{wrote:?}");
    assert_eq!(sandbox.read("public/.gitignore"), "/env.txt\n", "git ignores what was written");

    // A line that takes the ignoring back is taken back itself; and a `.gitignore` that git does not
    // read is no protection.
    sandbox.write("b/.gitignore", "env\n!env\n");
    sandbox.run("env filed --write b/env").ok();
    assert_eq!(sandbox.read("b/.gitignore"), "env\n!env\n/env\n");
    sandbox.write("c/other", "env\n");
    symlink("other", sandbox.path("c/.gitignore")).unwrap();
    let refused = sandbox.run("env filed --write c/env");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(!sandbox.path("c/env").exists());
}

#[test]
fn the_doctor_looks_at_the_caches_of_projects_and_at_what_fails_in_them() {
    let (sandbox, op) = stitch("");
    let config = sandbox.read(CONFIG);
    let cache = |lines: &str| sandbox.write(CONFIG, &format!("{config}\n[cache]\n{lines}\n"));
    cache("scope = \"project\"\nttl = \"0s\"");
    run(&sandbox, &["stitch", "--quiet"]).ok();
    op.trouble(Trouble::Unreachable);
    assert_eq!(sandbox.run("secrets refresh --due").code, 4);
    // From here on it is a cache of another project than ours.
    cache("scope = \"user\"");
    let doctor = sandbox.run("doctor").stdout;
    let line = |about: &str| {
        let found = doctor.lines().find(|line| line.contains(about));
        found.unwrap_or_else(|| panic!("{about}: {doctor}")).to_owned()
    };
    assert!(line("caches of projects").contains("open: 1"), "{doctor}");
    assert!(line("`op` has failed").contains("1 time in a row"), "{doctor}");
    let names = sandbox.names(".cache/strongroom");
    let project = names.iter().find(|name| name.starts_with("project-")).unwrap();
    let file = format!(".cache/strongroom/{project}/secrets.enc");
    sandbox.write(&file, "x");
    sandbox.chmod(&file, 0o600);
    let doctor = sandbox.run("doctor").stdout;
    assert!(doctor.contains(&file), "{doctor}");
    assert!(doctor.contains("run `strongroom secrets refresh` in that project"), "{doctor}");
}

// SC-04
#[test]
fn a_file_that_git_tracks_gets_no_secrets() {
    let server = format!("[servers.filed]\ncommand = \"env\"\nenv = {{ K = \"{REFERENCE}\" }}\n");
    let (sandbox, op) = stitch(&server);
    let config = sandbox.read(CONFIG).replace("[\"stitch\"]", "[\"stitch\", \"filed\"]");
    sandbox.write(CONFIG, &config);
    let git = |words: &str| {
        sandbox.start(Path::new("/usr/bin/git"), &words.split(' ').collect::<Vec<_>>()).ok();
    };
    git("init --quiet p");
    // What a project says that git is to start is not started.
    let hook = sandbox.write("hook", "#!/bin/sh\ntouch \"$HOME/started\"\n");
    executable(&hook);
    git(&format!("-C p config core.fsmonitor {}", hook.display()));
    sandbox.write("p/.env.local", "K=\n");
    git("-C p -c core.fsmonitor=false add .env.local");
    let refused = sandbox.run("env filed --write p/.env.local");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("git tracks") && refused.stderr.contains("git rm --cached"));
    assert_eq!((sandbox.read("p/.env.local").as_str(), op.calls().len()), ("K=\n", 0));
    assert!(!sandbox.path("started").exists());
    git("-C p -c core.fsmonitor=false rm --quiet --cached .env.local");
    sandbox.run("env filed --write p/.env.local").ok();
    assert_eq!(sandbox.read("p/.env.local"), format!("K={SECRET}\n"));
}

#[test]
fn a_project_that_hides_a_server_of_the_user_is_told_of_where_it_is_not_trusted() {
    let (sandbox, _op) = stitch("");
    // The registry that `$DEV_INFRA` names is trusted; the project has a server of the same name.
    sandbox.write("strongroom.toml", "[servers.stitch]\ncommand = \"evil\"\n");
    let hidden = run(&sandbox, &["stitch"]);
    assert_eq!(hidden.code, 3, "{hidden:?}");
    let said =
        "you have not trusted; it hides the server of the same name from `~/infra/mcp-regist";
    assert!(hidden.stderr.contains(said), "{hidden:?}");
    assert!(hidden.stderr.contains("outside of this project"), "{hidden:?}");
    let doctor = sandbox.run("doctor").stdout;
    assert!(doctor.contains("it hides the one from `~/infra/mcp-registry.json`"), "{doctor}");
    // A name that hides nothing is said to hide nothing.
    sandbox.write("strongroom.toml", "[servers.alone]\ncommand = \"evil\"\n");
    has_its_own_and_nothing_else(&run(&sandbox, &["stitch"]).ok());
    let alone = run(&sandbox, &["alone"]);
    assert!(alone.code == 3 && !alone.stderr.contains("hides"), "{alone:?}");
}

// LM-12
#[test]
fn a_program_of_the_directory_that_one_is_in_gets_no_secrets_of_the_users_servers() {
    let servers = "[servers.here]\ncommand = \"./server\"\n\
        [servers.there]\ncommand = \"./server\"\ncwd = \"/bin\"\n";
    let (sandbox, _op) = stitch(servers);
    executable(&sandbox.write("server", "#!/bin/sh\necho started\n"));
    let refused = run(&sandbox, &["here", "--once"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused:?}");
    assert!(refused.stderr.contains("absolute path"), "{refused:?}");
    let elsewhere = run(&sandbox, &["there", "--once"]);
    assert!(elsewhere.stderr.contains("`/bin/./server`"), "{elsewhere:?}");
    let added = sandbox.run("mcp add x -- ./server");
    assert_eq!(added.code, 1, "{added:?}");
    // What a project brings along is started in it, once it is trusted.
    sandbox.write("strongroom.toml", "[servers.ours]\ncommand = \"./server\"\n");
    sandbox.run("trust strongroom.toml").ok();
    assert_eq!(run(&sandbox, &["ours", "--once"]).ok().stdout, "started\n");
}

#[test]
fn a_stored_secret_is_released_to_its_own_server_and_to_no_other() {
    let servers = "[servers.mine]\ncommand = \"env\"\nenv = { K = \"local://mine/key\" }\n\
        [servers.theirs]\ncommand = \"env\"\nenv = { K = \"local://mine/key\" }\n";
    let (sandbox, _op) = stitch(servers);
    sandbox.feed(&["secrets", "set", "mine/key", "--key-stdin"], "canary-mine\n").ok();
    let listed = sandbox.run("secrets list").ok();
    let row = listed.stdout.lines().find(|line| line.starts_with("local://mine/key")).unwrap();
    assert!(row.contains("  for launch:mine  version 1"), "{listed:?}");
    let ran = run(&sandbox, &["mine", "--once"]).ok();
    assert!(ran.stdout.contains("K=canary-mine\n"), "{ran:?}");
    let denied = run(&sandbox, &["theirs", "--once"]);
    assert_eq!(denied.code, 3, "{denied:?}");
    assert!(!denied.stdout.contains("canary") && !denied.stderr.contains("canary"));
    let tested = sandbox.run("secrets test local://mine/key").ok();
    assert_eq!(tested.stdout, "local://mine/key  ok\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_is_started_with_core_files_off() {
    let server = "[servers.limits]\ncommand = [\"cat\", \"/proc/self/limits\"]\n";
    let (sandbox, _op) = stitch(server);
    let ran = run(&sandbox, &["limits", "--once"]).ok();
    let core = ran.stdout.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
