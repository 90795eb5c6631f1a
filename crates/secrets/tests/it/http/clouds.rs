//! Google, Azure, Doppler and Infisical against stand-ins.

use super::*;

/// The key of RFC 7515, appendix A.2, as a service account of Google has it.
fn account(token_uri: &str) -> String {
    let key = include_str!("service-account-key.pem").replace('\n', "\\n");
    format!(
        r#"{{"type":"service_account","client_email":"a@p.iam.gserviceaccount.com","private_key_id":"k","private_key":"{key}","token_uri":"{token_uri}"}}"#
    )
}

fn google(url: &str) -> Kept {
    let pairs = [("endpoint", url), ("credentials", "env://C")];
    provider("gcp-sm", &pairs, &[("C", &account(&format!("{url}/token")))])
}

fn azure(url: &str) -> Kept {
    let pairs = [
        ("endpoint", url),
        ("authority", url),
        ("tenant_id", "tenant"),
        ("client_id", "app"),
        ("client_secret", "env://S"),
    ];
    provider("azure-kv", &pairs, &[("S", "canary-client-secret")])
}

fn doppler(url: &str) -> Kept {
    provider("doppler", &[("endpoint", url)], &[("DOPPLER_TOKEN", "canary-doppler")])
}

fn infisical(url: &str) -> Kept {
    let pairs = [("address", url), ("client_id", "identity"), ("client_secret", "env://S")];
    provider("infisical", &pairs, &[("S", "canary-client-secret")])
}

#[tokio::test]
async fn google_holds_the_contract_with_a_stand_in() {
    let stand_in = StandIn::google().await;
    let google = google(&stand_in.url());
    let holdings = Holdings {
        found: vec![
            (reference("gcp-sm://p/plain"), "canary-g"),
            (reference("gcp-sm://p/json/7#k"), "canary-k"),
        ],
        missing: reference("gcp-sm://p/none"),
        unusable: Some(reference("gcp-sm://p/plain#k")),
    };
    holds_the_contract(&google, &holdings).await;
    let odd = ["gcp-sm://p/damaged", "gcp-sm://p/plain/1", "gcp-sm://p/denied"];
    assert_eq!(answers(&google, &odd).await, ["unreachable", "not_found", "denied"]);
    let asked = references(&["gcp-sm://p/plain", "gcp-sm://p/json/7#k"]);
    every_trouble(&stand_in, self::google, &asked).await;
}

#[tokio::test]
async fn a_key_of_google_names_no_other_place_for_tokens() {
    let stand_in = StandIn::google().await;
    let elsewhere = StandIn::google().await;
    let key = account(&format!("{}/token", elsewhere.url()));
    let url = stand_in.url();
    for pairs in
        [&[("endpoint", &*url), ("credentials", "env://C")][..], &[("credentials", "env://C")]]
    {
        let google = provider("gcp-sm", pairs, &[("C", &key)]);
        assert_eq!(answers(&google, &["gcp-sm://p/plain"]).await, ["absent"]);
    }
    for text in ["{}", "canary", r#"{"type":"authorized_user"}"#] {
        let google =
            provider("gcp-sm", &[("endpoint", &*url), ("credentials", "env://C")], &[("C", text)]);
        assert_eq!(answers(&google, &["gcp-sm://p/plain"]).await, ["absent"]);
    }
    assert!(elsewhere.asked().is_empty() && stand_in.asked().is_empty());
}

