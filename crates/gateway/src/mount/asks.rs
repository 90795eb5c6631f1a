//! What a server asks of a client: samples, forms, addresses to open, roots.
//!
//! Nothing of it is passed on unless the server was allowed to ask for it, and what a person reads says
//! which server asks, in a frame that the server cannot write itself: its own words are quoted line by
//! line. A form that looks as if it asked for a secret is declined (MC-17).

use std::fmt::Write as _;
use std::time::Duration;

use strongroom_model::json::{self, Members};
use strongroom_model::principal::Name;
use strongroom_model::redact::Redactor;
use strongroom_model::server::Asks;
use strongroom_seal::hex;
use tokio::time::timeout;

use crate::origin::{Abilities, Asking, Origin};
use crate::wire::write::{self, Object};

const SAMPLING: &str = "sampling/createMessage";
const ELICITATION: &str = "elicitation/create";
const ROOTS: &str = "roots/list";

/// Questions of one answer at the most.
const MOST: usize = 32;

/// Bytes of what a person is to read, at the most.
const LONGEST: usize = 8 << 10;

/// How long an answer of the client is waited for.
const PATIENCE: Duration = Duration::from_mins(10);

const DECLINED: &str = "{\"action\":\"decline\"}";
const CANCELLED: &str = "{\"action\":\"cancel\"}";

/// Whether `method` may be asked.
pub(super) fn may_ask(asks: Asks, method: &str) -> bool {
    match method {
        SAMPLING => asks.sampling,
        ELICITATION => asks.elicitation,
        ROOTS => asks.roots,
        _ => false,
    }
}

/// As the abilities of a client that can do all that may be asked.
pub(super) fn abilities(asks: Asks) -> Abilities {
    Abilities {
        sampling: asks.sampling,
        sampling_tools: asks.sampling,
        forms: asks.elicitation,
        urls: asks.elicitation,
        roots: asks.roots,
        // What takes long asks nobody anything.
        tasks: false,
    }
}

/// What a server wants to know, as it wrote it.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    key: Box<str>,
    pub(super) method: &'static str,
    params: Box<str>,
}

/// What becomes of it.
#[derive(Clone, Debug)]
pub(super) enum Framed {
    /// The client is asked.
    Ask(Asking),
    /// It is answered here.
    Answer(&'static str),
}

impl Wanted {
    /// Reads a request; `None`: it is none that a client is asked.
    pub(super) fn read(key: &str, method: &str, params: &str) -> Option<Self> {
        let method = [SAMPLING, ELICITATION, ROOTS].into_iter().find(|known| *known == method)?;
        Some(Self { key: key.into(), method, params: params.into() })
    }

    /// Reads `inputRequests`, as written; `None`: they are none.
    pub(super) fn all(requests: &str) -> Option<Vec<Self>> {
        let members = Members::read(requests)?;
        let read = |(key, raw): (&str, &str)| {
            let request = Members::read(raw)?;
            let method = json::string(request.get("method")?)?;
            let params = request.get("params").filter(|raw| raw.starts_with('{'));
            Self::read(key, &method, params.unwrap_or("{}"))
        };
        let all: Vec<_> = members.iter().map(read).collect::<Option<_>>()?;
        (all.len() <= MOST).then_some(all)
    }

    /// What the client of `origin` is to be asked for the server `name`.
    ///
    /// # Errors
    ///
    /// The server may not ask it, or this client cannot be asked it.
    pub(super) fn framed(
        &self,
        name: &Name,
        allows: Asks,
        origin: &Origin,
        redactor: &Redactor,
    ) -> Result<Framed, &'static str> {
        if !may_ask(allows, self.method) {
            return Err("the server asks for what it was not allowed to ask for");
        }
        let (params, _) = redactor.clean_text(&self.params);
        let params = Members::read(params.get()).ok_or("the server's question is none")?;
        let url = params.get("mode").and_then(json::string).is_some_and(|mode| mode == "url");
        let can = match self.method {
            SAMPLING => origin.can.sampling,
            ROOTS => origin.can.roots,
            _ if url => origin.can.urls,
            _ => origin.can.forms,
        };
        if !can {
            return Err("the client cannot be asked this");
        }
        let mut out = Vec::with_capacity(self.params.len() + 256);
        match self.method {
            ELICITATION if url => {
                let address = params.get("url").and_then(json::string).unwrap_or_default();
                if !may_be_opened(&address) {
                    return Ok(Framed::Answer(DECLINED));
                }
                open(&mut out, name, origin, &params, &address);
            }
            ELICITATION => {
                if params.get("requestedSchema").is_none_or(wants_a_secret) {
                    return Ok(Framed::Answer(DECLINED));
                }
                elicitation(&mut out, name, &params, None, |_| true).close();
            }
            _ => write::on_one_line(&mut out, &self.text(redactor)),
        }
        let params = String::from_utf8(out).unwrap_or_default().into();
        Ok(Framed::Ask(Asking { key: self.key.clone(), method: self.method, params }))
    }

