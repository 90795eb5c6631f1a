//! The whole flow with a window program that is a stand-in and speaks the true protocol.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use strongroom_sdk::{BoxFuture, Context, Elicitation, Elicited, Manager, SecretsInfo};
use strongroom_seal::{hex, sha256};
use strongroom_testkit::secret_service::SecretService;
use tempfile::TempDir;

use crate::session::{surroundings, text};

#[tokio::test]
async fn what_is_filled_in_at_a_stand_in_is_in_the_keyring() {
    let room = Room::new();
    let client = Client::says(&[Elicited::Accepted(None)]);
    let (ok, message) = room.manager.fetch(&client, &info("answer")).await;
    assert_eq!((ok, message.as_str()), (true, "Stored 2 secrets"));
    assert_eq!(room.lookup("user").as_deref(), Some("value of user"));
    assert_eq!(room.lookup("key").as_deref(), Some("value of key"));
    assert!(room.manager.ensure_secrets(&["user", "key"]).unwrap());
    let asked = client.asked.lock().unwrap()[0].clone();
    let code = asked.split("[Code: ").nth(1).unwrap().split(']').next().unwrap().to_owned();
    assert_eq!(asked, format!("Secrets Requested [Code: {code}] - Click 'Continue' when finished"));
    // The stand-in keeps what it was shown.
    let template = fs::read_to_string(room.home.path().join("template.json")).unwrap();
    assert!(
        template.contains(&format!("Verification Code: {code}\\n\\nConfirm this code matches"))
    );
    room.nothing_runs();
}

#[tokio::test]
async fn a_stand_in_that_is_closed_or_fails_or_is_not_the_one_stores_nothing() {
    let room = Room::new();
    for (script, words) in [
        ("cancel", "the window was closed"),
        ("refuse", "could not ask"),
        ("die", "ended unexpectedly"),
        ("other names", "answers another question"),
    ] {
        let client = Client::says(&[Elicited::Accepted(None)]);
        let (ok, message) = room.manager.fetch(&client, &info(script)).await;
        assert!(!ok && message.contains(words), "{script}: {message}");
        assert_eq!(room.lookup("key"), None);
        room.nothing_runs();
    }
    fs::write(room.folder.path().join("strongroom-dialog.manifest.json"), "{}").unwrap();
    let client = Client::says(&[Elicited::Accepted(None)]);
    let (ok, message) = room.manager.fetch(&client, &info("answer")).await;
    assert!(!ok && message.contains("manifest.json"), "{message}");
}

#[tokio::test]
async fn a_stand_in_is_ended_when_the_client_says_no_or_is_gone() {
    let room = Room::new();
    for answer in [Elicited::Declined, Elicited::Cancelled, Elicited::Gone] {
        let client = Client::says(&[answer]);
        let (ok, _) = room.manager.fetch(&client, &info("hang")).await;
        assert!(!ok);
        room.nothing_runs();
    }
    // The call itself is dropped.
    let client = Client::says(&[]);
    let info = info("hang");
    let flow = room.manager.fetch(&client, &info);
    let started = async {
        while !room.home.path().join("template.json").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = flow => panic!("nobody answered"),
        () = started => {}
    }
    room.nothing_runs();
    assert_eq!(room.lookup("key"), None);
}

#[tokio::test]
async fn a_client_without_elicitation_is_asked_for_consent_by_a_stand_in() {
    let room = Room::new();
    let value = strongroom_sdk::Secret::new(b"canary".to_vec());
    room.manager.store_secret("key", value).unwrap();
    for (reason, allowed) in [("allow", true), ("DENY", false), ("allow_", false), ("Allow", false)]
    {
        let client = Client::says(&[Elicited::Unsupported]);
        let got = room.manager.retrieve_with_permission("key", &client, Some(reason)).await;
        match got {
            Ok(value) => assert_eq!((text(&value.unwrap()).as_str(), allowed), ("canary", true)),
            Err(error) => {
                assert_eq!((error.code(), allowed), ("permission_denied", false), "{reason}");
            }
        }
        room.nothing_runs();
    }
}

/// A server with a keyring and a window program.
struct Room {
    manager: Manager,
    session: SecretService,
    folder: TempDir,
    home: TempDir,
}

impl Room {
    fn new() -> Self {
        let session = SecretService::start();
        let (folder, home) = (private(), private());
        let program = folder.path().join("strongroom-dialog");
        // A link, and no copy: a file that was just written may be open for writing in a process that
        // another test is starting.
        if fs::hard_link(stand_in(), &program).is_err() {
            fs::copy(stand_in(), &program).unwrap();
        }
        let manifest = folder.path().join("strongroom-dialog.manifest.json");
        let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        let hash = hex(&sha256(&fs::read(&program).unwrap()));
        let text = format!(
            r#"{{"version":1,"programs":{{"{platform}":{{"file":"strongroom-dialog","sha256":"{hash}"}}}}}}"#
        );
        fs::write(&manifest, text).unwrap();
        fs::set_permissions(&manifest, fs::Permissions::from_mode(0o644)).unwrap();
        let home_path = home.path().to_str().unwrap().to_owned();
        // What is passed on to the window program tells the stand-in where it may write.
        let more = [("DISPLAY", ":0"), ("XDG_RUNTIME_DIR", home_path.as_str())];
        let (mut around, _) = surroundings(Some(&session), home.path(), &more);
        around.window = Some(folder.path().to_owned());
        let manager = Manager::new();
        manager.initialize("Room", around).unwrap();
        Self { manager, session, folder, home }
    }

    fn lookup(&self, account: &str) -> Option<String> {
        self.session.lookup(&["service", "com.mcp.Room", "username", account])
    }

    /// No window program of ours is left running.
    fn nothing_runs(&self) {
        let folder = self.folder.path().to_str().unwrap();
        let is_ours = |path: PathBuf| {
            fs::read_link(path.join("exe")).is_ok_and(|exe| exe.starts_with(folder))
        };
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        loop {
            let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
            if !all.into_iter().any(is_ours) {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "a window program is left");
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(fs::remove_file(self.home.path().join("template.json")));
    }
}

/// A client that follows a script; where that ends it is silent.
struct Client {
    answers: Mutex<Vec<Elicited>>,
    asked: Mutex<Vec<String>>,
}

impl Client {
    fn says(answers: &[Elicited]) -> Self {
        Self { answers: Mutex::new(answers.to_vec()), asked: Mutex::default() }
    }
}

impl Context for Client {
    fn info<'a>(&'a self, _: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    fn elicit<'a>(&'a self, question: &'a Elicitation) -> BoxFuture<'a, Elicited> {
        self.asked.lock().unwrap().push(question.message.clone());
        let answer = self.answers.lock().unwrap().pop();
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

/// Two secrets; the label of the first says what the stand-in does.
fn info(script: &str) -> SecretsInfo {
    let text =
        format!(r#"{{"user": {{"label": "{script}"}}, "key": {{"field_type": "password"}}}}"#);
    SecretsInfo::read(text.as_bytes()).unwrap()
}

fn stand_in() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().with_file_name("examples").join("sdk_stand_in")
}

/// A folder that nobody else can write to, beside what was built: hard links lead there.
fn private() -> TempDir {
    let tests = std::env::current_exe().unwrap();
    tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(tests.parent().unwrap())
        .unwrap()
}
