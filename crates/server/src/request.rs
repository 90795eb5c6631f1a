//! The parts of a request that every route reads the same way.

use std::net::IpAddr;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use strongroom_model::code::Code;
use tokio::time::timeout;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::credential::single;
use crate::problem::{Problem, Reason};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Bytes of a head, and of a body that is JSON of ours.
const HEAD: usize = 64 << 10;
pub(crate) const BODY: usize = 256 << 10;

/// A body: it may hold credentials, so it is wiped.
pub(crate) type Bytes = Zeroizing<Vec<u8>>;

/// The id that the client gave the request where it is well formed, else a new one.
pub(crate) fn id(headers: &HeaderMap) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    match single(headers, &REQUEST_ID) {
        Ok(Some(id)) if id.len() <= 64 && id.bytes().all(plain) => id.to_owned(),
        _ => Uuid::new_v4().to_string(),
    }
}

/// Where the request comes from. Behind a proxy that is what the proxy wrote last; what stands before
/// that in the header anybody may have written.
pub(crate) fn source(headers: &HeaderMap, peer: IpAddr, behind_proxy: bool) -> IpAddr {
    if !behind_proxy {
        return peer;
    }
    let last = headers.get_all(FORWARDED_FOR).iter().next_back();
    let entry = last.and_then(|value| value.to_str().ok()?.rsplit(',').next());
    entry.and_then(|entry| entry.trim().parse().ok()).unwrap_or(peer)
}

/// Whether the head is within its cap, which the buffer that it was read into only approximates.
pub(crate) fn head(parts: &Parts) -> Result<(), Problem> {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let line =
        |(name, value): (&HeaderName, &http::HeaderValue)| name.as_str().len() + value.len() + 4;
    if target + parts.headers.iter().map(line).sum::<usize>() > HEAD {
        return Err(Problem::invalid("the head is too large").with_status(431));
    }
    Ok(())
}

/// Reads a body of at most `cap` bytes, which is JSON where there is any.
pub(crate) async fn body(
    headers: &HeaderMap,
    mut body: Incoming,
    cap: usize,
    patience: Duration,
) -> Result<Bytes, Problem> {
    let too_large = || Problem::invalid("the body is too large").with_status(413);
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|length| length.parse::<u64>().ok()).is_some_and(|n| n > cap as u64) {
        return Err(too_large());
    }
    if body.is_end_stream() {
        return Ok(Bytes::default());
    }
    is_json(headers)?;
    // All at once, so that no copy is left behind where the buffer grew.
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(cap);
    let mut bytes = Zeroizing::new(Vec::with_capacity(if expected == 0 { cap } else { expected }));
    let read = async {
        while let Some(frame) = body.frame().await {
            let cut = |_| Problem::invalid("the body ended early");
            let Ok(data) = frame.map_err(cut)?.into_data() else { continue };
            if bytes.len() + data.len() > cap {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(())
    };
    let slow = || Problem::invalid("the body took too long").with_status(408);
    timeout(patience, read).await.unwrap_or_else(|_| Err(slow()))?;
    Ok(bytes)
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let json = |value: &str| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    };
    let typed = matches!(single(headers, &CONTENT_TYPE), Ok(Some(value)) if json(value));
    if !typed || headers.contains_key(CONTENT_ENCODING) {
        return Err(Problem::invalid("send the body as application/json").with_status(415));
    }
    Ok(())
}

/// Somebody asks too often.
pub(crate) fn too_often(wait: Duration) -> Problem {
    let message = "too many requests: wait, then go on more slowly";
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Problem {
        retry_after_s: Some(seconds.max(1)),
        ..Problem::new(Reason::Code(Code::RateLimited), message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    // HI-09
    #[test]
    fn an_id_is_taken_over_only_where_it_is_plain() {
        assert_eq!(id(&headers(&[("x-request-id", "abc-1.2_3")])), "abc-1.2_3");
        for bad in ["", "a b", "\"{}\"", "a/b", &"a".repeat(65)] {
            let made = id(&headers(&[("x-request-id", bad)]));
            assert!(made != bad && made.len() == 36, "{bad}");
        }
        let mut two = headers(&[("x-request-id", "one")]);
        two.append(REQUEST_ID, "two".parse().unwrap());
        assert_eq!(id(&two).len(), 36);
    }

    #[test]
    fn only_what_the_proxy_itself_wrote_says_where_a_request_comes_from() {
        let peer: IpAddr = "127.0.0.1".parse().unwrap();
        let forged = headers(&[("x-forwarded-for", "198.51.100.9, 192.0.2.7")]);
        assert_eq!(source(&forged, peer, false), peer);
        assert_eq!(source(&forged, peer, true).to_string(), "192.0.2.7");
        assert_eq!(source(&headers(&[("x-forwarded-for", "x, y")]), peer, true), peer);
        assert_eq!(source(&HeaderMap::new(), peer, true), peer);
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_of_which_there_is_one_at_least() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_500, 60)] {
            assert_eq!(too_often(Duration::from_millis(millis)).retry_after_s, Some(seconds));
        }
    }
}