    fn text(&self, redactor: &Redactor) -> String {
        redactor.clean_text(&self.params).0.into_inner()
    }

    /// What its server calls it.
    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

/// Asks the client of `origin` one thing and waits for the answer, as written.
///
/// # Errors
///
/// An error object.
pub(super) async fn put(
    name: &Name,
    allows: Asks,
    origin: &Origin,
    redactor: &Redactor,
    wanted: Wanted,
) -> Result<Box<str>, Box<str>> {
    let refused = |why: &str| error(-32601, why);
    match wanted.framed(name, allows, origin, redactor).map_err(refused)? {
        Framed::Answer(answer) => Ok(answer.into()),
        Framed::Ask(asking) => {
            let line = origin.line.as_ref();
            let line = line.ok_or_else(|| refused("the client cannot be asked now"))?;
            // Somebody thinks, or a model does: no time of the call's.
            let _still = origin.stood.still();
            let asked = timeout(PATIENCE, line.ask(vec![asking])).await;
            let mut answers = asked.map_err(|_| refused("nobody has answered in time"))??;
            answers.pop().ok_or_else(|| refused("the client has not answered"))
        }
    }
}

/// The answers to all of `wanted`, for a server that takes them in a retry: `inputResponses`.
///
/// # Errors
///
/// An error object.
pub(super) async fn put_all(
    name: &Name,
    allows: Asks,
    origin: &Origin,
    redactor: &Redactor,
    wanted: &[Wanted],
) -> Result<Box<str>, Box<str>> {
    let mut responses = Vec::new();
    let mut all = Object::open(&mut responses);
    for wanted in wanted {
        let answer = put(name, allows, origin, redactor, wanted.clone()).await;
        let answer = match answer {
            // A form can be left without an answer, and the server is told so.
            Err(_) if wanted.method == ELICITATION => CANCELLED.into(),
            answer => answer?,
        };
        write::on_one_line(all.name(wanted.key()), &answer);
    }
    all.close();
    Ok(String::from_utf8(responses).unwrap_or_default().into())
}

/// An error object.
pub(super) fn error(code: i32, message: &str) -> Box<str> {
    let mut out = Vec::new();
    let mut error = Object::open(&mut out);
    error.name("code").extend_from_slice(code.to_string().as_bytes());
    error.string("message", message);
    error.close();
    String::from_utf8(out).unwrap_or_default().into()
}

/// Writes the parameters with our words before the server's, and leaves the object open.
fn elicitation<'a>(
    out: &'a mut Vec<u8>,
    name: &Name,
    params: &Members<'_>,
    opens: Option<&str>,
    keeps: impl Fn(&str) -> bool,
) -> Object<'a> {
    let message = params.get("message").and_then(json::string).unwrap_or_default();
    let words = words(name, &message, opens);
    let mut object = Object::open(out);
    let mut said = false;
    for (member, raw) in params.iter().filter(|(member, _)| keeps(member)) {
        if member == "message" {
            said = true;
            object.string(member, &words);
        } else {
            write::on_one_line(object.name(member), raw);
        }
    }
    if !said {
        object.string("message", &words);
    }
    object
}

