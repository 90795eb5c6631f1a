//! One `[services.NAME]` of the file, checked.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use strongroom_model::base_url::BaseUrl;
use strongroom_model::canonical::{Grammar, may_be_allowed};
use strongroom_model::network::Cidr;
use strongroom_model::principal::Name;
use strongroom_model::service::{Limits, Service, Slots};

use super::reader::{Section, Text};
use super::{ConfigError, ReadFile, auth, limits, rules};

/// The keys of a service; the published schema has the same.
pub(super) const KEYS: &[&str] = &[
    "base_url",
    "auth",
    "headers",
    "allow",
    "ask",
    "deny",
    "policies",
    "i_understand",
    "request_headers",
    "redact_fields",
    "seal_fields",
    "unseal_fields",
    "allow_ips",
    "insecure_transport",
    "ca_file",
    "http",
    "encoded_slash",
    "path_params",
    "case_insensitive",
    "method_override",
    "range",
    "principals",
    "test_path",
    "limits",
];

/// Headers that frame or route a message, or are the credential's: none of them is fixed.
const NOT_FIXED: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "accept-encoding",
    "range",
];

/// Reads one service.
pub(super) fn read(
    name: Name,
    section: &Section<'_>,
    read_file: ReadFile<'_>,
) -> Result<Service, ConfigError> {
    section.only(KEYS)?;
    let allow_ips = section
        .texts("allow_ips")?
        .iter()
        .map(|text| {
            text.text().parse().map_err(|error| text.problem(format!("`allow_ips`: {error}")))
        })
        .collect::<Result<Vec<Cidr>, _>>()?;
    let BaseUrl { origin, base_path } = base_url(section)?;
    let Some(auth_section) = section.table("auth")? else {
        return Err(section
            .problem("the service has no `auth`")
            .hint("write `auth = { type = \"bearer\", token = \"local://NAME/token\" }`"));
    };
    let (auth, slots) = auth::read(&auth_section, &origin)?;
    let mut service = Service {
        name,
        origin,
        base_path,
        fixed_headers: fixed_headers(section, &slots)?,
        policy: rules::read(section)?,
        grammar: grammar(section)?,
        request_headers: request_headers(section, &slots)?,
        redact_fields: fields(section, "redact_fields")?,
        seal_fields: seal_fields(section)?,
        unseal_fields: unseal_fields(section)?,
        allow_ips,
        ca_pem: ca_pem(section, read_file)?,
        http2: http2(section)?,
        limits: section.table("limits")?.map_or(Ok(Limits::default()), |s| limits::read(&s))?,
        test_path: test_path(section)?,
        principals: principals(section)?,
        auth,
        slots,
        revision: 0,
    };
    service.revision = revision(&service);
    Ok(service)
}

fn base_url(section: &Section<'_>) -> Result<BaseUrl, ConfigError> {
    let Some(text) = section.text("base_url")? else {
        return Err(section
            .problem("the service has no `base_url`")
            .hint("write `base_url = \"https://HOST\"`"));
    };
    let insecure = section.flag("insecure_transport")? == Some(true);
    BaseUrl::parse(text.text(), insecure)
        .map_err(|error| text.problem(format!("`base_url`: {error}")).maybe_hint(error.hint()))
}

fn fixed_headers(
    section: &Section<'_>,
    slots: &Slots,
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut headers: Vec<(String, String)> = Vec::new();
    let Some(table) = section.table("headers")? else { return Ok(headers) };
    for (name, value) in table.pairs()? {
        let lower = name.text().to_ascii_lowercase();
        if !is_token(&lower) {
            return Err(name.problem("the name is not a header's"));
        }
        if NOT_FIXED.contains(&lower.as_str()) || slots.headers.contains(&lower) {
            return Err(name
                .problem(format!("`{lower}` cannot be a fixed header"))
                .hint("a credential belongs in `auth`"));
        }
        if headers.iter().any(|(there, _)| *there == lower) {
            return Err(name.problem(format!("`{lower}` stands twice")));
        }
        if !value.text().bytes().all(|b| (0x20..0x7f).contains(&b)) || value.text().len() > 4096 {
            return Err(value.problem("the value cannot stand in a header"));
        }
        headers.push((lower, value.text().to_owned()));
    }
    Ok(headers)
}

