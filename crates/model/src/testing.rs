//! What several test modules need.

use crate::canonical::Grammar;
use crate::policy::Policy;
use crate::service::{Auth, Limits, Origin, Scheme, Service, Slots};

/// The corpus's `acme`, without rules: `https://api.test:8443/v1`.
pub(crate) fn service() -> Service {
    Service {
        name: "acme".parse().unwrap(),
        origin: Origin { scheme: Scheme::Https, host: "api.test".into(), port: 8443 },
        base_path: "/v1".into(),
        auth: Auth::default(),
        slots: Slots::default(),
        fixed_headers: Vec::new(),
        policy: Policy::default(),
        grammar: Grammar::default(),
        request_headers: Vec::new(),
        allow_ips: Vec::new(),
        ca_pem: None,
        http2: true,
        limits: Limits::default(),
        redact_fields: Vec::new(),
        seal_fields: Vec::new(),
        unseal_fields: Vec::new(),
        test_path: None,
        principals: None,
        revision: 1,
    }
}
