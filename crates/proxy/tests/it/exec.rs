//! Programs run for agents: what they get, what they may use, and that nothing of them remains.

use std::collections::BTreeMap;
use std::fs;
use std::future::pending;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strongroom_model::approval::Answer;
use strongroom_model::audit::Kind;
use strongroom_model::call::{Exec, Executed, Ran};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::command::{self, Command, Policy, Program, Rule, Value};
use strongroom_model::lock::Locks;
use strongroom_model::policy::Verdict;
use strongroom_model::ports::{BoxFuture, Calls as _, Registry};
use strongroom_model::service::Catalog;
use strongroom_proxy::exec::fingerprint;
use strongroom_proxy::{Broker, Ground, Parts};
use strongroom_testkit::canary::K1;
use strongroom_testkit::fakes::{
    FakeClock, FakeDns, FakeSwitch, MemoryApprovals, MemoryAudit, StaticCredentials, auth, caller,
};
use strongroom_testkit::oracle::Oracle;

struct Rig {
    broker: Arc<Broker>,
    audit: Arc<MemoryAudit>,
    switch: Arc<FakeSwitch>,
    approvals: Arc<MemoryApprovals>,
    home: tempfile::TempDir,
}

struct Only(Arc<Catalog>);

impl Registry for Only {
    fn current(&self) -> Arc<Catalog> {
        Arc::clone(&self.0)
    }
}

/// A service of the program at `path`, with the secret in `TOKEN`.
fn service(path: &str, rules: &[(Verdict, &str)]) -> Command {
    let found = fingerprint(Path::new(path)).unwrap();
    let word = Path::new(path).file_name().unwrap().to_str().unwrap().to_owned();
    let rules = rules.iter().map(|(verdict, rule)| Rule::parse(*verdict, &word, rule).unwrap());
    Command {
        name: "tool".parse().unwrap(),
        policy: Policy::new(rules.collect()),
        program: Program { path: found.path, sha256: found.sha256, word },
        auth: auth("tool", "secrets", &["token"]),
        env: vec![
            ("TOKEN".into(), Value::parse("{{token}}", &["token"]).unwrap()),
            ("MODE".into(), Value::parse("plain", &[]).unwrap()),
        ],
        askpass: None,
        workdir: None,
        stdin: true,
        limits: command::limits(),
        principals: None,
        revision: 1,
    }
}

/// `/bin/sh`, of which scripts are allowed.
fn shell() -> Command {
    service("/bin/sh", &[(Verdict::Allow, "sh -c *"), (Verdict::Deny, "sh -c forbidden")])
}

impl Rig {
    fn new(command: Command) -> Self {
        let home = tempfile::tempdir().unwrap();
        let audit = Arc::new(MemoryAudit::default());
        let switch = Arc::new(FakeSwitch::default());
        let commands = BTreeMap::from([(command.name.clone(), Arc::new(command))]);
        let clock = Arc::new(FakeClock::default());
        let approvals = Arc::new(MemoryApprovals::new(clock.clone()));
        let broker = Broker::new(Parts {
            approvals: approvals.clone(),
            dialog: None,
            lacking: None,
            approval_wait: Duration::ZERO,
            registry: Arc::new(Only(Arc::new(Catalog { commands, ..Catalog::default() }))),
            credentials: Arc::new(StaticCredentials::new(&[("local://tool/token", K1)])),
            audit: audit.clone(),
            switch: switch.clone(),
            clock,
            dns: Arc::new(FakeDns::default()),
            calls_at_once: Parts::CALLS_AT_ONCE,
            exchange: None,
            ground: Ground {
                env: vec![
                    ("TZ".into(), "UTC".into()),
                    ("LD_PRELOAD".into(), "canary".into()),
                    ("GIT_SSH_COMMAND".into(), "canary".into()),
                    ("BASH_ENV".into(), "canary".into()),
                ],
                ..Ground::bare(home.path().join("exec"))
            },
        });
        Self { broker: Arc::new(broker), audit, switch, approvals, home }
    }