fn grammar(section: &Section<'_>) -> Result<Grammar, ConfigError> {
    let one_of = |key: &'static str, off: &str, on: &str| match section.text(key)? {
        None => Ok(false),
        Some(text) if text.text() == off => Ok(false),
        Some(text) if text.text() == on => Ok(true),
        Some(text) => Err(text.problem(format!("`{key}` is not one of `{off}`, `{on}`"))),
    };
    let flag = |key| Ok::<_, ConfigError>(section.flag(key)?.unwrap_or(false));
    Ok(Grammar {
        encoded_slash: one_of("encoded_slash", "deny", "segment")?,
        path_params: one_of("path_params", "deny", "allow")?,
        case_insensitive: flag("case_insensitive")?,
        method_override: flag("method_override")?,
        range: flag("range")?,
    })
}

fn request_headers(section: &Section<'_>, slots: &Slots) -> Result<Vec<String>, ConfigError> {
    let mut names = Vec::new();
    for text in section.texts("request_headers")? {
        let name = text.text().to_ascii_lowercase();
        if !may_be_allowed(&name) || slots.headers.contains(&name) {
            let hint = (name == "range").then_some("write `range = true`");
            let problem = "`request_headers` has a name that is not the agent's to set";
            return Err(text.problem(problem).maybe_hint(hint));
        }
        names.push(name);
    }
    Ok(names)
}

/// Names of members, of parameters or of headers.
fn fields(section: &Section<'_>, key: &'static str) -> Result<Vec<String>, ConfigError> {
    let mut names = Vec::new();
    for text in section.texts(key)? {
        if text.text().is_empty() || text.text().len() > 128 {
            return Err(text.problem(format!("`{key}` has a name that is empty or too long")));
        }
        names.push(text.text().to_owned());
    }
    Ok(names)
}

fn seal_fields(section: &Section<'_>) -> Result<Vec<String>, ConfigError> {
    let redacted = fields(section, "redact_fields")?;
    for text in section.texts("seal_fields")? {
        if redacted.iter().any(|name| name.eq_ignore_ascii_case(text.text())) {
            return Err(text
                .problem("`seal_fields` has a name that stands in `redact_fields` too")
                .hint("a value is redacted, or kept with a handle given for it"));
        }
    }
    fields(section, "seal_fields")
}

fn unseal_fields(section: &Section<'_>) -> Result<Vec<String>, ConfigError> {
    let names = fields(section, "unseal_fields")?;
    if names.is_empty() || !section.texts("seal_fields")?.is_empty() {
        return Ok(names);
    }
    Err(section
        .problem("`unseal_fields` without `seal_fields`: there are no handles to swap")
        .hint("write `seal_fields = [\"access_token\"]`"))
}

fn ca_pem(section: &Section<'_>, read: ReadFile<'_>) -> Result<Option<Vec<u8>>, ConfigError> {
    let Some(text) = section.text("ca_file")? else { return Ok(None) };
    let path = Path::new(text.text());
    if !path.is_absolute() {
        return Err(text.problem("`ca_file` is not an absolute path"));
    }
    let pem = read(path)
        .map_err(|error| text.problem(format!("`ca_file` cannot be read: {}", error.kind())))?;
    let has_certificate = pem.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----");
    if !has_certificate {
        return Err(text
            .problem("`ca_file` has no certificate in it")
            .hint("it holds PEM, with `-----BEGIN CERTIFICATE-----`"));
    }
    Ok(Some(pem))
}

fn http2(section: &Section<'_>) -> Result<bool, ConfigError> {
    match section.text("http")? {
        None => Ok(true),
        Some(text) => match text.text() {
            "auto" => Ok(true),
            "1.1" => Ok(false),
            _ => Err(text.problem("`http` is not one of `auto`, `1.1`")),
        },
    }
}

fn test_path(section: &Section<'_>) -> Result<Option<String>, ConfigError> {
    let Some(text) = section.text("test_path")? else { return Ok(None) };
    if text.text().starts_with('/') {
        Ok(Some(text.text().to_owned()))
    } else {
        Err(text.problem("`test_path` does not start with `/`"))
    }
}

pub(super) fn principals(section: &Section<'_>) -> Result<Option<Vec<Name>>, ConfigError> {
    if !section.has("principals") {
        return Ok(None);
    }
    let names = section.texts("principals")?;
    let parse = |text: &Text<'_>| {
        text.text().parse().map_err(|error| text.problem(format!("`principals`: {error}")))
    };
    names.iter().map(parse).collect::<Result<_, _>>().map(Some)
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.len() <= 128 && text.bytes().all(token)
}

/// The same for the same service in every process; different when anything about it is.
fn revision(service: &Service) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{service:?}").hash(&mut hasher);
    hasher.finish()
}
