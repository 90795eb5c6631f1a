//! Every template is judged by real requests: what it is for is allowed, what it must not do is not.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use strongroom_model::canonical::{RawRequest, canonicalize};
use strongroom_model::policy::Verdict;
use strongroom_model::service::Service;

use super::*;
use crate::config::Config;
use crate::flags;

/// What agents may do, what a person is asked for, what is denied by name or at all.
struct Case {
    name: &'static str,
    allow: &'static [&'static str],
    ask: &'static [&'static str],
    deny: &'static [&'static str],
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case {
        name: "airtable",
        allow: &["GET /appX1/Tasks", "GET /meta/bases", "POST /appX1/Tasks/listRecords"],
        ask: &["POST /appX1/Tasks", "PATCH /appX1/tblX2/recX3"],
        deny: &["DELETE /appX1/Tasks/recX3", "POST /bases/appX1/webhooks", "GET /bases/appX1/webhooks/w/payloads", "POST /meta/bases", "PUT /appX1/Tasks"],
    },
    Case {
        name: "anthropic",
        allow: &["POST /v1/messages", "GET /v1/models", "POST /v1/messages/count_tokens"],
        ask: &[],
        deny: &["GET /v1/organizations/api_keys", "POST /v1/organizations/invites", "DELETE /v1/files/f", "POST /v1/complete"],
    },
    Case {
        name: "aws-s3",
        allow: &["GET /", "GET /bucket", "GET /bucket/a/b.txt", "HEAD /bucket/a"],
        ask: &["PUT /bucket/a", "PUT /bucket/a/b.txt"],
        deny: &["PUT /bucket", "DELETE /bucket/a", "POST /bucket", "DELETE /bucket", "PUT /bucket/"],
    },
    Case {
        name: "aws-ses",
        allow: &["GET /v2/email/account", "GET /v2/email/identities"],
        ask: &["POST /v2/email/outbound-emails"],
        deny: &["POST /", "POST /v2/email/outbound-bulk-emails", "POST /v2/email/identities", "DELETE /v2/email/identities/x", "PUT /v2/email/account/sending", "GET /v2/email/export-jobs/j"],
    },
    Case {
        name: "bybit",
        allow: &["GET /v5/market/tickers", "GET /v5/account/wallet-balance", "GET /v5/order/realtime"],
        ask: &["POST /v5/order/create", "POST /v5/order/cancel"],
        deny: &["POST /v5/asset/withdraw/create", "POST /v5/asset/transfer/inter-transfer", "POST /v5/user/create-sub-api", "GET /v5/user/query-api", "POST /v5/position/set-leverage", "POST /v5/order/cancel-all"],
    },
    Case {
        name: "mexc",
        allow: &["GET /api/v3/account", "GET /api/v3/ticker/price"],
        ask: &["POST /api/v3/order"],
        deny: &["POST /api/v3/capital/withdraw", "POST /api/v3/capital/transfer", "POST /api/v3/userDataStream", "POST /api/v3/sub-account/apiKey", "DELETE /api/v3/order", "POST /api/v3/batchOrders"],
    },
    Case {
        name: "okx",
        allow: &["GET /api/v5/account/balance", "GET /api/v5/market/ticker", "GET /api/v5/asset/balances"],
        ask: &["POST /api/v5/trade/order"],
        deny: &["POST /api/v5/asset/withdrawal", "POST /api/v5/asset/transfer", "POST /api/v5/users/subaccount/apikey", "GET /api/v5/users/subaccount/apikey", "POST /api/v5/trade/close-position", "POST /api/v5/account/set-leverage"],
    },
    Case {
        name: "twitter",
        allow: &["GET /2/users/me", "GET /2/tweets/search/recent", "GET /2/tweets/1"],
        ask: &["POST /2/tweets", "POST /2/users/1/likes"],
        deny: &["DELETE /2/tweets/1", "POST /oauth/access_token", "POST /2/oauth2/token", "POST /oauth2/token", "GET /2/dm_events", "POST /1.1/statuses/update.json", "POST /2/users/1/following"],
    },
    Case {
        name: "cal",
        allow: &["GET /me", "GET /bookings", "GET /slots"],
        ask: &["POST /bookings", "POST /bookings/b1/cancel"],
        deny: &["POST /api-keys/refresh", "GET /webhooks", "POST /oauth-clients", "DELETE /schedules/1", "POST /event-types/1/webhooks"],
    },
    Case {
        name: "cloudflare",
        allow: &["GET /zones", "GET /zones/z/dns_records", "GET /user/tokens/verify"],
        ask: &[],
        deny: &["POST /user/tokens", "DELETE /zones/z/dns_records/r", "GET /accounts/a/cfd_tunnel/t/token", "POST /accounts/a/tokens", "PUT /zones/z/subscription"],
    },
    Case {
        name: "coinbase",
        allow: &["GET /v2/accounts", "GET /api/v3/brokerage/accounts", "GET /v2/prices/BTC-USD/spot"],
        ask: &[],
        deny: &["POST /v2/accounts/a/transactions", "POST /api/v3/brokerage/orders", "POST /api/v3/brokerage/portfolios/move_funds", "POST /oauth/token", "DELETE /v2/accounts/a", "POST /api/v3/brokerage/orders/batch_cancel"],
    },
    Case {
        name: "datadog",
        allow: &["GET /api/v1/monitor", "GET /api/v1/query", "POST /api/v2/logs/events/search", "GET /api/v1/validate"],
        ask: &["POST /api/v2/incidents"],
        deny: &["GET /api/v2/api_keys", "POST /api/v2/current_user/application_keys", "GET /api/v1/integration/aws", "DELETE /api/v1/monitor/1", "POST /api/v1/api_key", "POST /api/v1/monitor"],
    },
    Case {
        name: "discord",
        allow: &["GET /users/@me", "GET /channels/1/messages", "GET /guilds/1/members"],
        ask: &["POST /channels/1/messages"],
        deny: &["GET /channels/1/webhooks", "GET /guilds/1/webhooks", "POST /webhooks/1/tok", "POST /oauth2/token", "DELETE /channels/1", "PUT /guilds/1/bans/2", "POST /guilds/1/prune", "POST /channels/1/invites"],
    },
    Case {
        name: "github",
        allow: &["GET /repos/a/b/issues", "GET /user", "GET /search/code"],
        ask: &[],
        deny: &["POST /user/keys", "GET /repos/a/b/keys", "DELETE /repos/a/b", "POST /repos/a/b/actions/runners/registration-token", "PUT /repos/a/b/actions/secrets/X", "PUT /repos/a/b/collaborators/c", "POST /repos/a/b/transfer", "POST /app/installations/1/access_tokens", "POST /repos/a/b/issues"],
    },
    Case {
        name: "github-app",
        allow: &["GET /repos/a/b/issues", "GET /installation/repositories"],
        ask: &[],
        deny: &["POST /app/installations/1/access_tokens", "GET /app", "DELETE /repos/a/b", "POST /repos/a/b/keys", "PUT /repos/a/b/actions/secrets/X", "POST /repos/a/b/issues"],
    },
    Case {
        name: "gitlab",
        allow: &["GET /projects/a%2Fb/issues", "GET /user", "GET /projects/1/merge_requests"],
        ask: &[],
        deny: &["POST /projects/a%2Fb/access_tokens", "GET /projects/a%2Fb/variables/KEY", "POST /users/1/impersonation_tokens", "POST /projects/1/deploy_keys", "DELETE /projects/1", "POST /user/runners"],
    },
    Case {
        name: "google-analytics",
        allow: &["POST /v1beta/properties/1:runReport", "GET /v1beta/properties/1/metadata", "POST /v1beta/properties/1:batchRunReports"],
        ask: &[],
        deny: &["POST /v1beta/properties/1/audienceExports", "DELETE /v1beta/properties/1", "POST /v1alpha/properties/1:runFunnelReport", "POST /token"],
    },
    Case {
        name: "hubspot",
        allow: &["GET /crm/v3/objects/contacts", "POST /crm/v3/objects/deals/search", "GET /account-info/v3/details"],
        ask: &["POST /crm/v3/objects/contacts", "PATCH /crm/v3/objects/contacts/1"],
        deny: &["POST /oauth/v1/token", "GET /oauth/v1/access-tokens/t", "DELETE /crm/v3/objects/contacts/1", "POST /crm/v3/objects/contacts/gdpr-delete", "POST /crm/v3/objects/contacts/batch/archive", "POST /visitor-identification/v3/tokens/create", "POST /crm/v3/objects/commerce_payments", "POST /settings/v3/users"],
    },
    Case {
        name: "jira",
        allow: &["GET /rest/api/3/issue/A-1", "GET /rest/api/3/myself", "POST /rest/api/3/search/jql", "GET /rest/agile/1.0/board"],
        ask: &["POST /rest/api/3/issue", "POST /rest/api/3/issue/A-1/comment", "PUT /rest/api/3/issue/A-1"],
        deny: &["DELETE /rest/api/3/issue/A-1", "POST /rest/api/3/webhook", "POST /rest/api/3/user", "POST /rest/api/3/project", "GET /secure/admin", "POST /rest/api/3/bulk/issues/delete"],
    },
    Case {
        name: "linear",
        allow: &[r#"POST /graphql {"query":"{ issues { nodes { title } } }"}"#],
        ask: &[r#"POST /graphql {"query":"mutation { a: issueCreate(input: {title: \"x\"}) { success } }"}"#],
        deny: &["POST /oauth/token", "GET /graphql", "POST /oauth/revoke", r#"POST /graphql {"query":"mutation { issueCreate: webhookCreate { webhook { secret } } }"}"#],
    },
    Case {
        name: "mixpanel",
        allow: &["GET /query/insights", "GET /2.0/export", "GET /app/me", "POST /query/engage"],
        ask: &["POST /query/jql"],
        deny: &["POST /app/organizations/1/service-accounts/2", "POST /app/data-deletions/v3.0", "POST /app/projects/1/service-accounts/add", "DELETE /app/projects/1", "POST /import"],
    },
    Case {
        name: "notion",
        allow: &["POST /v1/search", "GET /v1/pages/p", "POST /v1/databases/d/query"],
        ask: &[],
        deny: &["DELETE /v1/blocks/b", "POST /v1/oauth/token", "POST /v1/pages", "PATCH /v1/pages/p"],
    },
    Case {
        name: "openai",
        allow: &["POST /v1/responses", "POST /v1/chat/completions", "GET /v1/models"],
        ask: &[],
        deny: &["GET /v1/organization/admin_api_keys", "POST /v1/realtime/client_secrets", "DELETE /v1/files/f", "POST /v1/fine_tuning/jobs"],
    },
    Case {
        name: "pagerduty",
        allow: &["GET /incidents", "GET /oncalls", "GET /abilities"],
        ask: &["POST /incidents", "PUT /incidents/P1", "POST /incidents/P1/notes"],
        deny: &["GET /services/P1/integrations/P2", "POST /services/P1/integrations", "POST /webhook_subscriptions", "DELETE /services/P1", "POST /users", "GET /users/P1/sessions"],
    },
    Case {
        name: "planetscale",
        allow: &["GET /organizations", "GET /organizations/o/databases/d/branches"],
        ask: &["POST /organizations/o/databases/d/deploy-requests"],
        deny: &["POST /organizations/o/databases/d/branches/main/passwords", "GET /organizations/o/databases/d/branches/main/passwords", "POST /organizations/o/service-tokens", "POST /organizations/o/databases", "DELETE /organizations/o/databases/d", "POST /organizations/o/databases/d/deploy-requests/1/deploy"],
    },
    Case {
        name: "posthog",
        allow: &["GET /projects/", "POST /projects/1/query/", "GET /projects/1/insights/", "GET /users/@me/"],
        ask: &["PATCH /projects/1/feature_flags/2/"],
        deny: &["GET /personal_api_keys/", "POST /personal_api_keys/", "PATCH /projects/1/reset_token/", "DELETE /projects/1/insights/2/", "POST /organizations/o/invites/", "POST /projects/1/batch_exports/", "PATCH /projects/1/"],
    },
    Case {
        name: "replicate",
        allow: &["GET /v1/models", "GET /v1/predictions/p", "POST /v1/predictions/p/cancel"],
        ask: &["POST /v1/predictions", "POST /v1/models/o/m/predictions"],
        deny: &["GET /v1/webhooks/default/secret", "POST /v1/models/o/m/versions/v/trainings", "DELETE /v1/models/o/m", "POST /v1/deployments"],
    },
    Case {
        name: "resend",
        allow: &["GET /domains", "GET /emails/e"],
        ask: &["POST /emails", "POST /emails/batch"],
        deny: &["POST /api-keys", "GET /api-keys", "POST /webhooks", "DELETE /domains/d", "POST /domains"],
    },
    Case {
        name: "sendgrid",
        allow: &["GET /scopes", "GET /stats", "GET /templates"],
        ask: &["POST /mail/send"],
        deny: &["POST /api_keys", "GET /api_keys", "POST /subusers", "DELETE /templates/t", "PATCH /user/email", "POST /sso/integrations"],
    },
    Case {
        name: "sentry",
        allow: &["GET /projects/", "GET /organizations/o/issues/", "GET /organizations/"],
        ask: &[],
        deny: &["GET /api-tokens/", "POST /organizations/o/org-auth-tokens/", "POST /projects/o/p/keys/", "DELETE /projects/o/p/", "PUT /projects/o/p/"],
    },
    Case {
        name: "slack",
        allow: &["GET /users.list", "POST /auth.test", "GET /conversations.history"],
        ask: &["POST /chat.postMessage"],
        deny: &["POST /chat.delete", "GET /chat.postMessage", "POST /oauth.v2.access", "GET /auth.revoke", "POST /apps.connections.open", "GET /files.delete", "POST /tooling.tokens.rotate"],
    },
    Case {
        name: "stripe",
        allow: &["GET /v1/charges", "GET /v1/balance", "GET /v1/customers/cus_1"],
        ask: &[],
        deny: &["POST /v1/charges", "POST /v1/refunds", "POST /v1/payouts", "POST /v1/payment_intents/pi_1/confirm", "DELETE /v1/customers/cus_1", "POST /v1/ephemeral_keys", "GET /v1/issuing/cards/ic_1", "POST /v1/webhook_endpoints", "POST /v1/customers"],
    },
    Case {
        name: "supabase",
        allow: &["GET /todos", "HEAD /todos", "GET /"],
        ask: &["POST /todos", "PATCH /todos", "POST /rpc/hello"],
        deny: &["DELETE /todos", "PUT /todos", "GET /rpc/hello"],
    },
    Case {
        name: "twilio",
        allow: &["GET /Accounts.json", "GET /Accounts/AC1/Messages.json", "GET /Accounts/AC1/Messages/SM1.json"],
        ask: &["POST /Accounts/AC1/Messages.json", "POST /Accounts/AC1/Calls.json"],
        deny: &["POST /Accounts.json", "POST /Accounts/AC1/Keys.json", "GET /Accounts/AC1/Keys.json", "POST /Accounts/AC1/Tokens.json", "POST /Accounts/AC1/IncomingPhoneNumbers.json", "POST /Accounts/AC1/IncomingPhoneNumbers/Local.json", "DELETE /Accounts/AC1/Messages/SM1.json", "POST /Accounts/AC1.json"],
    },
    Case {
        name: "vercel",
        allow: &["GET /v2/user", "GET /v9/projects", "GET /v6/deployments"],
        ask: &["POST /v13/deployments"],
        deny: &["POST /v3/user/tokens", "GET /v9/projects/p/env", "GET /v1/projects/p/env/e", "DELETE /v9/projects/p", "POST /v5/domains/buy", "GET /v1/storage/stores/s/secrets", "POST /v1/registrar/domains/d/buy", "POST /v1/edge-config/e/token", "POST /v2/oauth/access_token"],
    },
];

fn service(template: &Template) -> Arc<Service> {
    let examples = template.settings.iter().map(|one| (one.name.clone(), one.example.clone()));
    let template = template.clone().fill(&examples.collect::<Vec<_>>()).unwrap();
    let secrets = template
        .secrets
        .iter()
        .map(|field| (field.clone(), format!("local://{}/key", template.name).parse().unwrap()));
    let secrets: Vec<_> = secrets.collect();
    let mut table = template.table.clone();
    flags::put_auth(&mut table, &template.auth, None, &secrets);
    let auth = table.get_mut("auth").and_then(Item::as_table_like_mut).unwrap();
    for (key, value) in &template.auth_settings {
        auth.insert(key, Item::Value(value.clone()));
    }
    let text = format!("[services.{}]\n{table}", template.name);
    let config = Config::parse(&template.name, &text).unwrap_or_else(|e| panic!("{text}\n{e}"));
    config.service(&template.name).unwrap().clone()
}

/// `path` may have a blank and a body of JSON behind it.
fn verdict(service: &Service, method: &str, path: &str) -> Verdict {
    let (path, body) = path.split_once(' ').unwrap_or((path, ""));
    let json = ("content-type".to_owned(), "application/json".to_owned());
    let headers = if body.is_empty() { Vec::new() } else { vec![json] };
    let (method, path, body) = (method.into(), path.into(), body.into());
    let raw = RawRequest { method, path, headers, body, ..RawRequest::default() };
    service.policy.explain(&canonicalize(service, raw).unwrap()).verdict
}

#[test]
fn every_template_is_a_service_that_can_be_loaded() {
    let names = names();
    assert!(names.len() >= 35 && names.is_sorted(), "{names:?}");
    for name in &names {
        let template = find(name).unwrap();
        assert!(!template.about.is_empty() && !template.key.is_empty(), "{name}");
        assert!(!template.secrets.is_empty() && !template.tags.is_empty(), "{name}");
        assert!(template.docs.starts_with("https://"), "{name}");
        let complete = |one: &Setting| !one.about.is_empty() && !one.example.is_empty();
        assert!(template.settings.iter().all(complete), "{name}");
        let service = service(&template);
        assert!(!service.policy.allows_everything(), "{name}");
        if let Some(path) = &service.test_path {
            assert_eq!(verdict(&service, "GET", path), Verdict::Allow, "{name} {path}");
        }
    }
}

#[test]
fn each_request_gets_the_verdict_that_its_api_needs() {
    let mut wrong = Vec::new();
    for case in CASES {
        let service = service(&find(case.name).unwrap());
        for (expected, requests) in
            [(Verdict::Allow, case.allow), (Verdict::Ask, case.ask), (Verdict::Deny, case.deny)]
        {
            for request in requests {
                let (method, path) = request.split_once(' ').unwrap();
                let found = verdict(&service, method, path);
                if found != expected {
                    wrong.push(format!("{} {request}: {found:?}, not {expected:?}", case.name));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// What the documentation of each API says makes or shows a credential. `supabase`, `aws-s3` and
/// `google-analytics` have it elsewhere, on hosts that the key never goes to.
#[rustfmt::skip]
const MINTS: &[(&str, &[&str])] = &[
    ("airtable", &["POST /bases/b/webhooks", "POST /oauth2/v1/token"]),
    ("anthropic", &["GET /v1/organizations/api_keys", "POST /v1/organizations/api_keys/k"]),
    ("aws-ses", &["POST /", "POST /v2/email/identities", "PUT /v2/email/identities/i/dkim/signing"]),
    ("bybit", &["POST /v5/user/create-sub-api", "POST /v5/user/update-api", "GET /v5/user/query-api"]),
    ("cal", &["POST /api-keys/refresh", "POST /oauth/c/exchange", "POST /oauth-clients/c/users/u/force-refresh"]),
    (
        "cloudflare",
        &[
            "POST /user/tokens",
            "PUT /user/tokens/t/value",
            "POST /accounts/a/tokens",
            "PUT /accounts/a/tokens/t/value",
            "GET /user/api_token",
            "GET /user/service_keys/origintunnel",
            "POST /certificates",
            "POST /accounts/a/access/service_tokens",
            "GET /accounts/a/cfd_tunnel/t/token",
            "GET /accounts/a/warp_connector/t/token",
            "GET /accounts/a/pages/projects/p/upload-token",
            "GET /accounts/a/workers/subdomain/edge-preview",
            "POST /accounts/a/r2/temp-access-credentials",
            "POST /accounts/a/stream/keys",
        ],
    ),
    ("coinbase", &["POST /oauth/token", "GET /oauth/authorize"]),
    ("datadog", &["POST /api/v1/api_key", "POST /api/v2/api_keys", "GET /api/v2/api_keys/k", "POST /api/v2/service_accounts/s/application_keys", "POST /api/v2/current_user/application_keys"]),
    ("discord", &["POST /oauth2/token", "POST /channels/1/webhooks", "GET /channels/1/webhooks", "POST /interactions/1/t/callback"]),
    ("github", &["POST /app/installations/1/access_tokens", "POST /applications/c/token", "POST /authorizations", "POST /repos/a/b/actions/runners/registration-token", "POST /repos/a/b/actions/runners/generate-jitconfig", "POST /orgs/o/actions/runners/remove-token", "POST /app-manifests/c/conversions", "POST /repos/a/b/keys"]),
    ("github-app", &["POST /app/installations/1/access_tokens", "POST /applications/c/token/scoped", "POST /orgs/o/actions/runners/generate-jitconfig"]),
    ("gitlab", &["POST /users/1/personal_access_tokens", "POST /personal_access_tokens/1/rotate", "POST /users/1/impersonation_tokens", "POST /projects/1/access_tokens", "POST /groups/1/access_tokens/2/rotate", "POST /projects/1/deploy_tokens", "POST /projects/1/triggers", "POST /user/runners", "POST /runners/reset_registration_token", "POST /projects/1/runners/reset_registration_token", "POST /applications", "POST /projects/1/cluster_agents/2/tokens"]),
    ("hubspot", &["POST /oauth/v1/token", "GET /oauth/v1/access-tokens/t", "POST /visitor-identification/v3/tokens/create", "POST /marketing/v3/transactional/smtp-tokens", "POST /marketing/v3/transactional/smtp-tokens/t/password-reset"]),
    ("jira", &["POST /rest/api/3/webhook", "POST /rest/atlassian-connect/1/migration/field", "POST /oauth/token"]),
    ("linear", &["POST /oauth/token", "POST /oauth/revoke", r#"POST /graphql {"query":"mutation { issueUpdate(id: \"1\") { success } webhookCreate { webhook { secret } } }"}"#]),
    ("mexc", &["POST /api/v3/userDataStream", "GET /api/v3/userDataStream", "POST /api/v3/sub-account/apiKey", "GET /api/v3/sub-account/apiKey"]),
    ("mixpanel", &["POST /app/organizations/1/service-accounts", "POST /app/projects/1/service-accounts/add"]),
    ("notion", &["POST /v1/oauth/token", "POST /v1/oauth/introspect"]),
    ("okx", &["POST /api/v5/users/subaccount/apikey", "POST /api/v5/users/subaccount/modify-apikey", "GET /api/v5/users/subaccount/apikey", "POST /api/v5/broker/nd/subaccount/apikey"]),
    ("openai", &["POST /v1/organization/admin_api_keys", "POST /v1/organization/projects/p/service_accounts", "POST /v1/realtime/client_secrets", "POST /v1/realtime/sessions", "POST /v1/realtime/transcription_sessions"]),
    ("pagerduty", &["POST /services/P/integrations", "GET /services/P/integrations/I", "POST /webhook_subscriptions", "GET /users/P/sessions"]),
    ("planetscale", &["POST /organizations/o/databases/d/branches/b/passwords", "POST /organizations/o/service-tokens", "POST /organizations/o/oauth-applications/a/tokens", "POST /organizations/o/databases/d/branches/b/roles"]),
    ("posthog", &["POST /personal_api_keys/", "PATCH /projects/1/reset_token/", "PATCH /projects/1/rotate_secret_token/", "POST /oauth/token/"]),
    ("replicate", &["GET /v1/webhooks/default/secret"]),
    ("resend", &["POST /api-keys", "POST /webhooks"]),
    ("sendgrid", &["POST /api_keys", "POST /sso/integrations", "POST /subusers", "POST /user/webhooks/event/settings"]),
    ("sentry", &["POST /api-tokens/", "POST /organizations/o/org-auth-tokens/", "POST /projects/o/p/keys/", "GET /projects/o/p/keys/", "POST /sentry-app-installations/u/authorizations/", "POST /sentry-apps/s/api-tokens/", "GET /sentry-apps/s/api-tokens/"]),
    ("slack", &["POST /oauth.v2.access", "GET /oauth.access", "POST /oauth.v2.exchange", "POST /openid.connect.token", "POST /apps.connections.open", "POST /tooling.tokens.rotate", "GET /rtm.connect", "POST /files.getUploadURLExternal"]),
    ("stripe", &["POST /v1/ephemeral_keys", "POST /v1/webhook_endpoints", "POST /v1/terminal/connection_tokens", "POST /v1/account_links", "POST /v1/account_sessions", "GET /v1/apps/secrets/find", "POST /v1/setup_intents", "POST /v1/payment_intents"]),
    ("twilio", &["POST /Accounts/A/Keys.json", "POST /Accounts/A/SigningKeys.json", "POST /Accounts/A/Tokens.json", "POST /Accounts.json", "POST /Accounts/A/SIP/CredentialLists.json"]),
    ("twitter", &["POST /oauth/request_token", "POST /oauth/access_token", "POST /oauth2/token", "POST /2/oauth2/token"]),
    ("vercel", &["POST /v3/user/tokens", "GET /v9/projects/p/env", "POST /v1/edge-config/e/token", "GET /v1/edge-config/e/tokens", "POST /v1/webhooks", "PATCH /v1/projects/p/protection-bypass", "POST /v2/oauth/access_token"]),
];

// RR-12
#[test]
fn no_template_lets_an_agent_mint_a_credential() {
    let mut wrong = Vec::new();
    for (name, requests) in MINTS {
        let service = service(&find(name).unwrap());
        for request in *requests {
            let (method, path) = request.split_once(' ').unwrap();
            let found = verdict(&service, method, path);
            if found != Verdict::Deny {
                wrong.push(format!("{name} {request}: {found:?}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let elsewhere = ["supabase", "aws-s3", "google-analytics"];
    let known: BTreeSet<_> = MINTS.iter().map(|(name, _)| *name).chain(elsewhere).collect();
    assert_eq!(known, names().iter().map(String::as_str).collect());
}

#[test]
fn every_template_is_judged_both_ways() {
    let judged: BTreeSet<_> = CASES.iter().map(|case| case.name.to_owned()).collect();
    assert_eq!(judged, names().into_iter().collect());
    for case in CASES {
        assert!(!case.allow.is_empty() && case.deny.len() >= 3, "{}", case.name);
    }
}

#[test]
fn nothing_is_deleted_by_default() {
    for name in names() {
        let service = service(&find(&name).unwrap());
        for path in ["/a", "/v1/a", "/a/b/c", "/api/v1/a/b"] {
            assert_eq!(verdict(&service, "DELETE", path), Verdict::Deny, "{name} {path}");
        }
    }
}

// RR-12
#[test]
fn what_an_api_mints_is_redacted_should_somebody_allow_it() {
    for (name, field) in [
        ("airtable", "macSecretBase64"),
        ("cal", "apiKey"),
        ("datadog", "key"),
        ("discord", "token"),
        ("github", "token"),
        ("gitlab", "token"),
        ("pagerduty", "integration_key"),
        ("planetscale", "plain_text"),
        ("replicate", "key"),
        ("resend", "token"),
        ("sendgrid", "api_key"),
        ("stripe", "secret"),
        ("twilio", "auth_token"),
        ("vercel", "bearerToken"),
    ] {
        let fields = &service(&find(name).unwrap()).redact_fields;
        assert!(fields.iter().any(|there| there == field), "{name}");
    }
}

/// The reference for people, from the data.
fn reference() -> String {
    let mut text = String::from(
        "# Templates\n\n\
         What `strongroom add NAME` knows, as `strongroom templates` lists it. A test holds this page to\n\
         `crates/strongroom/src/templates.toml`. A request that no rule names is denied, and deny beats ask\n\
         beats allow; the rules are a beginning, which `strongroom edit NAME` changes.\n\n\
         | name | what it is | auth | secrets | settings |\n| --- | --- | --- | --- | --- |\n",
    );
    for template in all() {
        let settings = template.settings.iter().map(|one| match &one.default {
            Some(default) => format!("`{}` (else `{default}`)", one.name),
            None => format!("`{}`", one.name),
        });
        writeln!(
            text,
            "| [{}](#{0}) | {} | `{}` | `{}` | {} |",
            template.name,
            template.about.replace('|', "\\|"),
            template.auth,
            template.secrets.join("`, `"),
            settings.collect::<Vec<_>>().join(", "),
        )
        .unwrap();
    }
    for template in all() {
        writeln!(text, "\n## {}\n\n{}. <{}>\n", template.name, template.about, template.docs)
            .unwrap();
        writeln!(text, "- asks for {}", template.key).unwrap();
        for one in &template.settings {
            writeln!(text, "- `--set {}={}`: {}", one.name, one.example, one.about).unwrap();
        }
        write!(text, "- base URL `{}`", template.text("base_url").unwrap()).unwrap();
        if let Some(path) = template.text("test_path") {
            write!(text, ", tested by `GET {path}`").unwrap();
        }
        text.push('\n');
        for (word, key) in [
            ("allows", "allow"),
            ("asks a person for", "ask"),
            ("denies", "deny"),
            ("redacts the fields", "redact_fields"),
        ] {
            let list = template.list(key);
            if !list.is_empty() {
                writeln!(text, "- {word} `{}`", list.join("`, `")).unwrap();
            }
        }
    }
    text
}

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/templates.md");

#[test]
fn the_reference_says_what_the_templates_do() {
    let there = std::fs::read_to_string(REFERENCE).unwrap_or_default();
    assert!(
        there == reference(),
        "run `cargo nextest run -p strongroom --run-ignored only write_the_reference`"
    );
}

#[test]
#[ignore = "writes the file that the test above reads"]
fn write_the_reference() {
    std::fs::write(REFERENCE, reference()).unwrap();
}
