//! Kernels: the tenant that they name, and requests that they sign.

use std::time::{Duration, UNIX_EPOCH};

use strongroom_model::ports::Clock as _;
use strongroom_model::secret::Secret;
use strongroom_seal::sign::hmac::{Algorithm, Encoding, sign};

use crate::support::{AMAZON, LIST, REGISTER, Reply, Site};

// AU-06
#[tokio::test]
async fn a_kernel_names_its_tenant_in_exactly_one_place() {
    let site = Site::new().await;
    let (_, kernel) = site.kernel(false).await;
    let bearer = format!("Bearer {kernel}");
    let headers = [("authorization", &*bearer), ("content-type", "application/json")];
    let a = site.a.id.to_string();
    let named = AMAZON.replacen('{', &format!(r#"{{"tenant_id":"{a}","#), 1);
    site.send("POST", REGISTER, &headers, &named).await.data();
    let headers = [("authorization", &*bearer)];
    let list =
        async |query: &str| site.send("GET", &format!("{LIST}{query}"), &headers, "").await.status;
    assert_eq!(list(&format!("?tenant_id={a}")).await, 200);
    assert_eq!(list("").await, 400);
    assert_eq!(list(&format!("?tenant_id={}", a.to_uppercase())).await, 400);
    assert_eq!(list(&format!("?tenant_id={a}&tenant_id={a}")).await, 400);
    assert_eq!(list(&format!("?tenant_id={}", site.b.id)).await, 404, "another organization's");
    assert_eq!(list("?tenant_id=2f1c3a4e-0b5d-4c6e-8f70-112233445566").await, 404, "nobody's");

    let headers = [("authorization", &*bearer), ("content-type", "application/json")];
    let post = async |path: &str, body: &str| site.send("POST", path, &headers, body).await.status;
    let authorize = "/functions/v1/authorize";
    let body = |tenant: &str| format!(r#"{{"action":"x","tenant_id":{tenant}}}"#);
    let quoted = format!("\"{a}\"");
    assert_eq!(post(authorize, &body(&quoted)).await, 200);
    assert_eq!(post(authorize, r#"{"action":"x"}"#).await, 400);
    assert_eq!(post(authorize, &body(&format!("[{quoted}]"))).await, 400);
    assert_eq!(post(authorize, &body("null")).await, 400);
    let by_both = format!("{authorize}?tenant_id={a}");
    assert_eq!(post(&by_both, &body(&quoted)).await, 400);
    assert_eq!(post(&by_both, r#"{"action":"x"}"#).await, 400);
    let with_header = [headers[0], headers[1], ("x-tenant-id", &*a)];
    let reply = site.send("POST", authorize, &with_header, r#"{"action":"x"}"#).await;
    assert_eq!(reply.status, 400, "a header names no tenant");
}

/// A kernel that signs.
struct Signer {
    id: String,
    key: Secret,
}

impl Signer {
    async fn new(site: &Site) -> Self {
        let (key, token) = site.kernel(true).await;
        Self { id: key.id.to_string(), key: Secret::new(token.as_bytes()[21..].to_vec()) }
    }

    fn signature(&self, time: u64, method: &str, target: &str, body: &str) -> String {
        let hash = strongroom_seal::hex(&strongroom_seal::sha256(body.as_bytes()));
        let text = format!("{time}.{method}.{target}.{hash}");
        let mac = sign(Algorithm::Sha256, Encoding::Hex, &self.key, &[text.as_bytes()]);
        format!("t={time},v1={mac}")
    }

    async fn send(&self, site: &Site, method: &str, target: &str, signature: &str) -> Reply {
        let bearer = format!("Bearer krn_{}", self.id);
        let headers = [("authorization", &*bearer), ("x-signature", signature)];
        site.send(method, target, &headers, "").await
    }
}

// AU-06, AU-07
#[tokio::test]
async fn a_signed_request_is_good_once_for_what_was_signed_and_for_minutes() {
    let site = Site::new().await;
    let signer = Signer::new(&site).await;
    let now = || site.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let target = format!("{LIST}?tenant_id={}", site.a.id);
    let good = signer.signature(now(), "GET", &target, "");
    let nobody = site.send("GET", LIST, &[], "").await.body;
    assert_eq!(signer.send(&site, "GET", &target, &good).await.status, 200);
    let again = signer.send(&site, "GET", &target, &good).await;
    assert_eq!((again.status, &again.body), (401, &nobody), "a signature is used once");
    for (signature, wrong) in [
        (signer.signature(now() - 301, "GET", &target, ""), "too old"),
        (signer.signature(now() + 301, "GET", &target, ""), "from the future"),
        (signer.signature(now(), "POST", &target, ""), "another method"),
        (signer.signature(now(), "GET", LIST, ""), "another query"),
        (signer.signature(now(), "GET", &target, "{}"), "another body"),
    ] {
        let refused = signer.send(&site, "GET", &target, &signature).await;
        assert_eq!((refused.status, &refused.body), (401, &nobody), "{wrong}");
    }
    site.clock.advance(Duration::from_secs(1));
    let near = signer.signature(now() - 299, "GET", &target, "");
    assert_eq!(signer.send(&site, "GET", &target, &near).await.status, 200);
    let theirs = format!("{LIST}?tenant_id={}", site.b.id);
    let signature = signer.signature(now(), "GET", &theirs, "");
    assert_eq!(signer.send(&site, "GET", &theirs, &signature).await.status, 404);
    let unsigned = [("authorization", &*format!("Bearer krn_{}", signer.id))];
    assert_eq!(site.send("GET", &target, &unsigned, "").await.status, 401);
    let whole = format!("Bearer krn_{}_{}", signer.id, crate::support::text(&signer.key));
    let secret_sent = [("authorization", &*whole)];
    assert_eq!(site.send("GET", &target, &secret_sent, "").await.status, 401);
    assert_eq!(signer.send(&site, "GET", &target, "nonsense").await.status, 400);
}
