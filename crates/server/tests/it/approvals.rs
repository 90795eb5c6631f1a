//! Questions that a tenant's agents ask, and the answers of people over REST.

use std::time::Duration;

use serde_json::{Value, json};
use strongroom_model::approval::{
    Access, Channel, Class, Digest, Matter, Opened, PATIENCE, Question,
};
use strongroom_model::policy::Terms;
use strongroom_model::ports::Approvals as _;
use strongroom_model::principal::{Caller, Name, Principal, Source};
use strongroom_model::team::{Actor, KeyId, Tenant, TenantCtx};

use crate::support::Site;

/// The key of an agent, and what it is called.
pub(crate) struct Agent {
    key: String,
    pub(crate) ctx: TenantCtx,
}

impl Agent {
    pub(crate) async fn new(site: &Site, tenant: &Tenant, scopes: &str) -> Self {
        let key = site.key(tenant, scopes).await;
        let id: KeyId = key[4..20].parse().unwrap();
        Self { key, ctx: TenantCtx { tenant: tenant.id, actor: Actor::ApiKey(id) } }
    }

    fn name(&self) -> Name {
        self.ctx.principal().unwrap()
    }

    pub(crate) fn question(&self, body: &str) -> Question {
        let matter = Matter {
            service: "stripe".parse().unwrap(),
            revision: u64::MAX - 1,
            digest: Digest::of([body.as_bytes()]),
            class: Class::Write,
            what: "POST /v1/charges".into(),
            place: "https://api.stripe.com".into(),
            bytes: body.len() as u64,
            content_type: Some("text/plain".into()),
            text: Some(body.to_owned()),
            unseen: false,
        };
        let terms = Terms { ttl: Some(Duration::from_hours(1)), ..Terms::default() };
        Question::new(matter, &self.caller(), "POST /**", &terms, Some("because"))
    }

    fn wish(&self, covered: bool) -> Question {
        let covered = covered.then(|| ("POST /**".to_owned(), Terms::default(), Class::Write, 7));
        let service = "stripe".parse().unwrap();
        let access = Access { service, what: "refunds".into(), reason: None, covered };
        Question::access(&access, &self.caller())
    }

    fn caller(&self) -> Caller {
        let principal = Principal { name: self.name(), source: Source::Token };
        Caller { principal, channel: Channel::default(), claimed_client: None }
    }

