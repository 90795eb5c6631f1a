//! What the fuzz targets share.

use strongroom_model::canonical::{CanonicalRequest, Grammar, RawRequest, canonicalize};
use strongroom_model::service::{Origin, Scheme, Service, Slots};

/// A service at `https://api.test:8443/v1` whose credential goes into the parameter `api_key`.
/// The lowest bits of `flags` are its grammar.
pub fn service(flags: u8) -> Service {
    Service {
        base_path: "/v1".into(),
        slots: Slots { headers: vec!["authorization".into()], query: vec!["api_key".into()] },
        grammar: Grammar {
            encoded_slash: flags & 1 != 0,
            path_params: flags & 2 != 0,
            case_insensitive: flags & 4 != 0,
            method_override: flags & 8 != 0,
            range: flags & 16 != 0,
        },
        ..Service::at(
            "acme".parse().expect("a name"),
            Origin { scheme: Scheme::Https, host: "api.test".into(), port: 8443 },
        )
    }
}

/// `GET path`, if it can be read.
pub fn get(service: &Service, path: &str) -> Option<CanonicalRequest> {
    let raw = RawRequest { method: "GET".into(), path: path.into(), ..RawRequest::default() };
    canonicalize(service, raw).ok()
}

/// `POST /x` with `body`, if it can be read.
pub fn post(service: &Service, content_type: &str, body: &[u8]) -> Option<CanonicalRequest> {
    let raw = RawRequest {
        method: "POST".into(),
        path: "/x".into(),
        headers: vec![("content-type".into(), content_type.into())],
        body: body.to_vec(),
        ..RawRequest::default()
    };
    canonicalize(service, raw).ok()
}
