//! The other calls of the broker, and what they tell to whom.

use std::future::pending;

use strongroom_model::code::Code;
use strongroom_model::policy::Verdict;
use strongroom_model::ports::Calls as _;
use strongroom_testkit::fakes::caller;
use strongroom_testkit::upstream::Reply;

use crate::rig::{Rig, get};

async fn rig() -> Rig {
    let mut rig = Rig::new(|seen| match seen.target.as_str() {
        "/h/401" => Reply::status(401),
        "/h/302" => Reply::status(302).header("Location", "/h/x"),
        _ => Reply::ok("fine"),
    })
    .await;
    rig.reconfigure(|service| {
        if service.name.as_str() == "qry" {
            service.principals = Some(vec!["other".parse().unwrap()]);
        }
    });
    rig
}

// MC-21
#[tokio::test]
async fn a_service_that_is_not_the_callers_is_a_service_that_is_not() {
    let rig = rig().await;
    let (me, other) = (caller("default"), caller("other"));
    let hidden = rig.denied(get("qry", "/x"), Code::NotFound).await;
    for unknown in ["nothing", "", "Q R Y", "../qry"] {
        assert_eq!(rig.denied(get(unknown, "/x"), Code::NotFound).await, hidden);
        assert_eq!(rig.broker.explain(&me, get(unknown, "/x")).unwrap_err(), hidden);
        let tested = rig.broker.test_service(&me, unknown, Box::pin(pending())).await;
        assert_eq!(tested.unwrap_err().0, hidden);
    }
    assert_eq!(rig.broker.explain(&me, get("qry", "/x")).unwrap_err(), hidden);
    let tested = rig.broker.test_service(&me, "qry", Box::pin(pending())).await;
    assert_eq!(tested.unwrap_err().0, hidden);

    let call = rig.broker.execute(&other, get("qry", "/x"), Box::pin(pending())).await;
    assert!(call.result.is_ok());
    assert!(rig.broker.explain(&other, get("qry", "/x")).is_ok());
}

#[tokio::test]
async fn a_caller_sees_the_services_that_he_may_use() {
    let rig = rig().await;
    let names = |principal| -> Vec<String> {
        let services = rig.broker.list_services(&caller(principal));
        services.into_iter().map(|service| service.name).collect()
    };
    assert_eq!(names("default"), ["acme", "cookie", "hdr", "pem"]);
    assert_eq!(names("other"), ["acme", "cookie", "hdr", "pem", "qry"]);

    let who = rig.broker.whoami(&caller("default")).await;
    assert_eq!(who.principal, "default");
    assert_eq!(who.source, "stdio");
    assert_eq!(who.services, names("default"));

    let acme = rig.broker.list_services(&caller("default")).remove(0);
    let port = rig.upstream.address().port();
    assert_eq!(acme.base_url, format!("http://api.test:{port}/v1"));
    assert_eq!(acme.auth, "bearer");
    assert_eq!(acme.rules[0], (Verdict::Deny, "* /public/secret/**".to_owned()));
    assert_eq!(acme.calls_per_minute, 600);
}

#[tokio::test]
async fn testing_a_service_says_whether_it_answers_and_takes_the_credential() {
    let mut rig = rig().await;
    for (path, status, authenticated) in
        [("/fine", 200, true), ("/401", 401, false), ("/302", 302, true)]
    {
        rig.reconfigure(|service| service.test_path = Some(path.into()));
        let before = rig.upstream.requests();
        let tested = rig.broker.test_service(&caller("default"), "hdr", Box::pin(pending())).await;
        let tested = tested.unwrap();
        assert!(tested.reachable);
        assert_eq!((tested.status, tested.authenticated), (status, authenticated), "{path}");
        assert_eq!(rig.upstream.requests(), before + 1, "no redirects");
        assert!(
            rig.audit.records().iter().any(|record| {
                record.audit_id.as_ref().is_some_and(|id| id.0 == tested.audit_id)
            })
        );
    }
}

#[tokio::test]
async fn testing_a_service_is_judged_like_any_call() {
    let mut rig = rig().await;
    let tested = rig.broker.test_service(&caller("default"), "acme", Box::pin(pending())).await;
    let (refusal, audit_id) = tested.unwrap_err();
    assert_eq!(refusal.code, Code::PolicyDenied);
    assert!(audit_id.is_some());
    assert_eq!(rig.upstream.connections(), 0);
    rig.reconfigure(|service| service.test_path = Some("/public/x".into()));
    let tested = rig.broker.test_service(&caller("default"), "acme", Box::pin(pending())).await;
    assert!(tested.unwrap().authenticated);
}
