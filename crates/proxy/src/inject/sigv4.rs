//! AWS Signature Version 4, in the `Authorization` header.

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue, USER_AGENT,
};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::injection::Bound;
use strongroom_model::service::{Auth, Slots};
use strongroom_seal::sign::sigv4::{ALGORITHM, Request, Scope, UNSIGNED, hash, keeps_path, sign};

use super::{AuthError, Moment, Outgoing, Scheme, Slot, field, only};

/// Needs the secrets `access_key_id` and `secret_access_key`, for temporary credentials
/// `session_token`, and the settings `region` and `service`. With `large_files = "unsigned"`, which only
/// S3 takes, a file that is streamed is sent without its hash.
pub(super) struct SigV4;

const NAME: &str = "aws-sigv4";

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const PAYLOAD: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// What a signature in the query consists of, of this version and of the one before.
const PARAMETERS: [&str; 9] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "AWSAccessKeyId",
    "Signature",
];

/// What proxies on the way may change, and what the HTTP library writes.
const NOT_SIGNED: [HeaderName; 4] = [USER_AGENT, ACCEPT_ENCODING, CONTENT_LENGTH, AUTHORIZATION];

impl Scheme for SigV4 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn slots(&self, auth: &Auth) -> Result<Slots, AuthError> {
        let secrets = ["access_key_id", "secret_access_key", "session_token"];
        only(NAME, auth, &secrets, &["region", "service", "large_files"])?;
        let missing = |field| Err(AuthError::Missing { scheme: NAME, field });
        if !auth.secrets.contains_key("access_key_id") {
            return missing("`access_key_id`");
        }
        if !auth.secrets.contains_key("secret_access_key") {
            return missing("`secret_access_key`");
        }
        for (name, quoted) in [("region", "`region`"), ("service", "`service`")] {
            let Some(word) = auth.settings.get(name) else { return missing(quoted) };
            let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if word.is_empty() || !word.bytes().all(is_plain) {
                let problem = "is not lower-case letters, digits and `-`, as in `eu-central-1`";
                return Err(AuthError::Unfit { scheme: NAME, field: name.into(), problem });
            }
        }
        let keeps = auth.settings.get("service").is_some_and(|service| keeps_path(service));
        if auth.settings.get("large_files").is_some_and(|word| word != "unsigned" || !keeps) {
            let problem = "can be `unsigned` with S3, and nothing else";
            return Err(AuthError::Unfit { scheme: NAME, field: "large_files".into(), problem });
        }
        let headers = [AUTHORIZATION, DATE, TOKEN, PAYLOAD];
        Ok(Slots {
            headers: headers.iter().map(|name| name.as_str().to_owned()).collect(),
            query: PARAMETERS.map(String::from).to_vec(),
        })
    }

    fn reads_body(&self, auth: &Auth) -> bool {
        !auth.settings.contains_key("large_files")
    }

    fn inject(
        &self,
        auth: &Auth,
        bound: &Bound,
        outgoing: &mut Outgoing,
        moment: &Moment<'_>,
    ) -> Result<(), Refusal> {
        let setting = |name| auth.settings.get(name).map(String::as_str).unwrap_or_default();
        let time = timestamp(moment);
        let scope = Scope { region: setting("region"), service: setting("service"), time: &time };
        // Only where the service says so does a body stream past: see `reads_body`.
        let payload = if outgoing.streamed { UNSIGNED.to_owned() } else { hash(&outgoing.body) };
        outgoing.set_header(DATE, Slot::with_room(time.len()).text(&time))?;
        if keeps_path(scope.service) {
            outgoing.set_header(PAYLOAD, Slot::with_room(payload.len()).text(&payload))?;
        }
        if auth.secrets.contains_key("session_token") {
            let token = field(bound, "session_token")?;
            outgoing.set_header(TOKEN, Slot::with_room(token.len()).secret(token))?;
        }
        let signature = {
            let headers = signed_headers(outgoing)?;
            let (path, query) = outgoing.path_and_query();
            let (path, query) = (text(path)?, text(query)?);
            let method = outgoing.method.as_str();
            let request = Request { method, path, query, headers: &headers, payload: &payload };
            sign(field(bound, "secret_access_key")?, &scope, &request)
        };
        let id = field(bound, "access_key_id")?;
        let before = format!("{ALGORITHM} Credential=");
        let behind = format!(
            "/{}, SignedHeaders={}, Signature={}",
            signature.scope, signature.headers, signature.signature
        );
        let slot = Slot::with_room(before.len() + id.len() + behind.len());
        outgoing.set_header(AUTHORIZATION, slot.text(&before).secret(id).text(&behind))
    }
}

/// Every header that is sent, but for [`NOT_SIGNED`]: what the agent says is signed, too.
fn signed_headers(outgoing: &Outgoing) -> Result<Vec<(&str, &str)>, Refusal> {
    let mut headers: Vec<(&str, &str)> = Vec::with_capacity(outgoing.headers.len());
    for name in outgoing.headers.keys().filter(|name| !NOT_SIGNED.contains(name)) {
        let mut values = outgoing.headers.get_all(name).iter().map(HeaderValue::as_bytes);
        match (values.next(), values.next()) {
            (Some(value), None) => headers.push((name.as_str(), text(value)?)),
            _ => return Err(unsignable("a header is there twice")),
        }
    }
    Ok(headers)
}

fn text(bytes: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes).map_err(|_| unsignable("it is not text"))
}

fn unsignable(why: &str) -> Refusal {
    Refusal::new(Code::InvalidRequest, format!("the request cannot be signed: {why}"))
}

fn timestamp(moment: &Moment<'_>) -> String {
    let at = moment.utc();
    let (hour, minute, second) = at.time().as_hms();
    let (year, month, day) = at.date().to_calendar_date();
    format!("{year:04}{:02}{day:02}T{hour:02}{minute:02}{second:02}Z", u8::from(month))
}