    async fn call(&self, words: &[&str], stdin: Vec<u8>, cancel: BoxFuture<'_, ()>) -> Executed {
        let command = words.iter().map(|word| (*word).to_owned()).collect();
        let call = Exec { service: "tool".into(), command, stdin, reason: None };
        let executed = self.broker.exec(&caller("default"), call, cancel).await;
        // Whatever came of it, no folder is left and no secret got out.
        let left = fs::read_dir(self.home.path().join("exec")).map(Iterator::count);
        assert_eq!(left.unwrap_or(0), 0, "{words:?}");
        Oracle::of_canaries().assert_clean("the answer", format!("{executed:?}"));
        Oracle::of_canaries().assert_clean("the audit", format!("{:?}", self.audit.records()));
        executed
    }

    async fn run(&self, words: &[&str]) -> Ran {
        self.call(words, Vec::new(), Box::pin(pending())).await.result.unwrap()
    }

    async fn script(&self, script: &str) -> Ran {
        self.run(&["sh", "-c", script]).await
    }

    async fn refused(&self, words: &[&str]) -> Refusal {
        self.call(words, Vec::new(), Box::pin(pending())).await.result.unwrap_err()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }
}

fn text(ran: &Ran) -> &str {
    ran.stdout.text().unwrap()
}