    pub(crate) async fn asks(&self, site: &Site, question: &Question) -> String {
        match site.team.approvals(&self.ctx).open(question).await.unwrap() {
            Opened::Asked { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    async fn uses(&self, site: &Site, id: &str, question: &Question) -> bool {
        site.team.approvals(&self.ctx).take(id, question, false).await.unwrap().is_some()
    }
}

fn path(id: &str, act: &str) -> String {
    format!("/v1/approvals/{id}{act}")
}

async fn records(site: &Site, admin: &str, act: &str) -> Vec<Value> {
    let all = site.get("/v1/audit?limit=1000", admin).await.data();
    let all = all["records"].as_array().unwrap().iter();
    all.filter(|record| record["act"] == act).cloned().collect()
}

#[tokio::test]
async fn a_question_is_listed_shown_and_answered_once_and_on_record_before_it_counts() {
    let site = Site::new().await;
    let agent = Agent::new(&site, &site.a, "use").await;
    let (person, admin) = (site.key(&site.a, "approve").await, site.key(&site.a, "admin").await);
    let question = agent.question("amount=100");
    let id = agent.asks(&site, &question).await;

    let listed = site.get("/v1/approvals?state=open", &person).await.data();
    assert_eq!(listed["approvals"].as_array().unwrap().len(), 1);
    assert_eq!(listed["approvals"][0]["id"], id);
    assert!(listed["approvals"][0].get("body").is_none(), "{listed}");
    let shown = site.get(&path(&id, ""), &person).await.data();
    assert_eq!(shown["body"], json!({ "lines": ["amount=100"], "missing": 0 }));
    assert_eq!(
        (&shown["principal"], &shown["state"], &shown["what"], &shown["ttl_s"]),
        (&json!(agent.name().as_str()), &json!("open"), &json!("POST /v1/charges"), &json!(3600))
    );

    assert!(!agent.uses(&site, &id, &question).await, "nobody has said yes");
    let answered = site.post(&path(&id, "/approve"), &person, "").await.data();
    let who = format!("key {}", &person[4..20]);
    assert_eq!(
        (&answered["approval"]["state"], &answered["approval"]["answered_by"]),
        (&json!("approved"), &json!(who))
    );
    assert_eq!(
        (&answered["approval"]["by"], answered.get("grant"), answered["approval"].get("body")),
        (&json!("api"), None, None)
    );
    let record = records(&site, &admin, "approval.approve").await;
    assert_eq!(record.len(), 1);
    assert_eq!((&record[0]["subject"], &record[0]["principal"]), (&json!(id), &json!(who)));
    assert!(agent.uses(&site, &id, &question).await);
    assert!(!agent.uses(&site, &id, &question).await, "a yes is good for one use");
    assert_eq!(site.get(&path(&id, ""), &admin).await.data()["state"], "used");
    let open = site.get("/v1/approvals?state=open", &admin).await.data();
    assert_eq!(open, json!({ "approvals": [] }));
}

#[tokio::test]
async fn a_no_has_a_reason_and_stands() {
    let site = Site::new().await;
    let agent = Agent::new(&site, &site.a, "use").await;
    let person = site.key(&site.a, "approve").await;
    let question = agent.question("x");
    let id = agent.asks(&site, &question).await;
    let body = r#"{"because":"not on a Friday"}"#;
    let denied = site.post(&path(&id, "/deny"), &person, body).await.data();
    assert_eq!(
        (&denied["approval"]["state"], &denied["approval"]["because"]),
        (&json!("denied"), &json!("not on a Friday"))
    );
    let again = site.team.approvals(&agent.ctx).open(&question).await.unwrap();
    assert_eq!(again, Opened::Denied(id.clone()));
    let late = site.post(&path(&id, "/approve"), &person, "").await;
    assert_eq!(late.problem(), (409, "conflict".into()));
    site.clock.advance(PATIENCE);
    let again = agent.asks(&site, &question).await;
    assert_ne!(again, id);
    assert_eq!(site.get(&path(&id, ""), &person).await.data()["state"], "denied");
}

#[tokio::test]
async fn nobody_answers_in_time_and_then_it_is_too_late() {
    let site = Site::new().await;
    let agent = Agent::new(&site, &site.a, "use").await;
    let admin = site.key(&site.a, "admin").await;
    let id = agent.asks(&site, &agent.question("canary-body")).await;
    site.clock.advance(PATIENCE);
    let late = site.post(&path(&id, "/approve"), &admin, "").await;
    assert_eq!(late.problem(), (409, "conflict".into()));
    let listed = site.get("/v1/approvals?state=expired", &admin).await.data();
    assert_eq!(listed["approvals"][0]["id"], id);
    assert_eq!(records(&site, &admin, "approval.expire").await.len(), 1);
    site.get("/v1/approvals", &admin).await.data();
    assert_eq!(records(&site, &admin, "approval.expire").await.len(), 1, "once");
    assert_eq!(records(&site, &admin, "approval.approve").await.len(), 1, "as refused");
    assert!(site.get(&path(&id, ""), &admin).await.data().get("body").is_none());
}

/// AU, TN: whatever scopes the key has that asks.
#[tokio::test]
async fn the_key_that_asks_never_answers_and_another_of_the_same_scopes_does() {
    let site = Site::new().await;
    for scopes in ["use,approve", "use,admin", "use,approve,admin"] {
        let agent = Agent::new(&site, &site.a, scopes).await;
        let question = agent.question(scopes);
        let id = agent.asks(&site, &question).await;
        for act in ["/approve", "/deny"] {
            let own = site.post(&path(&id, act), &agent.key, "").await;
            assert_eq!(own.problem(), (403, "policy_denied".into()), "{scopes} {act}");
        }
        assert!(!agent.uses(&site, &id, &question).await);
        let other = site.key(&site.a, scopes).await;
        site.post(&path(&id, "/approve"), &other, "").await.data();
        assert!(agent.uses(&site, &id, &question).await);
    }
}

#[tokio::test]
async fn what_is_anothers_and_what_is_not_there_are_the_same_404() {
    let site = Site::new().await;
    let agent = Agent::new(&site, &site.a, "use").await;
    let (ours, theirs) = (site.key(&site.a, "admin").await, site.key(&site.b, "admin").await);
    let id = agent.asks(&site, &agent.question("x")).await;
    let headers = [("x-api-key", &*theirs), ("content-type", "application/json")];
    for (method, act) in [("GET", ""), ("POST", "/approve"), ("POST", "/deny")] {
        let anothers = site.send(method, &path(&id, act), &headers, "").await;
        let nobodys = site.send(method, &path("a-22222222", act), &headers, "").await;
        assert_eq!((anothers.status, &anothers.body), (404, &nobodys.body), "{method} {act}");
    }
    let listed = site.get("/v1/approvals", &theirs).await.data();
    assert_eq!(listed, json!({ "approvals": [] }));
    let granted = site.post(&path(&id, "/approve"), &ours, r#"{"for_s":60}"#).await.data();
    let grant = format!("/v1/grants/{}", granted["grant"]["id"].as_str().unwrap());
    let anothers = site.send("DELETE", &grant, &headers[..1], "").await;
    let nobodys = site.send("DELETE", "/v1/grants/g-22222222", &headers[..1], "").await;
    assert_eq!((anothers.status, &anothers.body), (404, &nobodys.body));
    assert_eq!(site.send("DELETE", "/v1/grants", &headers[..1], "").await.data()["revoked"], 0);
    assert_eq!(site.get("/v1/grants", &ours).await.data()["count"], 1);
    // The cursor of another tenant's list is none here.
    site.clock.advance(Duration::from_secs(1));
    agent.asks(&site, &agent.question("y")).await;
    let page = site.get("/v1/approvals?limit=1", &ours).await.data();
    let next = format!("/v1/approvals?cursor={}", page["next_cursor"].as_str().unwrap());
    assert_eq!(site.get(&next, &ours).await.data()["approvals"][0]["id"], id);
    assert_eq!(site.get(&next, &theirs).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_answer_at_once_one_wins_and_the_others_are_told() {
    let site = Site::new().await;
    let agent = Agent::new(&site, &site.a, "use").await;
    let question = agent.question("x");
    let id = agent.asks(&site, &question).await;
    let (one, two) = (site.key(&site.a, "approve").await, site.key(&site.a, "admin").await);
    let (yes, no) = (path(&id, "/approve"), path(&id, "/deny"));
    let answers = tokio::join!(
        site.post(&yes, &one, ""),
        site.post(&no, &two, ""),
        site.post(&yes, &two, ""),
        site.post(&no, &one, ""),
    );
    let mut statuses: Vec<_> = [&answers.0, &answers.1, &answers.2, &answers.3]
        .into_iter()
        .map(|answer| answer.status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409]);
    let state = site.get(&path(&id, ""), &one).await.data()["state"].clone();
    let approved = answers.0.status == 200 || answers.2.status == 200;
    assert_eq!(state, if approved { "approved" } else { "denied" });
    assert_eq!(agent.uses(&site, &id, &question).await, approved);
}

#[tokio::test]
async fn a_timed_yes_is_a_grant_that_is_seen_bounded_and_taken_back() {
    let site = Site::new().await;
    let agent = Agent::new(&site, &site.a, "use").await;
    let admin = site.key(&site.a, "admin").await;
    let question = agent.question("x");
    let scope = question.scope().unwrap();
    let id = agent.asks(&site, &question).await;
    let body = r#"{"for_s":86400}"#;
    let granted = site.post(&path(&id, "/approve"), &admin, body).await.data()["grant"].clone();
    assert_eq!(
        (&granted["created_at"], &granted["lapses_at"]),
        (&json!("2026-03-15T10:23:45.000Z"), &json!("2026-03-15T11:23:45.000Z")),
        "the rule says an hour"
    );
    assert_eq!(site.get("/v1/grants", &admin).await.data()["grants"], json!([granted]));
    let approvals = site.team.approvals(&agent.ctx);
    assert_eq!(approvals.granted(&scope).await.unwrap().unwrap().id, granted["id"]);
    let revoke = format!("/v1/grants/{}", granted["id"].as_str().unwrap());
    let headers = [("x-api-key", &*admin)];
    let revoked = site.send("DELETE", &revoke, &headers, "").await.data();
    assert_eq!(revoked, json!({ "id": granted["id"], "revoked": true }));
    assert_eq!(site.send("DELETE", &revoke, &headers, "").await.status, 404);
    assert_eq!(approvals.granted(&scope).await.unwrap(), None);
    assert_eq!(records(&site, &admin, "grant.revoke").await.len(), 2, "done, and refused");
}

#[tokio::test]
async fn a_wish_is_granted_for_a_time_where_a_rule_asks_about_it_and_else_it_is_not() {
    let site = Site::new().await;
    let agent = Agent::new(&site, &site.a, "use").await;
    let admin = site.key(&site.a, "admin").await;
    let uncovered = agent.asks(&site, &agent.wish(false)).await;
    let refused = site.post(&path(&uncovered, "/approve"), &admin, r#"{"for_s":60}"#).await;
    assert_eq!(refused.problem(), (409, "conflict".into()));
    site.post(&path(&uncovered, "/deny"), &admin, "").await.data();
    let covered = agent.asks(&site, &agent.wish(true)).await;
    let refused = site.post(&path(&covered, "/approve"), &admin, "").await;
    assert_eq!(refused.problem(), (400, "invalid_request".into()));
    let done = site.post(&path(&covered, "/approve"), &admin, r#"{"for_s":60}"#).await.data();
    assert_eq!(done["grant"]["class"], "write");
}

#[tokio::test]
async fn an_answer_that_is_sent_again_with_its_idempotency_key_is_given_once() {
    let site = Site::new().await;
    let agent = Agent::new(&site, &site.a, "use").await;
    let person = site.key(&site.a, "approve").await;
    let id = agent.asks(&site, &agent.question("x")).await;
    let headers = [
        ("x-api-key", &*person),
        ("content-type", "application/json"),
        ("idempotency-key", "once"),
    ];
    let first = site.send("POST", &path(&id, "/approve"), &headers, "").await;
    let again = site.send("POST", &path(&id, "/approve"), &headers, "").await;
    assert_eq!((first.status, &first.body), (200, &again.body));
    let both = r#"{"session":true,"for_s":60}"#;
    let refused = site.post(&path(&id, "/approve"), &person, both).await;
    assert_eq!(refused.problem(), (400, "invalid_request".into()));
}
