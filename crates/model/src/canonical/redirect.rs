//! Redirects: a location is read by the same rules as what an agent sends.

use super::{CanonicalRequest, LONGEST_PATH, Method, Problem, read_target};
use crate::service::Service;

/// The request that goes to `location` after `request`.
pub(super) fn follow(
    request: &CanonicalRequest,
    service: &Service,
    method: Method,
    location: &[u8],
) -> Result<CanonicalRequest, Problem> {
    if !matches!(method, Method::Get | Method::Head) {
        return Err("only GET and HEAD follow a redirect");
    }
    if location.len() > LONGEST_PATH {
        return Err("the upstream redirected to a location longer than 8 KiB");
    }
    let location = std::str::from_utf8(location).map_err(|_| MALFORMED)?;
    let origin = service.origin.to_string();
    let target = match location.strip_prefix(&origin) {
        Some(target) => target,
        None if location.starts_with('/') => location,
        None => return Err("the upstream redirected to another origin"),
    };
    if !target.starts_with('/') || target.starts_with("//") {
        return Err("the upstream redirected to another origin");
    }
    let path = target
        .strip_prefix(service.base_path.as_str())
        .filter(|path| path.starts_with('/'))
        .ok_or("the upstream redirected outside the base path")?;
    let target = read_target(service, path, &[]).map_err(|_| MALFORMED)?;
    Ok(CanonicalRequest {
        method,
        path: target.path,
        target: target.whole,
        query: target.query,
        headers: request
            .headers
            .iter()
            .filter(|(name, _)| name == "accept" || name.starts_with("accept-"))
            .cloned()
            .collect(),
        content_type: None,
        body: Vec::new(),
        unseen: None,
        dropped_headers: request.dropped_headers.clone(),
    })
}

const MALFORMED: Problem = "the upstream redirected to a location that would be refused";
