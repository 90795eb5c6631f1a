//! What a request shows of who sends it: exactly one key, in exactly one place, in exactly one form
//! (AU-04).
//!
//! Nothing is tried after something else: a request with two keys is not judged by the better one.

use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use strongroom_model::secret::Secret;
use strongroom_model::team::{KeyId, KeyKind};

use crate::problem::Problem;
use crate::signature::Signature;

/// The key of a request, as it was sent.
#[derive(Debug)]
pub(crate) enum Credential {
    /// The text of an API key, or of something that is none.
    ApiKey(Secret),
    /// The text of a kernel's key, or of something that is none.
    Kernel(Secret),
    /// A kernel that signs.
    Signed(KeyId, Signature),
}

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");

/// Longest value of either header.
const LONGEST: usize = 1024;

/// The credential in `parts`.
///
/// # Errors
///
/// `unauthenticated` where there is none, `invalid_request` where there is more than one or one in a
/// place where it is kept by others: a query ends in logs, a cookie is sent by browsers unasked.
pub(crate) fn read(parts: &Parts) -> Result<Credential, Problem> {
    elsewhere(parts)?;
    let headers = &parts.headers;
    let (key, bearer) = (single(headers, &API_KEY)?, single(headers, &AUTHORIZATION)?);
    let signature = single(headers, &SIGNATURE)?.map(Signature::parse).transpose()?;
    match (key, bearer, signature) {
        (None, None, _) => Err(Problem::unauthenticated()),
        (Some(_), Some(_), _) => {
            Err(Problem::invalid("send `X-API-Key` or `Authorization`, not both"))
        }
        (Some(key), None, None) => Ok(Credential::ApiKey(Secret::new(key.as_bytes().to_vec()))),
        (Some(_), None, Some(_)) => Err(Problem::invalid("`X-Signature` is for kernels")),
        (None, Some(value), signature) => {
            let text = value
                .strip_prefix("Bearer ")
                .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
                .ok_or_else(|| {
                    Problem::invalid("`Authorization` has the form `Bearer krn_<id>_<secret>`")
                })?;
            match signature {
                None => Ok(Credential::Kernel(Secret::new(text.as_bytes().to_vec()))),
                Some(signature) => KeyKind::Kernel
                    .parse_public(text)
                    .map(|id| Credential::Signed(id, signature))
                    .ok_or_else(|| {
                        let message =
                            "a signed request has `Authorization: Bearer krn_<id>`, no secret";
                        Problem::invalid(message)
                    }),
            }
        }
    }
}

/// Takes every key out of the head, before somebody else sees it.
pub(crate) fn remove(headers: &mut HeaderMap) {
    for name in [API_KEY, AUTHORIZATION, SIGNATURE, COOKIE] {
        headers.remove(name);
    }
}

/// The one value of a header of ours.
pub(crate) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let problem = |what| Err(Problem::invalid(format!("the header `{name}` {what}")));
    if values.next().is_some() {
        return problem("stands twice");
    }
    match value.to_str() {
        Ok("") => problem("is empty"),
        Ok(text) if text.len() <= LONGEST => Ok(Some(text)),
        Ok(_) => problem("is too long"),
        Err(_) => problem("is not plain ASCII"),
    }
}

/// Refuses a key in the query or in a cookie.
fn elsewhere(parts: &Parts) -> Result<(), Problem> {
    let query = parts.uri.query().unwrap_or_default();
    if names_a_key(query.as_bytes()) {
        return Err(Problem::invalid("a key does not go into the query: logs keep it"));
    }
    if parts.headers.get_all(COOKIE).iter().any(|value| names_a_key(value.as_bytes())) {
        return Err(Problem::invalid("a key does not go into a cookie"));
    }
    Ok(())
}

/// Whether the text of a key stands in `bytes`, or a name that others give to one.
fn names_a_key(bytes: &[u8]) -> bool {
    const WORDS: [&[u8]; 6] =
        [b"mcp_", b"krn_", b"api_key=", b"apikey=", b"api-key=", b"authorization="];
    let within =
        |word: &[u8]| bytes.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    WORDS.iter().any(|word| within(word))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const KEY: &str = "mcp_0123456789abcdef_AAAAAAAAAAbbbbbbbbbbCCCCCCCCCCdddddddddd-_E";
    const KERNEL: &str = "Bearer krn_0123456789abcdef_AAAAAAAAAAbbbbbbbbbbCCCCCCCCCCdddddddddd-_E";
    const SIGNED: &str = "t=1700000000,v1=\
        0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn shown(target: &str, headers: &[(&str, &[u8])]) -> Result<Credential, u16> {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(&request.body(()).unwrap().into_parts().0).map_err(|problem| problem.status)
    }

    #[test]
    fn one_key_in_its_header_is_read() {
        let key = shown("/", &[("X-API-Key", KEY.as_bytes())]).unwrap();
        assert!(matches!(key, Credential::ApiKey(_)));
        let kernel = shown("/", &[("authorization", KERNEL.as_bytes())]).unwrap();
        assert!(matches!(kernel, Credential::Kernel(_)));
        let signed = [
            ("authorization", &b"Bearer krn_0123456789abcdef"[..]),
            ("x-signature", SIGNED.as_bytes()),
        ];
        assert!(matches!(shown("/", &signed).unwrap(), Credential::Signed(..)));
        let other = [("x-api-key", KEY.as_bytes()), ("cookie", b"theme=dark; lang=en")];
        assert!(shown("/?service=amazon", &other).is_ok());
    }

    /// A target, headers, and the status.
    type Row<'a> = (&'a str, &'a [(&'a str, &'a [u8])], u16);

    // AU-04
    #[test]
    fn a_key_in_any_other_number_place_or_form_is_refused() {
        let (key, kernel) = (("x-api-key", KEY.as_bytes()), ("authorization", KERNEL.as_bytes()));
        let signature = ("x-signature", SIGNED.as_bytes());
        let long = vec![b'a'; LONGEST + 1];
        let mebibyte = vec![b'a'; 1 << 20];
        let cookie = format!("session={KEY}");
        let table: &[Row<'_>] = &[
            ("/", &[], 401),
            ("/", &[signature], 401),
            ("/", &[key, key], 400),
            ("/", &[key, kernel], 400),
            ("/", &[kernel, kernel], 400),
            ("/", &[key, signature], 400),
            ("/", &[kernel, signature], 400),
            ("/", &[("x-api-key", b"")], 400),
            ("/", &[("x-api-key", "mcp_\u{e9}".as_bytes())], 400),
            ("/", &[("x-api-key", &long)], 400),
            ("/", &[("x-api-key", &mebibyte)], 400),
            ("/", &[("authorization", b"Bearer")], 400),
            ("/", &[("authorization", b"Bearer  krn_x")], 400),
            ("/", &[("authorization", b"bearer krn_x")], 400),
            ("/", &[("authorization", b"Basic a3JuOng=")], 400),
            ("/", &[("authorization", b"Bearer krn_x y")], 400),
            ("/", &[("authorization", b"Bearer krn_short"), signature], 400),
            ("/?api_key=mcp_0123456789abcdef", &[], 400),
            ("/?API_KEY=x", &[key], 400),
            ("/?service=krn_0123456789abcdef", &[key], 400),
            ("/", &[("cookie", cookie.as_bytes())], 400),
            ("/", &[key, ("cookie", b"X-Api-Key=1")], 400),
        ];
        for (at, (target, headers, status)) in table.iter().enumerate() {
            assert_eq!(shown(target, headers).unwrap_err(), *status, "row {at}");
        }
    }
}