/// An address to open. Only clients of 2025-11-25 have an id for it.
fn open(out: &mut Vec<u8>, name: &Name, origin: &Origin, params: &Members<'_>, address: &str) {
    let legacy = origin.is_legacy();
    let keeps = |member: &str| legacy || member != "elicitationId";
    let mut object = elicitation(out, name, params, Some(address), keeps);
    if legacy && params.get("elicitationId").is_none() {
        let mut id = [0; 16];
        if strongroom_seal::random(&mut id).is_ok() {
            object.string("elicitationId", &hex(&id));
        }
    }
    object.close();
}

/// What a person reads: every line of the server's own begins with a mark.
fn words(name: &Name, message: &str, opens: Option<&str>) -> String {
    let mut text = format!("The MCP server \"{name}\" asks, by way of Strongroom:\n");
    if let Some(address) = opens {
        let host = host(address);
        let _ = writeln!(text, "It wants you to open a page at {host}.");
    }
    for line in clip(message).lines() {
        let line: String = line.chars().filter(|c| !is_hidden(*c)).collect();
        text.push_str("\n> ");
        text.push_str(&line);
    }
    text
}

fn clip(text: &str) -> &str {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Control characters, and those that change the order of others or are not seen.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// A page that is read by nobody on its way, or is of this machine.
fn may_be_opened(address: &str) -> bool {
    let fits = |c: char| !is_hidden(c) && !c.is_whitespace() && c != '\\';
    if address.len() > super::uris::LONGEST || !address.chars().all(fits) {
        return false;
    }
    let host = host(address);
    let is = |scheme: &str| {
        address.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let local = |name: &&str| {
        let rest = host.strip_prefix(*name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    };
    let here = ["localhost", "127.0.0.1", "[::1]"].iter().any(local);
    !host.is_empty() && (is("https://") || (is("http://") && here))
}

/// Host and port, without a name before an `@`, which would be taken for the host.
fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

/// Whether a field of a form looks as if a secret were to be typed into it.
fn wants_a_secret(schema: &str) -> bool {
    let Some(properties) = Members::read(schema).and_then(|schema| schema.get("properties")) else {
        return false;
    };
    let Some(fields) = Members::read(properties) else { return true };
    fields.iter().any(|(name, field)| {
        let field = Members::read(field).unwrap_or_default();
        let text = |of: &str| field.get(of).and_then(json::string).unwrap_or_default();
        let password = text("format") == "password" || field.get("writeOnly") == Some("true");
        password || [name, &*text("title"), &*text("description")].into_iter().any(is_of_a_secret)
    })
}

/// Whether a text names a secret, however it is written.
fn is_of_a_secret(text: &str) -> bool {
    const WORDS: [&str; 18] = [
        "password",
        "passwd",
        "passphrase",
        "passcode",
        "secret",
        "apikey",
        "accesskey",
        "privatekey",
        "credential",
        "bearer",
        "authtoken",
        "accesstoken",
        "refreshtoken",
        "apitoken",
        "seedphrase",
        "mnemonic",
        "cvv",
        "cardnumber",
    ];
    const WHOLE: [&str; 6] = ["token", "pin", "otp", "totp", "pwd", "jwt"];
    let letters = |c: char| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { ' ' };
    // `apiKey`, `api_key` and `API key` are one name.
    let mut spaced = String::with_capacity(text.len() + 8);
    let mut lower = false;
    for c in text.chars() {
        if lower && c.is_uppercase() {
            spaced.push(' ');
        }
        lower = c.is_lowercase();
        spaced.push(letters(c));
    }
    let joined: String = spaced.chars().filter(|c| *c != ' ').collect();
    WORDS.iter().any(|word| joined.contains(word))
        || spaced.split_whitespace().any(|word| WHOLE.contains(&word))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use strongroom_model::approval::Channel;
    use strongroom_model::principal::{Caller, Principal, Source};

    use super::*;

    const ALL: Asks = Asks { sampling: true, elicitation: true, roots: true, ui: true };

    fn origin(capabilities: &str) -> Origin {
        let principal = Principal { name: "me".parse().unwrap(), source: Source::Stdio };
        let caller = Caller { principal, channel: Channel::default(), claimed_client: None };
        Origin { can: Abilities::read(capabilities), ..Origin::of(caller) }
    }

    fn framed(
        allows: Asks,
        capabilities: &str,
        method: &str,
        params: &Value,
    ) -> Result<Option<Value>, &'static str> {
        let wanted = Wanted::read("k", method, &params.to_string()).unwrap();
        let name = "shop".parse().unwrap();
        let framed = wanted.framed(&name, allows, &origin(capabilities), &Redactor::default())?;
        Ok(match framed {
            Framed::Ask(asking) => Some(serde_json::from_str(&asking.params).unwrap()),
            Framed::Answer(answer) => {
                assert_eq!(answer, DECLINED);
                None
            }
        })
    }

    const FORMS: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#;

    fn form(field: &str, schema: &Value) -> Value {
        json!({ "message": "?", "requestedSchema": { "type": "object", "properties": { field: schema } } })
    }

    // MC-17
    #[test]
    fn a_server_asks_nothing_unless_it_was_allowed_to_and_the_client_can() {
        for (method, params) in [
            (SAMPLING, json!({ "messages": [] })),
            (ELICITATION, form("name", &json!({ "type": "string" }))),
            (ROOTS, json!({})),
        ] {
            assert!(framed(Asks::default(), FORMS, method, &params).is_err(), "{method}");
            assert!(framed(ALL, "{}", method, &params).is_err(), "{method}");
            assert!(framed(ALL, FORMS, method, &params).unwrap().is_some(), "{method}");
        }
        assert!(Wanted::read("k", "tools/call", "{}").is_none());
    }

    // MC-17
    #[test]
    fn a_person_reads_which_server_asks_in_a_frame_that_it_cannot_write() {
        let message = "Hi\nThe MCP server \"bank\" asks, by way of Strongroom:\r\n\u{202e}x";
        let mut params = form("name", &json!({ "type": "string" }));
        params["message"] = message.into();
        params["vendor"] = json!({ "b": 1 });
        let asked = framed(ALL, FORMS, ELICITATION, &params).unwrap().unwrap();
        let expected = "The MCP server \"shop\" asks, by way of Strongroom:\n\n> Hi\n\
             > The MCP server \"bank\" asks, by way of Strongroom:\n> x";
        assert_eq!(asked["message"], expected);
        assert_eq!(asked["requestedSchema"], params["requestedSchema"]);
        assert_eq!(asked["vendor"], json!({ "b": 1 }));
    }

    // MC-17
    #[test]
    fn forms_that_ask_for_secrets_are_declined_and_others_are_shown() {
        let text = json!({ "type": "string" });
        for field in
            ["password", "apiKey", "API_KEY", "your Secret", "access-token", "token", "PIN", "otp"]
        {
            let form = form(field, &text);
            assert_eq!(framed(ALL, FORMS, ELICITATION, &form), Ok(None), "{field}");
        }
        for described in [
            json!({ "type": "string", "format": "password" }),
            json!({ "type": "string", "title": "Pass phrase" }),
            json!({ "type": "string", "description": "the private key of your wallet" }),
        ] {
            assert_eq!(framed(ALL, FORMS, ELICITATION, &form("a", &described)), Ok(None));
        }
        for field in ["name", "max_tokens", "keyboard", "email", "opinion", "spinner"] {
            let form = form(field, &text);
            assert!(framed(ALL, FORMS, ELICITATION, &form).unwrap().is_some(), "{field}");
        }
    }

    // MC-17
    #[test]
    fn an_address_is_opened_only_where_nobody_reads_along_and_says_whose_it_is() {
        let ask = |url: &str| {
            let params =
                json!({ "mode": "url", "url": url, "message": "log in", "elicitationId": "e" });
            framed(ALL, FORMS, ELICITATION, &params).unwrap()
        };
        for bad in [
            "http://evil.test/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://",
            "https://a b/",
            "http://localhost.evil.test/",
            "http://localhost:80@evil.test/",
            "",
        ] {
            assert_eq!(ask(bad), None, "{bad}");
        }
        let asked = ask("https://bank.test@evil.test/login").unwrap();
        assert!(asked["message"].as_str().unwrap().contains("open a page at evil.test."));
        assert_eq!(asked["elicitationId"], "e");
        assert!(ask("http://127.0.0.1:8080/x").is_some());
    }
}
