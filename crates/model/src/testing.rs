//! What several test modules need.

use crate::service::{Origin, Scheme, Service};

/// The corpus's `acme`, without rules: `https://api.test:8443/v1`.
pub(crate) fn service() -> Service {
    Service {
        base_path: "/v1".into(),
        ..Service::at(
            "acme".parse().unwrap(),
            Origin { scheme: Scheme::Https, host: "api.test".into(), port: 8443 },
        )
    }
}