/// Whether a process of this id runs; one that has ended and that nobody has waited for does not.
fn runs(id: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", id.trim()));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

/// The ids that a script wrote into `file`, none of which runs.
async fn assert_ended(file: &Path) {
    let ids = fs::read_to_string(file).unwrap();
    assert!(ids.lines().count() > 0, "{ids}");
    for id in ids.lines() {
        for _ in 0..500 {
            if !runs(id) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!runs(id), "{id} of {ids:?}");
    }
}

// LM-15
#[tokio::test]
async fn a_program_gets_what_was_written_down_for_it_and_nothing_of_ours() {
    let rig = Rig::new(shell());
    let ran = rig.script("tr '\\0' '\\n' < /proc/$$/environ").await;
    let lines: Vec<&str> = text(&ran).lines().collect();
    let names: Vec<&str> = lines.iter().map(|line| line.split('=').next().unwrap()).collect();
    let expected = [
        "TZ",
        "PATH",
        "LC_ALL",
        "TERM",
        "NO_COLOR",
        "PAGER",
        "EDITOR",
        "GIT_TERMINAL_PROMPT",
        "GH_PROMPT_DISABLED",
        "GH_NO_UPDATE_NOTIFIER",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_CONFIG_GLOBAL",
        "GIT_ALLOW_PROTOCOL",
        "GIT_CONFIG_COUNT",
        "TOKEN",
        "MODE",
        "HOME",
        "TMPDIR",
        "GIT_ASKPASS",
        "SSH_ASKPASS",
    ];
    let names: std::collections::BTreeSet<_> =
        names.into_iter().filter(|n| !n.contains("_KEY_") && !n.contains("_VALUE_")).collect();
    assert_eq!(names, expected.into());
    assert!(lines.contains(&"TOKEN=[REDACTED:tool]") && lines.contains(&"MODE=plain"), "{lines:?}");
    assert!(lines.contains(&"GIT_ALLOW_PROTOCOL=https") && lines.contains(&"GIT_ASKPASS="));
    assert_eq!(ran.redactions, 1);

    let _open = fs::File::open("/dev/zero").unwrap();
    let ran =
        rig.script("echo $HOME; stat -c %a $HOME; pwd; ls -A . $HOME; ls -l /proc/$$/fd").await;
    let lines: Vec<&str> = text(&ran).lines().collect();
    let ours = rig.path("exec");
    assert!(Path::new(lines[0]).starts_with(&ours) && Path::new(lines[2]).starts_with(&ours));
    assert_eq!(lines[1], "700");
    assert_eq!((lines[3], lines[5]), (".:", &*format!("{}:", lines[0])), "both are empty");
    assert!(!text(&ran).contains("/dev/zero"), "{lines:?}");
}

#[tokio::test]
async fn a_handle_means_nothing_to_a_program_and_is_refused() {
    let rig = Rig::new(shell());
    let handle = format!("srh_{}", "0123456789abcdef".repeat(2));
    let refused = rig.refused(&["sh", "-c", &format!("echo {handle}")]).await;
    assert_eq!(refused.code, Code::PolicyDenied);
    let words = ["sh", "-c", "cat"];
    let given = rig.call(&words, handle.clone().into(), Box::pin(pending())).await;
    assert_eq!(given.result.unwrap_err().code, Code::PolicyDenied);
    let refusals = rig.audit.records().iter().filter(|record| record.kind == Kind::Refusal).count();
    assert_eq!(refusals, 2);

    let given = rig.call(&words, handle[..35].into(), Box::pin(pending())).await;
    assert_eq!(text(&given.result.unwrap()), &handle[..35]);
}

#[tokio::test]
async fn how_a_program_ended_is_an_answer() {
    let rig = Rig::new(shell());
    let ran = rig.script("echo out; echo err >&2; exit 7").await;
    assert_eq!((ran.exit_code, ran.signal), (7, None));
    assert_eq!((text(&ran), ran.stderr.text()), ("out\n", Some("err\n")));
    let ran = rig.script("kill -9 $$").await;
    assert_eq!((ran.exit_code, ran.signal), (137, Some(9)));
    let [_, first, _, second] = &*rig.audit.take() else { panic!() };
    assert_eq!((first.status, second.status), (Some(7), Some(137)));
}

#[tokio::test]
async fn secrets_are_found_in_both_outputs_and_in_every_form() {
    let rig = Rig::new(shell());
    let ran = rig.script("printf %s \"$TOKEN\"; printf %s \"$TOKEN\" | base64 -w0 >&2").await;
    assert_eq!((text(&ran), ran.stderr.text().unwrap()), ("[REDACTED:tool]", "[REDACTED:tool]"));
    assert_eq!(ran.redactions, 2);
    let ran = rig.script("printf '\\000\\377'; printf %s \"$TOKEN\"").await;
    assert!(ran.stdout.get().starts_with(&[0, 255]) && ran.redactions == 1);
}

#[tokio::test]
async fn standard_input_never_hurts_whether_it_is_read_or_not() {
    let five = vec![b'x'; 5_000_000];
    let rig = Rig::new(service("/bin/true", &[(Verdict::Allow, "true")]));
    let ran = rig.call(&["true"], five.clone(), Box::pin(pending())).await.result.unwrap();
    assert_eq!((ran.exit_code, text(&ran)), (0, ""));

    let mut counts = service("/usr/bin/wc", &[(Verdict::Allow, "wc -c")]);
    counts.limits.request_bytes = five.len();
    let rig = Rig::new(counts);
    let mut six = five.clone();
    let ran = rig.call(&["wc", "-c"], five, Box::pin(pending())).await.result.unwrap();
    assert_eq!(text(&ran), "5000000\n");
    six.push(b'x');
    let refused = rig.call(&["wc", "-c"], six, Box::pin(pending())).await.result.unwrap_err();
    assert_eq!(refused.code, Code::InvalidRequest);

    // What is printed while nobody has read the input yet.
    let rig = Rig::new(Command {
        limits: strongroom_model::service::Limits { response_bytes: 20 << 20, ..command::limits() },
        ..service("/bin/cat", &[(Verdict::Allow, "cat")])
    });
    let ten = vec![b'y'; 10 << 20];
    let ran = rig.call(&["cat"], ten, Box::pin(pending())).await.result.unwrap();
    assert_eq!(ran.stdout.get().len(), 10 << 20);
}

// RX-10
#[tokio::test]
async fn a_flood_is_cut_and_its_whole_group_ended() {
    for flood in ["yes", "yes >&2", "head -c 1000000000 /dev/zero", "yes & yes"] {
        let rig = Rig::new(shell());
        let pids = rig.path("pids");
        let script = format!("echo $$ > {}; {flood}", pids.display());
        let refusal = rig.refused(&["sh", "-c", &script]).await;
        assert_eq!(refusal.code, Code::ResponseTooLarge, "{flood}");
        assert_ended(&pids).await;
    }
}

// LM-18
#[tokio::test]
async fn a_program_that_ignores_the_end_is_ended_with_its_children_when_its_time_is_over() {
    let mut command = shell();
    command.limits.total_ms = 300;
    let rig = Rig::new(command);
    let pids = rig.path("pids");
    let script = format!(
        "trap '' TERM; sleep 600 & echo $! > {0}; (trap '' TERM; sleep 601 & echo $! >> {0}; wait) & \
         echo $! >> {0}; echo $$ >> {0}; wait; sleep 602",
        pids.display()
    );
    let refusal = rig.refused(&["sh", "-c", &script]).await;
    assert_eq!(refusal.code, Code::UpstreamTimeout);
    assert_ended(&pids).await;
    // One that ends by itself leaves nothing behind either.
    let script = format!("sleep 600 & echo $! > {}", pids.display());
    assert_eq!(rig.script(&script).await.exit_code, 0);
    assert_ended(&pids).await;
}

#[tokio::test]
async fn a_program_ends_when_its_caller_is_gone() {
    let rig = Rig::new(shell());
    let pids = rig.path("pids");
    let script = format!("echo $$ > {}; sleep 600", pids.display());
    let started = async {
        while fs::read(&pids).unwrap_or_default().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let words = ["sh", "-c", &script];
    let executed = rig.call(&words, Vec::new(), Box::pin(started)).await;
    assert_eq!(executed.result.unwrap_err().code, Code::UpstreamError);
    assert_ended(&pids).await;
    assert_eq!(rig.audit.take().last().unwrap().kind, Kind::Outcome);

    // Also where whoever ran it just stops.
    fs::remove_file(&pids).unwrap();
    let call = rig.call(&words, Vec::new(), Box::pin(pending()));
    let started = async {
        while fs::read(&pids).unwrap_or_default().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = call => panic!("it does not end"),
        () = started => {}
    }
    assert_ended(&pids).await;
}

#[tokio::test]
async fn every_run_is_recorded_before_it_begins_and_when_it_is_over() {
    let rig = Rig::new(shell());
    let secret = format!("echo {K1}; exit 3");
    rig.script(&secret).await;
    let [intent, outcome] = &*rig.audit.take() else { panic!() };
    assert_eq!((intent.kind, outcome.kind), (Kind::Intent, Kind::Outcome));
    assert_eq!(intent.audit_id, outcome.audit_id);
    assert_eq!(intent.method.as_deref(), Some("exec"));
    assert_eq!(intent.path.as_deref(), Some("sh -c 'echo [REDACTED:tool]; exit 3'"));
    assert_eq!(intent.rule.as_deref(), Some("sh -c *"));
    assert_eq!((outcome.status, outcome.response_bytes), (Some(3), Some(K1.len() as u64 + 1)));

    for (words, code) in [
        (&["sh", "-c", "forbidden"][..], Code::PolicyDenied),
        (&["sh", "script"], Code::PolicyDenied),
        (&["./sh", "-c", "id"], Code::InvalidRequest),
        (&["/bin/sh", "-c", "id"], Code::InvalidRequest),
        (&["/opt/x/sh", "-c", "id"], Code::InvalidRequest),
        (&[], Code::InvalidRequest),
    ] {
        assert_eq!(rig.refused(words).await.code, code, "{words:?}");
        let [record] = &*rig.audit.take() else { panic!() };
        assert_eq!((record.kind, record.code), (Kind::Refusal, Some(code)));
    }

    rig.audit.fail(true);
    let mark = rig.path("mark");
    let script = format!("touch {}", mark.display());
    assert_eq!(rig.refused(&["sh", "-c", &script]).await.code, Code::AuditUnavailable);
    assert!(!mark.exists());
    rig.audit.fail(false);
    rig.switch.change(|locks| *locks = Locks::unreadable());
    assert_eq!(rig.refused(&["sh", "-c", &script]).await.code, Code::Locked);
    assert!(!mark.exists());
    rig.switch.change(|locks| *locks = Locks::default());
    rig.script(&script).await;
    assert!(mark.exists());
}

#[tokio::test]
async fn runs_count_towards_the_limits_of_their_service() {
    let mut command = shell();
    command.limits.calls_per_minute = 2;
    let rig = Rig::new(command);
    for _ in 0..2 {
        rig.script("true").await;
    }
    let refusal = rig.refused(&["sh", "-c", "true"]).await;
    assert_eq!((refusal.code, refusal.retry_after_s), (Code::RateLimited, Some(30)));
}

// LM-15
#[tokio::test]
async fn a_program_that_is_not_what_was_approved_is_not_started() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let make = |name: &str, from: &str| {
        fs::copy(from, at(name)).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    make("tool", "/bin/echo");
    let command = service(at("tool").to_str().unwrap(), &[(Verdict::Allow, "tool *")]);
    let rig = Rig::new(command);
    assert_eq!(text(&rig.run(&["tool", "fine"]).await), "fine\n");
    // Touched, and the same.
    fs::rename(at("tool"), at("old")).unwrap();
    make("tool", "/bin/echo");
    assert_eq!(text(&rig.run(&["tool", "fine"]).await), "fine\n");

    let changes: [(&str, &dyn Fn()); 5] = [
        ("one byte", &|| {
            let mut bytes = fs::read("/bin/echo").unwrap();
            bytes.push(0);
            fs::write(at("tool"), bytes).unwrap();
        }),
        ("a script", &|| fs::write(at("tool"), "#!/bin/sh\necho gotcha").unwrap()),
        ("a link to itself", &|| symlink(at("old"), at("tool")).unwrap()),
        ("a folder", &|| fs::create_dir(at("tool")).unwrap()),
        ("nothing", &|| {}),
    ];
    for (what, change) in changes {
        fs::remove_file(at("tool")).or_else(|_| fs::remove_dir(at("tool"))).unwrap_or_default();
        change();
        if at("tool").is_file() && what != "a link to itself" {
            fs::set_permissions(at("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let refusal = rig.refused(&["tool", "fine"]).await;
        assert_eq!(refusal.code, Code::IntegrityError, "{what}");
    }
}

#[tokio::test]
async fn a_script_runs_by_its_path_and_a_link_is_followed_when_it_is_approved() {
    let folder = tempfile::tempdir().unwrap();
    let (script, link) = (folder.path().join("real.sh"), folder.path().join("tool"));
    fs::write(&script, "#!/bin/sh\necho \"$0: $1\"").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    symlink(&script, &link).unwrap();
    let command = service(link.to_str().unwrap(), &[(Verdict::Allow, "tool *")]);
    assert_eq!(command.program.path, script.canonicalize().unwrap());
    let rig = Rig::new(command);
    let ran = rig.run(&["tool", "a b"]).await;
    assert_eq!(text(&ran), format!("{}: a b\n", script.canonicalize().unwrap().display()));
    // What the link leads to later is no matter.
    fs::remove_file(&link).unwrap();
    symlink("/bin/false", &link).unwrap();
    assert_eq!(rig.run(&["tool", "x"]).await.exit_code, 0);
}

// DE-03
#[tokio::test]
async fn a_person_is_asked_for_these_words_and_this_input_and_no_other() {
    let rules = [(Verdict::Allow, "sh -c *"), (Verdict::Ask, "sh -c 'echo asked'")];
    let rig = Rig::new(service("/bin/sh", &rules));
    let words = ["sh", "-c", "echo asked"];
    assert_eq!(rig.refused(&words).await.code, Code::ApprovalDenied);
    let question = rig.approvals.entries().remove(0);
    assert_eq!(question.question.what, "run sh -c 'echo asked'");
    assert!(rig.approvals.answer_at_terminal(&question.id, Answer::Once));
    let other = rig.call(&words, b"x".to_vec(), Box::pin(pending())).await;
    assert_eq!(other.result.unwrap_err().code, Code::ApprovalDenied);
    rig.audit.take();
    assert_eq!(text(&rig.run(&words).await), "asked\n");
    let intent = rig.audit.take().into_iter().find(|record| record.kind == Kind::Intent).unwrap();
    assert_eq!((intent.approval, intent.grant), (Some("cli"), Some(question.id)));
    assert_eq!(rig.refused(&words).await.code, Code::ApprovalDenied);
}