#[tokio::test]
async fn azure_holds_the_contract_with_a_stand_in() {
    let stand_in = StandIn::azure().await;
    let azure = azure(&stand_in.url());
    let holdings = Holdings {
        found: vec![
            (reference("azure-kv://myvault/one"), "canary-one"),
            (reference("azure-kv://myvault/two/0123"), "canary-two"),
        ],
        missing: reference("azure-kv://myvault/none"),
        unusable: Some(reference("azure-kv://evil.example:1@x/one")),
    };
    holds_the_contract(&azure, &holdings).await;
    assert_eq!(answers(&azure, &["azure-kv://myvault/denied"]).await, ["denied"]);
    let before = stand_in.asked().len();
    for vault in ["a", "-abc", "1abc", "abc-", "a.b.c", "a%2fb", "abcdefghijklmnopqrstuvwxy"] {
        let text = format!("azure-kv://{vault}/one");
        if text.parse::<SecretRef>().is_ok() {
            assert_eq!(answers(&azure, &[&text]).await, ["unusable"], "{vault}");
        }
    }
    assert_eq!(stand_in.asked().len(), before, "nobody was asked");
    every_trouble(&stand_in, self::azure, &references(&["azure-kv://myvault/one"])).await;
}

#[tokio::test]
async fn doppler_holds_the_contract_with_a_stand_in() {
    let stand_in = StandIn::doppler().await;
    let holdings = Holdings {
        found: vec![
            (reference("doppler://app/prd/A"), "canary-a"),
            (reference("doppler://app/prd/B"), "canary-b"),
        ],
        missing: reference("doppler://app/prd/NONE"),
        unusable: Some(reference("doppler://app/prd/EMPTY")),
    };
    holds_the_contract(&doppler(&stand_in.url()), &holdings).await;
    every_trouble(&stand_in, doppler, &references(&["doppler://app/prd/A"])).await;
    let wrong = provider("doppler", &[("endpoint", &stand_in.url())], &[("DOPPLER_TOKEN", "x")]);
    assert_eq!(answers(&wrong, &["doppler://app/prd/A"]).await, ["token_rejected"]);
}

#[tokio::test]
async fn infisical_holds_the_contract_with_a_stand_in() {
    let stand_in = StandIn::infisical().await;
    let infisical = infisical(&stand_in.url());
    let holdings = Holdings {
        found: vec![
            (reference("infisical://app/prod/A"), "canary-a"),
            (reference("infisical://app/prod/C"), "canary-c"),
            (reference("infisical://app/prod/db/main/A"), "canary-deep"),
        ],
        missing: reference("infisical://app/prod/NONE"),
        unusable: Some(reference("infisical://app/prod/EMPTY")),
    };
    holds_the_contract(&infisical, &holdings).await;
    assert_eq!(answers(&infisical, &["infisical://app/prod/H"]).await, ["denied"]);
    every_trouble(&stand_in, self::infisical, &references(&["infisical://app/prod/A"])).await;
}

#[tokio::test]
async fn what_lies_together_is_one_request_of_the_stand_in_and_logins_are_kept() {
    let (a, b, c, d) = (
        StandIn::doppler().await,
        StandIn::infisical().await,
        StandIn::google().await,
        StandIn::azure().await,
    );
    let apis = [
        (doppler(&a.url()), ["doppler://app/prd/A", "doppler://app/prd/B"], &a, 1, 2),
        (infisical(&b.url()), ["infisical://app/prod/A", "infisical://app/prod/B"], &b, 2, 3),
        (google(&c.url()), ["gcp-sm://p/json/7", "gcp-sm://p/json/7#k"], &c, 2, 3),
        (azure(&d.url()), ["azure-kv://myvault/one", "azure-kv://myvault/one"], &d, 2, 3),
    ];
    for (provider, wanted, stand_in, once, twice) in apis {
        for requests in [once, twice] {
            let found = answers(&provider, &wanted).await;
            assert!(found.iter().all(|value| value.contains("canary")), "{wanted:?} {found:?}");
            assert_eq!(stand_in.asked().len(), requests, "{wanted:?}");
        }
        if once == 2 {
            stand_in.revoke();
            let found = answers(&provider, &wanted).await;
            assert!(found.iter().all(|value| value.contains("canary")), "{wanted:?} {found:?}");
            assert_eq!(stand_in.asked().len(), twice + 3, "refused, logged in, asked again");
        }
    }
}
