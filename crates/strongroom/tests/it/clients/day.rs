//! A day of three agents and a person, with real clients, real programs and real servers: what was
//! asked, allowed, refused, approved, granted, locked and recorded from morning to evening.
//!
//! The scripts, the shapes of the APIs and the log of the day are files in `tests/clients/day`.

mod cast;
mod evening;
mod places;

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use strongroom_testkit::{ca::TestCa, upstream::Upstream};

use self::{
    cast::{Agent, Http, Person},
    evening::Evening,
    places::{Keys, Radicale, Sites},
};
use crate::{
    aws::Moto,
    exec::{GitServer, git},
    sandbox::Sandbox,
};

/// The places that the day's calls go to, and what lies there beforehand.
struct World {
    folder: tempfile::TempDir,
    keys: Keys,
    sites: Sites,
    calendar: Radicale,
    moto: Moto,
    git: GitServer,
    reports: Upstream,
    reports_ca: TestCa,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut keys = Keys::new();
        let sites = Sites::start(&folder.path().join("nginx"), &keys);
        let identity = sites.identity();
        let calendar =
            Radicale::start(folder.path().join("radicale"), &identity, keys.of("calendar"));
        let moto = Moto::start();
        keys.learn("aws", moto.keys["user"][1].as_str().unwrap());
        let root = folder.path().join("git");
        let git = GitServer::start(root, &identity.0, &identity.1, keys.of("git"));
        let reports_ca = TestCa::new();
        let reports = places::reports(&reports_ca, &keys).await;
        Self { folder, keys, sites, calendar, moto, git, reports, reports_ca }
    }

    /// A file for what somebody says on stderr.
    fn said(&self, who: &str) -> PathBuf {
        self.folder.path().join(format!("{who}.stderr"))
    }

    fn url_of(&self, site: &str) -> String {
        format!("https://{}", self.sites.host(site))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_three_agents_and_a_person_is_all_on_record_and_no_key_is_seen() {
    let mut world = World::new().await;
    let home = Sandbox::new().with("PATH", "/usr/local/bin:/usr/bin:/bin");
    home.write(".claude.json", "{}");
    home.write(".cursor/mcp.json", "{}");
    let mut person = Person::new(&home, world.said("person"));

    set_up(&world, &home, &mut person);
    let token = token(&home);
    world.keys.learn("token of ci", &token);
    let http = Http::start(&home.path(""));
    let over_http = json!({ "url": http.url, "token": token });
    let mut claude =
        Agent::python(&home, "auto", &entry(&home, ".claude.json"), world.said("claude"));
    let mut cursor =
        Agent::typescript(&home, &entry(&home, ".cursor/mcp.json"), world.said("cursor"));
    let mut ci = Agent::python(&home, "legacy", &over_http, world.said("ci"));
    assert_eq!((&claude.version, &ci.version), (&json!("2026-07-28"), &json!("2025-11-25")));
    assert_eq!((&claude.tools, &claude.tools), (&cursor.tools, &ci.tools));

    issues(&mut claude);
    charges(&mut claude);
    let mut insisted = vec![messages(&home, &mut person, &mut claude, &mut cursor)];
    insisted.extend(aws(&world, &mut person, &mut ci));
    appointments(&world, &mut claude);
    programs(&world, &home, &mut claude, &mut cursor);
    reports(&mut ci, &world);
    ledger(&world, &mut cursor);
    locked(&mut person, [&mut claude, &mut cursor, &mut ci]);

    let mut evening = Evening::new(&home, &world.keys);
    evening.saw("claude", claude.finish());
    evening.saw("cursor", cursor.finish());
    evening.saw("ci", ci.finish());
    evening.saw("serve --http", http.finish());
    evening.saw("the terminal", person.finish());
    evening.reads_the_log(&names_of_ports(&world), &insisted);
    evening.checks_the_audit();
    evening.finds_no_key();
    arrived(&world);
}

/// What stands in the log for the ports, which are others every day.
fn names_of_ports(world: &World) -> Vec<(String, &'static str)> {
    vec![(world.sites.host("status"), "STATUS"), (world.git.port.clone(), "GIT")]
}

/// Morning: keys are typed at the terminal, rules are changed and clients connected.
fn set_up(world: &World, home: &Sandbox, person: &mut Person) {
    let authority = world.sites.authority();
    let local = ["--ca-file", &*authority, "--allow-ip", "127.0.0.1/32"];
    let key = |name| world.keys.of(name);
    person.says("init");
    for (name, base) in [("github", ""), ("slack", "/api"), ("stripe", "")] {
        let url = world.url_of(name) + base;
        person.types(&[&["add", name, "--base-url", &url][..], &local].concat(), &[key(name)]);
    }
    person.types(&["edit", "github", "--allow", "POST /repos/acme/site/issues"], &[]);
    person.types(&["edit", "stripe", "--remove-rule", "POST /v1/charges/**"], &[]);
    let file = ".config/strongroom/strongroom.toml";
    let charges = "allow = [{ rule = \"POST /v1/charges\", body = [\"amount <= 5000\", \"currency == eur\"] }, \"GET|HEAD /v1/**\"]";
    let text = home.read(file);
    assert!(text.contains("allow = [\"GET|HEAD /v1/**\"]"), "{text}");
    home.write(file, &text.replace("allow = [\"GET|HEAD /v1/**\"]", charges));

    let calendar = ["add", "calendar", "--base-url", &world.calendar.url, "--auth", "basic"];
    let rules = ["--user", "ana", "--allow", "GET /ana/**", "--allow", "PUT /ana/team/**"];
    person.types(&[&calendar[..], &rules, &local].concat(), &[key("calendar")]);

    let aws: Vec<&str> = world.moto.keys["user"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key.as_str().unwrap())
        .collect();
    let plain =
        ["--base-url", &world.moto.url, "--insecure-transport", "--allow-ip", "127.0.0.1/32"];
    for (name, template) in [("s3", "aws-s3"), ("mail", "aws-ses")] {
        let known = ["add", name, "--template", template, "--set", "region=eu-central-1"];
        person.types(&[&known[..], &plain].concat(), &aws);
    }
    let queue = ["add", "queue", "--auth", "aws-sigv4", "--auth-set", "region=eu-central-1"];
    let rules = ["--auth-set", "service=sqs", "--allow", "POST /"];
    person.types(&[&queue[..], &rules, &plain].concat(), &aws);

    let reports = format!("https://{}", world.reports.address());
    let ca = home.write("reports-ca.pem", world.reports_ca.pem());
    let (base, token_url) = (format!("{reports}/v1"), format!("token_url={reports}/oauth/token"));
    let oauth: [&[&str]; 4] = [
        &["add", "reports", "--base-url", &base, "--auth", "oauth2", "--auth-set", &token_url],
        &["--auth-set", "client_id=agent", "--auth-secret", "client_secret"],
        &["--ca-file", ca.to_str().unwrap()],
        &["--allow-ip", "127.0.0.1/32"],
    ];
    person.types(&oauth.concat(), &[key("reports")]);
    add_programs(world, home, person);
    person.says("connect claude-code");
    person.says("connect cursor");
}

fn add_programs(world: &World, home: &Sandbox, person: &mut Person) {
    let site = home.path("site");
    fs::create_dir(&site).unwrap();
    git(&site, &["init", "-q", "-b", "main"]);
    fs::write(site.join("footer.css"), "footer { margin-top: 4px }\n").unwrap();
    git(&site, &["add", "."]);
    git(&site, &["commit", "-q", "-m", "Lower the footer"]);
    git(&site, &["remote", "add", "origin", &world.git.url("localhost")]);

    let authority = world.sites.authority();
    let host = format!("localhost:{}", world.git.port);
    let git = ["add", "git", "--askpass", &host, "--user", "me", "--workdir", "site"];
    let trusts = format!("GIT_SSL_CAINFO={authority}");
    person.types(&[&git[..], &["--env", &trusts]].concat(), &[world.keys.of("git")]);
    let there = format!("GH_HOST={}", world.sites.host("github"));
    let trusts = format!("SSL_CERT_FILE={authority}");
    let gh = ["add", "gh", "--env", &there, "--env", "GH_ENTERPRISE_TOKEN={{token}}"];
    person.types(&[&gh[..], &["--env", &trusts]].concat(), &[world.keys.of("gh")]);
    let rule = format!("curl -sS {}/*", world.url_of("status"));
    let trusts = format!("CURL_CA_BUNDLE={authority}");
    person.types(&["add", "curl", "--allow", &rule, "--env", &trusts], &[]);
}

/// What `connect` wrote for a client.
fn entry(home: &Sandbox, file: &str) -> Value {
    let text: Value = serde_json::from_str(&home.read(file)).unwrap();
    text["mcpServers"]["strongroom"].clone()
}

/// The token of a principal that calls over HTTP, printed once.
fn token(home: &Sandbox) -> String {
    let created = home.run("principal create ci --json").ok().json();
    created["token"].as_str().unwrap().to_owned()
}

/// GitHub: reading and what one rule adds; deleting is never.
fn issues(claude: &mut Agent) {
    let services = claude.call("list_services", &json!({}));
    let names: Vec<&str> = services["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| service["name"].as_str().unwrap())
        .collect();
    let all = [
        "calendar", "curl", "gh", "git", "github", "mail", "queue", "reports", "s3", "slack",
        "stripe",
    ];
    assert_eq!(names, all);

    let open = json!({ "query": { "state": "open" } });
    let issues = claude.execute("github", "GET /repos/acme/site/issues", &open);
    assert_eq!(issues["body"][0]["number"], 1347, "{issues}");
    assert_eq!(issues["headers"]["x-ratelimit-remaining"], "4999");
    let body = json!({ "title": "The footer is too low", "body": "By four pixels." });
    let new = json!({ "body": body });
    let created = claude.execute("github", "POST /repos/acme/site/issues", &new);
    assert_eq!((&created["status"], &created["body"]["number"]), (&json!(201), &json!(1348)));
    let deleted = claude.execute("github", "DELETE /repos/acme/site/issues/1347", &json!({}));
    assert_eq!(code(&deleted), "policy_denied");
}

/// Stripe: a form is allowed up to an amount.
fn charges(claude: &mut Agent) {
    let balance = claude.execute("stripe", "GET /v1/balance", &json!({}));
    assert_eq!(balance["body"]["available"][0]["amount"], 666_670, "{balance}");
    let charge = |amount: u32| {
        json!({
            "headers": { "content-type": "application/x-www-form-urlencoded" },
            "body": { "amount": amount.to_string(), "currency": "eur", "source": "tok_visa" },
        })
    };
    let small = claude.execute("stripe", "POST /v1/charges", &charge(4200));
    assert_eq!(small["body"]["status"], "succeeded", "{small}");
    let large = claude.execute("stripe", "POST /v1/charges", &charge(9999));
    assert_eq!(code(&large), "policy_denied");
}

/// Slack: a person is asked about each message, until they grant it for a while.
fn messages(home: &Sandbox, person: &mut Person, claude: &mut Agent, cursor: &mut Agent) -> u64 {
    let post = "POST /chat.postMessage";
    let text = |text: &str| json!({ "body": { "channel": "C123ABC456", "text": text } });
    let (posted, times) = cursor.insist("slack", post, &text("The footer is fixed"), |id| {
        let shown = person.types(&["approvals", "approve", id, "--once"], &[]);
        assert!(shown.contains("POST /chat.postMessage"), "{shown}");
    });
    assert_eq!(posted["body"]["ok"], true, "{posted}");
    assert_eq!(posted["redactions"], 0, "{posted}");

    let wish = json!({ "service": "slack", "what": post, "reason": "status all morning" });
    let asked = cursor.call("request_access", &wish);
    let id = asked["id"].as_str().unwrap();
    let shown = person.types(&["approvals", "show", id], &[]);
    assert!(shown.contains("\"status all morning\""), "{shown}");
    person.types(&["approvals", "approve", id, "--for", "10m"], &[]);
    for hour in ["nine", "ten"] {
        let posted = cursor.execute("slack", post, &text(hour));
        assert_eq!(posted["body"]["ok"], true, "{posted}");
    }
    let me = cursor.call("whoami", &json!({}));
    assert_eq!(
        (&me["principal"], &me["grants"][0]["service"]),
        (&json!("cursor"), &json!("slack"))
    );
    // It is cursor's, and nobody else's.
    assert_eq!(code(&claude.execute("slack", post, &text("me too"))), "approval_denied");
    let granted = home.run("grants --json").ok().json();
    let grant = granted[0]["id"].as_str().unwrap();
    person.types(&["grants", "revoke", grant], &[]);
    assert_eq!(code(&cursor.execute("slack", post, &text("eleven"))), "approval_denied");
    times
}

/// S3, SES and SQS: signed, over HTTP, and there for AWS's own library afterwards.
fn aws(world: &World, person: &mut Person, ci: &mut Agent) -> [u64; 2] {
    let note = json!({ "headers": { "content-type": "text/plain" }, "body": "4 px, as agreed" });
    let (put, first) = ci.insist("s3", "PUT /notes/2026/footer.txt", &note, |id| {
        person.types(&["approvals", "approve", id, "--once"], &[]);
    });
    assert_eq!(put["status"], 200, "{put}");
    let read = ci.execute("s3", "GET /notes/2026/footer.txt", &json!({}));
    assert_eq!(read["body"], "4 px, as agreed", "{read}");
    assert_eq!(
        code(&ci.execute("s3", "DELETE /notes/2026/footer.txt", &json!({}))),
        "policy_denied"
    );

    let mail = json!({ "body": {
        "FromEmailAddress": "me@example.com",
        "Destination": { "ToAddresses": ["you@example.com"] },
        "Content": { "Simple": {
            "Subject": { "Data": "The footer" }, "Body": { "Text": { "Data": "It is fixed." } },
        } },
    } });
    let (sent, second) = ci.insist("mail", "POST /v2/email/outbound-emails", &mail, |id| {
        person.types(&["approvals", "approve", id], &[]);
    });
    assert!(sent["body"].to_string().contains("MessageId"), "{sent}");

    let message = json!({
        "headers": { "content-type": "application/x-www-form-urlencoded" },
        "body": {
            "Action": "SendMessage", "Version": "2012-11-05", "QueueUrl": world.moto.keys["queue"],
            "MessageBody": "footer done",
        },
    });
    assert_eq!(ci.execute("queue", "POST /", &message)["status"], 200);
    [first, second]
}

/// Radicale: a real server, which keeps what it is given.
fn appointments(world: &World, claude: &mut Agent) {
    let kind = json!({ "content-type": "text/calendar" });
    let new = json!({ "headers": kind, "body": event("footer", "Look at the footer") });
    let put = claude.execute("calendar", "PUT /ana/team/", &new);
    assert_eq!(put["status"], 201, "{put}");
    let more = json!({ "headers": kind, "body": event("lunch", "Lunch") });
    assert_eq!(claude.execute("calendar", "PUT /ana/team/lunch.ics", &more)["status"], 201);
    let all = claude.execute("calendar", "GET /ana/team/", &json!({}));
    let text = all["body"].as_str().unwrap();
    assert!(text.contains("Lunch") && text.contains("Look at the footer"), "{all}");
    assert!(world.calendar.stored("team/lunch.ics").contains("SUMMARY:Lunch"));
    assert_eq!(code(&claude.execute("calendar", "PUT /ben/team/", &new)), "policy_denied");
}

fn event(id: &str, summary: &str) -> String {
    [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Acme//Agent//EN",
        "BEGIN:VEVENT",
        &format!("UID:{id}"),
        "DTSTAMP:20260423T080000Z",
        "DTSTART:20260423T120000Z",
        &format!("SUMMARY:{summary}"),
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]
    .join("\r\n")
}

/// git, gh and curl, by their own programs.
fn programs(world: &World, home: &Sandbox, claude: &mut Agent, cursor: &mut Agent) {
    let pushed = claude.exec("git", "git push origin main");
    assert_eq!(pushed["exit_code"], 0, "{pushed}");
    let head = |folder: &std::path::Path| git(folder, &["rev-parse", "main"]);
    assert_eq!(head(&world.git.root.join("site.git")), head(&home.path("site")));
    assert_eq!(code(&claude.exec("git", "git push --force origin main")), "policy_denied");

    let listed = claude.exec("gh", "gh issue list -R acme/site");
    assert_eq!(listed["exit_code"], 0, "{listed}");
    assert!(listed["stdout"].as_str().unwrap().contains("Found a bug\tbug"), "{listed}");
    let runs = claude.exec("gh", "gh run list -R acme/site");
    assert!(runs["stdout"].as_str().unwrap().contains("Lower the footer"), "{runs}");
    assert_eq!(code(&claude.exec("gh", "gh auth token")), "policy_denied");

    let page = format!("{}/status.json", world.url_of("status"));
    let read = cursor.exec("curl", &format!("curl -sS {page}"));
    assert!(read["stdout"].as_str().unwrap().contains("All Systems Operational"), "{read}");
    assert_eq!(code(&cursor.exec("curl", &format!("curl -sS -o page {page}"))), "policy_denied");
}

/// An API that wants a token first, takes it back in the middle of the day, and streams.
fn reports(ci: &mut Agent, world: &World) {
    for day in ["monday", "tuesday", "wednesday"] {
        let report = ci.execute("reports", &format!("GET /daily/{day}"), &json!({}));
        assert_eq!(report["body"]["sold"], 2, "{report}");
    }
    let events = ci.execute("reports", "GET /events", &json!({ "max_events": 3 }));
    assert_eq!(events["truncated"], "events", "{events}");
    let text = "event: sold\ndata: 1\n\ndata: [REDACTED:reports]\n\nevent: sold\ndata: 2\n\n";
    assert_eq!(events["body"], text);
    let asked: Vec<String> = world.reports.seen().into_iter().map(|seen| seen.target).collect();
    let (token, day) = ("/oauth/token", |day: &str| format!("/v1/daily/{day}"));
    let expected = [
        token.to_owned(),
        day("monday"),
        day("tuesday"),
        day("wednesday"),
        token.to_owned(),
        day("wednesday"),
        "/v1/events".to_owned(),
    ];
    assert_eq!(asked, expected);
}

/// A large answer goes into a file, without the key that the API put into it.
fn ledger(world: &World, cursor: &mut Agent) {
    let saved = cursor.execute("stripe", "GET /v1/files/ledger.csv", &json!({ "save": true }));
    assert_eq!((&saved["status"], &saved["redactions"]), (&json!(200), &json!(1)), "{saved}");
    let file = fs::read_to_string(saved["file"].as_str().unwrap()).unwrap();
    assert_eq!(saved["bytes"], file.len());
    let there = fs::read_to_string(world.folder.path().join("nginx/files/ledger.csv")).unwrap();
    assert_eq!(file, there.replace(world.keys.of("stripe"), "[REDACTED:stripe]"));
}

/// Something looks wrong: everything stops, in all processes, until a person says otherwise.
fn locked(person: &mut Person, [claude, cursor, ci]: [&mut Agent; 3]) {
    person.says("lock");
    let issues = "GET /repos/acme/site/issues";
    assert_eq!(code(&claude.execute("github", issues, &json!({}))), "locked");
    assert_eq!(code(&cursor.exec("git", "git ls-remote")), "locked");
    assert_eq!(code(&ci.execute("reports", "GET /daily/friday", &json!({}))), "locked");
    let shown = person.says("unlock");
    assert!(shown.contains("nothing is locked"), "{shown}");
    assert_eq!(claude.execute("github", issues, &json!({}))["status"], 200);
    assert_eq!(cursor.exec("git", "git ls-remote")["exit_code"], 0);
    assert_eq!(ci.execute("reports", "GET /daily/friday", &json!({}))["status"], 200);
}

/// What the servers say of the day.
fn arrived(world: &World) {
    let log = [
        "github GET /repos/acme/site/issues?state=open HTTP/2.0 200",
        "github POST /repos/acme/site/issues HTTP/2.0 201",
        "stripe GET /v1/balance HTTP/2.0 200",
        "stripe POST /v1/charges HTTP/2.0 200",
        "slack POST /api/chat.postMessage HTTP/1.1 200",
        "slack POST /api/chat.postMessage HTTP/1.1 200",
        "slack POST /api/chat.postMessage HTTP/1.1 200",
        "github POST /api/graphql HTTP/2.0 200",
        "github POST /api/graphql HTTP/2.0 200",
        "github GET /api/v3/repos/acme/site/actions/runs?per_page=20&exclude_pull_requests=true HTTP/2.0 200",
        "github GET /api/v3/repos/acme/site/actions/workflows?per_page=100&page=1 HTTP/2.0 200",
        "status GET /status.json HTTP/1.1 200",
        "stripe GET /v1/files/ledger.csv HTTP/2.0 200",
        "github GET /repos/acme/site/issues HTTP/2.0 200",
    ];
    assert_eq!(world.sites.asked(), log);
    let found = world.moto.found();
    assert_eq!(
        found,
        json!({
            "objects": { "2026/footer.txt": ["4 px, as agreed", "text/plain"] },
            "messages": ["footer done"],
            "mails": 1,
        })
    );
}

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or("no error")
}
