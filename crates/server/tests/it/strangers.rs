//! Whoever has a key asks for what others have, by every route that the document tells of, and finds it
//! answered like what nobody has.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use strongroom_model::pin::{DefinitionHash, Offered, Pins as _};
use strongroom_model::rate::Gcra;
use strongroom_model::team::{Actor, CredentialId, KeyId, OrganizationId, TenantCtx, TenantId};
use strongroom_server::{Options, Rates};
use uuid::Uuid;

use crate::approvals::Agent;
use crate::support::{LIST, Line, REGISTER, Reply, Site, text};

/// How many pairs of an id that another has and one that nobody has are tried.
const PAIRS: u64 = 10_000;

/// How many connections try them at the same time.
const LINES: u64 = 8;

/// How much of each kind the other tenant has: one for each field of each route.
const EACH: usize = 100;

const EVERY: &str = "use,register,credentials:write,executor,approve,admin";

// TN-01, TN-02, TN-06, AL-08
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_ids_of_others_are_answered_like_ids_that_nobody_has() {
    let site = Site::with(|options, _| options.rates = unlimited()).await;
    nothing_is_told_apart(Arc::new(site), PAIRS).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn ids_of_others_are_answered_like_ids_that_nobody_has_in_postgres() {
    let server = strongroom_testkit::postgres::Server::start();
    let options = Options {
        listen: ([127, 0, 0, 1], 0).into(),
        allowed_commands: vec![strongroom_server::AllowedCommand::new("node", "test.js").unwrap()],
        rates: unlimited(),
        ..Options::default()
    };
    let site = Site::on_postgres(&server, options).await;
    nothing_is_told_apart(Arc::new(site), PAIRS / 10).await;
}

/// Beyond the rates all would be told the same.
fn unlimited() -> Rates {
    let all = Gcra { per_minute: 1_000_000_000, burst: 1_000_000_000 };
    Rates { key: all, source: all, refusals: all }
}

async fn nothing_is_told_apart(site: Arc<Site>, pairs: u64) {
    let theirs = Arc::new(theirs(&site).await);
    let probes = Arc::new(probes(&site).await);
    let (_, kernel) = site.kernel(false).await;
    let attackers = Arc::new([
        Attacker { header: ("x-api-key", site.key(&site.a, EVERY).await), tenant: None },
        Attacker {
            header: ("authorization", format!("Bearer {kernel}")),
            tenant: Some(site.a.id.to_string()),
        },
    ]);
    let lines = (0..LINES).map(|line| {
        let (site, theirs) = (Arc::clone(&site), Arc::clone(&theirs));
        let (probes, attackers) = (Arc::clone(&probes), Arc::clone(&attackers));
        tokio::spawn(async move {
            let (mut random, mut line) = (Random(line), site.line().await);
            for _ in 0..pairs / LINES {
                let probe = random.of(&probes);
                let there = random.of(&theirs[probe.kind]).clone();
                let nowhere = nobodys(probe.kind, &there, &mut random);
                let attacker = random.of(&*attackers);
                let mut ids = [(true, there), (false, nowhere)];
                ids.rotate_left(usize::from(random.coin()));
                let one = probe.ask(&mut line, attacker, &ids[0].1).await;
                let other = probe.ask(&mut line, attacker, &ids[1].1).await;
                assert_eq!(one, other, "{} {}: {ids:?}", probe.route, probe.field);
                assert!(!probe.finds || matches!(one.status, 403 | 404), "{probe:?}: {one:?}");
            }
        })
    });
    for line in lines.collect::<Vec<_>>() {
        line.await.unwrap();
    }
    all_of_it_is_there(&site, &theirs, &probes, &attackers[0]).await;
}

/// The same requests find what they ask for, for whom it belongs to.
async fn all_of_it_is_there(site: &Site, theirs: &Theirs, probes: &[Probe], attacker: &Attacker) {
    let owner = Attacker { header: ("x-api-key", site.key(&site.b, EVERY).await), tenant: None };
    assert_eq!(site.get(LIST, &owner.header.1).await.data()["count"], EACH);
    let mut line = site.line().await;
    assert!(probes.len() <= EACH);
    for (at, probe) in probes.iter().enumerate() {
        // What one request deletes no other one looks for.
        let own = |kind| &theirs[kind][at % theirs[kind].len()];
        let (mut probe, id) = (probe.clone(), own(probe.kind));
        for (field, value) in &mut probe.beside {
            if let Some(kind) = kind(&probe.route, &probe.act, field) {
                *value = json!(own(kind));
            }
        }
        let told = probe.ask(&mut line, &owner, id).await;
        let refused = probe.ask(&mut line, attacker, id).await.status == 403;
        let locked = told.status == 503 && told.body.contains("\"locked\"");
        let found = matches!(told.status, 200 | 409) || locked || refused && told.status == 403;
        assert!(found, "{probe:?} of {id}: {told:?}");
    }
}

/// Who asks.
struct Attacker {
    header: (&'static str, String),
    /// The tenant that a kernel names, unless it is what is tried.
    tenant: Option<String>,
}

/// One field of one route that names something.
#[derive(Clone, Debug)]
struct Probe {
    act: String,
    method: String,
    route: String,
    field: String,
    kind: &'static str,
    by_query: bool,
    /// What else has to be there.
    beside: Map<String, Value>,
    /// Whether the route does nothing where it finds nothing. Others list, or judge.
    finds: bool,
}

/// What is told to whoever asks: all but the id of the request and the time.
#[derive(Debug, PartialEq)]
struct Told {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Probe {
    async fn ask(&self, line: &mut Line, attacker: &Attacker, id: &str) -> Told {
        let mut fields = self.beside.clone();
        fields.insert(self.field.clone(), json!(id));
        if let Some(tenant) = &attacker.tenant {
            fields.entry("tenant_id").or_insert_with(|| json!(tenant));
        }
        let mut path = self.route.clone();
        if path.contains("{id}") {
            path = path.replace("{id}", fields.remove("id").unwrap().as_str().unwrap());
        }
        let (path, body) = if self.by_query {
            let fields = fields.iter().map(|(name, value)| format!("{name}={}", plain(value)));
            (format!("{path}?{}", fields.collect::<Vec<_>>().join("&")), String::new())
        } else {
            (path, Value::Object(fields).to_string())
        };
        let headers =
            [(attacker.header.0, &*attacker.header.1), ("content-type", "application/json")];
        Told::of(line.send(&self.method, &path, &headers, &body).await)
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Told {
    fn of(reply: Reply) -> Self {
        let headers = reply
            .headers
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "x-request-id" | "date"))
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        Self { status: reply.status, headers: headers.collect(), body: reply.body }
    }
}

/// Every field of every route of the document that names what somebody may have.
async fn probes(site: &Site) -> Vec<Probe> {
    let document = site.send("GET", "/openapi.json", &[], "").await.json();
    let mut probes = Vec::new();
    for (route, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            probes.extend(probes_of(route, &method.to_uppercase(), operation));
        }
    }
    assert!(probes.len() > 60, "{}", probes.len());
    // What only looks comes first, what deletes comes last.
    let order = ["GET", "POST", "PUT", "DELETE"];
    probes.sort_by_key(|probe: &Probe| order.iter().position(|method| *method == probe.method));
    probes
}

fn probes_of(route: &str, method: &str, operation: &Value) -> Vec<Probe> {
    let act = operation["operationId"].as_str().unwrap().trim_end_matches("_alias");
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameters: Vec<_> = parameters.filter(|it| it["in"] != "header").collect();
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    let properties = body["properties"].as_object();
    let by_query = properties.is_none();
    let mut names: Vec<&str> = parameters.iter().map(|it| it["name"].as_str().unwrap()).collect();
    names.extend(properties.into_iter().flatten().map(|(name, _)| name.as_str()));
    let required = parameters.iter().filter(|it| it["required"] == true).map(|it| &it["name"]);
    let required = required.chain(body["required"].as_array().into_iter().flatten());
    let required: Vec<&str> = required.map(|name| name.as_str().unwrap()).collect();
    let either = body["oneOf"].as_array().map_or(&[][..], |ways| ways);
    let mut probes = Vec::new();
    for name in &names {
        let Some(kind) = kind(route, act, name) else { continue };
        let mut beside: Vec<_> = required.clone();
        let with = |way: &Value| -> Vec<String> {
            let fields = way["required"].as_array().into_iter().flatten();
            fields.map(|field| field.as_str().unwrap().to_owned()).collect()
        };
        let ways: Vec<_> = either.iter().map(with).collect();
        let way = ways.iter().find(|way| way.iter().any(|field| field == name)).or(ways.first());
        beside.extend(way.into_iter().flatten().map(String::as_str));
        if act == "server_update" {
            beside.push("name");
        }
        beside.retain(|field| field != name);
        probes.push(Probe {
            act: act.to_owned(),
            method: method.to_owned(),
            route: route.to_owned(),
            field: (*name).to_owned(),
            kind,
            by_query,
            beside: beside.into_iter().map(|field| (field.to_owned(), some(field))).collect(),
            finds: !matches!(
                (act, *name),
                ("credential_list", "service")
                    | ("authorize", "resource")
                    | ("audit_list", "audit_id")
                    // A server whose tools nobody has seen.
                    | ("tool_list" | "tool_show" | "tool_approve", "server_id")
            ),
        });
    }
    probes
}

/// What `field` names, if it names what somebody may have.
fn kind(route: &str, act: &str, field: &str) -> Option<&'static str> {
    Some(match (field, act) {
        ("tenant_id", _) => "tenant",
        ("organization_id", _) => "organization",
        ("credential_id", _) => "credential",
        ("server_id", "server_register") => return None,
        ("server_id", _) | ("server", "unlock") => "server",
        ("service", "credential_retrieve" | "credential_delete" | "credential_list" | "unlock")
        | ("name", "service_delete") => "service",
        ("resource", "authorize") => "tool",
        ("audit_id", _) => "audit id",
        ("cursor", "approval_list") => "place among the approvals",
        ("cursor", "audit_list") => "place in the audit",
        ("cursor", "server_list") => "place among the servers",
        ("id", _) => match route.split('/').nth(2) {
            Some("api-keys") => "API key",
            Some("kernels") => "kernel",
            Some("tenants") => "tenant",
            Some("organizations") => "organization",
            Some("approvals") => "approval",
            Some("grants") => "grant",
            _ => panic!("what is the id of {route}?"),
        },
        (name, _) if name == "cursor" || name.ends_with("_id") => panic!("what is `{name}`?"),
        _ => return None,
    })
}

/// Something for a field that has to be there.
fn some(field: &str) -> Value {
    match field {
        "server_id" | "name" | "service" | "server" => json!("mine"),
        "tool" => json!("order"),
        "hash" => json!("0".repeat(64)),
        "command" => json!("node"),
        "args" => json!(["test.js"]),
        "tool_prefix" => json!("mine."),
        "credentials" => json!({ "api_key": "value" }),
        "credential_id" => json!("0193d2f4-6c1e-4d5a-9b7e-1f2a3b4c5d6e"),
        "action" => json!("tools/call"),
        "id" => json!("0123456789abcdef"),
        "organization_id" => json!("0193d2f4-6c1e-4d5a-9b7e-1f2a3b4c5d6f"),
        _ => panic!("what may stand in `{field}`?"),
    }
}

/// What tenant `b` has, by its kind.
type Theirs = BTreeMap<&'static str, Vec<String>>;

async fn theirs(site: &Site) -> Theirs {
    let owner = site.key(&site.b, EVERY).await;
    let ctx = TenantCtx { tenant: site.b.id, actor: Actor::Operator };
    let mut all = Theirs::new();
    let mut have = |kind, id: &str| all.entry(kind).or_default().push(id.to_owned());
    have("tenant", site.b.id.as_str());
    have("organization", site.b.organization.as_str());
    for n in 0..EACH {
        let name = format!("theirs-{n}");
        let server = json!({
            "server_id": name, "name": name, "command": "node", "args": ["test.js"],
            "tool_prefix": format!("{name}."),
        });
        site.post(REGISTER, &owner, &server.to_string()).await.data();
        let row = site.team.tenant(&ctx).server(&name).await.unwrap().unwrap();
        let seen = [Offered {
            tool: "order".into(),
            hash: DefinitionHash([1; 32]),
            text: "{}".into(),
            suspicion: None,
        }];
        site.team.pins(&ctx, row.id).check(&seen).await.unwrap();
        let credential = json!({ "service": name, "credentials": { "api_key": "value" } });
        let store = "/functions/v1/credentials/store";
        let stored = site.post(store, &owner, &credential.to_string()).await.data();
        let definition = json!({ "base_url": "https://example.com" });
        site.team.tenant(&ctx).put_service(&name, &definition).await.unwrap();
        for part in ["service", "server"] {
            let lock = json!({ part: name }).to_string();
            site.post("/v1/locks", &owner, &lock).await.data();
        }
        let organization = &site.b.organization;
        let (kernel, token) =
            site.team.create_kernel_key(organization, &name, false).await.unwrap();
        assert!(text(&token).starts_with("krn_"));
        have("server", &name);
        have("service", &name);
        have("tool", &format!("{name}.order"));
        have("credential", stored["credential_id"].as_str().unwrap());
        have("kernel", kernel.id.as_str());
    }
    for n in 0..EACH / 3 {
        let agent = Agent::new(site, &site.b, "use").await;
        have("API key", &agent.ctx.principal().unwrap().as_str()["key-".len()..]);
        have("approval", &agent.asks(site, &agent.question(&format!("{n}"))).await);
        let granted = agent.asks(site, &agent.question(&format!("{n} granted"))).await;
        let approve = format!("/v1/approvals/{granted}/approve");
        let granted = site.post(&approve, &owner, r#"{"for_s":3600}"#).await.data();
        have("grant", granted["grant"]["id"].as_str().unwrap());
    }
    for limit in 1..12 {
        let servers = site.get(&format!("{LIST}?limit={limit}"), &owner).await.data();
        have("place among the servers", servers["next_cursor"].as_str().unwrap());
        let audit = site.get(&format!("/v1/audit?limit={limit}"), &owner).await.data();
        let approvals = site.get(&format!("/v1/approvals?limit={limit}"), &owner).await.data();
        have("place among the approvals", approvals["next_cursor"].as_str().unwrap());
        have("place in the audit", audit["next_cursor"].as_str().unwrap());
        let record = &audit["records"][limit - 1];
        have("audit id", record["audit_id"].as_str().unwrap());
    }
    all
}

/// What nobody has, and could be one.
fn nobodys(kind: &str, theirs: &str, random: &mut Random) -> String {
    match kind {
        "tenant" => TenantId::from_random(random.bytes()).to_string(),
        "organization" => OrganizationId::from_random(random.bytes()).to_string(),
        "credential" => CredentialId::from_random(random.bytes()).to_string(),
        "API key" | "kernel" => KeyId::from_random(random.bytes()).to_string(),
        "approval" | "grant" => {
            let digits = |_| char::from(*random.of(b"23456789"));
            format!("{}{}", &theirs[..2], (0..8).map(digits).collect::<String>())
        }
        "audit id" => Uuid::from_bytes(random.bytes()).simple().to_string(),
        "server" | "service" => format!("nobodys-{}", random.next() % 1_000),
        "tool" => format!("nobodys-{}.order", random.next() % 1_000),
        _ => {
            let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let digit = |_| *random.of(digits.as_bytes()) as char;
            theirs.chars().map(digit).collect()
        }
    }
}

/// The same in every run (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let many = u64::try_from(all.len()).unwrap();
        &all[usize::try_from(self.next() % many).unwrap()]
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next().to_le_bytes()[0])
    }
}
