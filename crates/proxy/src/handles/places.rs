//! Where handles stand in a request.
//!
//! A handle is swapped where it is a whole value and the name of the place is one that the service
//! lists: a JSON string, a form value, a query value, the value of a header that the agent may set,
//! there also behind `Bearer `. Anywhere else the credential might become part of something that is
//! shown: a message, a name, a note. A text that looks like a handle and stands elsewhere is refused,
//! also where its characters are escaped in a way that the place undoes.

use std::ops::Range;

use memchr::memmem;
use strongroom_model::canonical::CanonicalRequest;
use strongroom_model::code::{Code, Refusal};
use strongroom_model::json;
use strongroom_model::service::Service;
use strongroom_seal::sign::escape;

use super::BEGINNING;
use crate::fields::{skip_blank, string_end};

/// Handles in one request.
pub(super) const MOST: usize = 16;

/// What may stand before a handle in a header.
pub(super) const BEARER: &str = "Bearer ";

/// Digits of a handle.
const DIGITS: usize = 32;

/// Levels of a JSON body with handles in it.
const DEPTH: usize = 128;

/// A handle in a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) part: Part,
    /// What is replaced of the part: of a JSON body the string with its quotes.
    pub(super) range: Range<usize>,
    pub(super) handle: String,
}

/// The part of a request that a handle stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The target.
    Query,
    /// The value of the header at this place.
    Header(usize),
    /// The body, which is JSON.
    Json,
    /// The body, which is a form.
    Form,
}

/// Every handle in `request`, those of one part in order.
///
/// # Errors
///
/// `policy_denied`: one stands where none is swapped, or there are too many.
pub(super) fn of(service: &Service, request: &CanonicalRequest) -> Result<Vec<Place>, Refusal> {
    let mut finder = Finder { service, found: Vec::new() };
    if holds(request.path().as_bytes()) {
        return Err(misplaced());
    }
    if let Some((path, query)) = request.target().split_once('?') {
        finder.pairs(query, path.len() + 1, Part::Query)?;
    }
    finder.headers(request.headers())?;
    let body = request.body();
    match kind(request.content_type()) {
        Kind::Json if may_hold(body) => finder.json(body)?,
        Kind::Form => match std::str::from_utf8(body) {
            Ok(text) => finder.pairs(text, 0, Part::Form)?,
            Err(_) if may_hold(body) => return Err(misplaced()),
            Err(_) => {}
        },
        Kind::Other if may_hold(body) => return Err(misplaced()),
        Kind::Json | Kind::Other => {}
    }
    Ok(finder.found)
}

/// Names, in lower case, of the headers that look as if a handle were in them.
pub(crate) fn in_headers(headers: &[(String, String)]) -> Vec<String> {
    let held = headers.iter().filter(|(_, value)| holds(value.as_bytes()));
    held.map(|(name, _)| name.to_ascii_lowercase()).collect()
}

/// Refuses a request that lost a header with a handle in it: one of `names`.
pub(crate) fn none_dropped(names: &[String], request: &CanonicalRequest) -> Result<(), Refusal> {
    let lost = names.iter().any(|name| request.dropped_headers().contains(name));
    if lost { Err(misplaced()) } else { Ok(()) }
}

/// Whether a handle is in what an upstream redirects to: it has never seen one. The headers are those that
/// the agent's request had.
pub(crate) fn in_redirect(request: &CanonicalRequest) -> bool {
    holds(request.target().as_bytes())
}

/// Refuses a command line, and what the program reads, with a handle in it: programs get their secrets
/// from the configuration alone.
pub(crate) fn in_command(words: &[String], stdin: &[u8]) -> Result<(), Refusal> {
    if words.iter().any(|word| may_hold(word.as_bytes())) || may_hold(stdin) {
        let text = "a handle (`srh_...`) stands for a credential of an API and means nothing to a \
                    program";
        return Err(Refusal::new(Code::PolicyDenied, text));
    }
    Ok(())
}

/// A handle that stands where it is not swapped.
fn misplaced() -> Refusal {
    let text = "a handle (`srh_...`) is swapped where it is the whole value of a JSON member, a form \
                field, a query parameter or a header that this service lists for it, and stands nowhere \
                else";
    Refusal::new(Code::PolicyDenied, text)
}

/// What a body is sent as.
#[derive(Clone, Copy)]
enum Kind {
    Json,
    Form,
    Other,
}

fn kind(content_type: Option<&str>) -> Kind {
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    match essence.trim().to_ascii_lowercase().as_str() {
        "application/json" => Kind::Json,
        essence if essence.ends_with("+json") => Kind::Json,
        "application/x-www-form-urlencoded" => Kind::Form,
        _ => Kind::Other,
    }
}

struct Finder<'a> {
    service: &'a Service,
    found: Vec<Place>,
}

impl Finder<'_> {
    fn add(&mut self, part: Part, range: Range<usize>, handle: &str) -> Result<(), Refusal> {
        if self.found.len() == MOST {
            let text = "a request holds 16 handles at the most";
            return Err(Refusal::new(Code::PolicyDenied, text));
        }
        self.found.push(Place { part, range, handle: handle.to_owned() });
        Ok(())
    }

    /// The query or the form `text`, which begins at `from` in its part.
    fn pairs(&mut self, text: &str, from: usize, part: Part) -> Result<(), Refusal> {
        if !may_hold(text.as_bytes()) {
            return Ok(());
        }
        let mut at = from;
        for pair in text.split('&') {
            if may_hold(pair.as_bytes()) {
                let (name, value) = pair.split_once('=').ok_or_else(misplaced)?;
                let decoded = escape::decode(&name.replace('+', " "));
                let name_is_listed =
                    std::str::from_utf8(&decoded).is_ok_and(|name| self.service.unseals(name));
                if !is_handle(value) || !name_is_listed {
                    return Err(misplaced());
                }
                let start = at + name.len() + 1;
                self.add(part, start..start + value.len(), value)?;
            }
            at += pair.len() + 1;
        }
        Ok(())
    }

    fn headers(&mut self, headers: &[(String, String)]) -> Result<(), Refusal> {
        for (at, (name, value)) in headers.iter().enumerate() {
            if !holds(value.as_bytes()) {
                continue;
            }
            let (start, handle) = match value.strip_prefix(BEARER) {
                Some(handle) => (BEARER.len(), handle),
                None => (0, value.as_str()),
            };
            // `accept`, `content-type` and their like are no place for a credential.
            let may_set = self.service.request_headers.iter().any(|there| there == name);
            if !is_handle(handle) || !may_set || !self.service.unseals(name) {
                return Err(misplaced());
            }
            self.add(Part::Header(at), start..value.len(), handle)?;
        }
        Ok(())
    }

    /// The strings of the JSON `body`, each at the member that it is the value of, or in the list of.
    fn json(&mut self, body: &[u8]) -> Result<(), Refusal> {
        // What two readers could understand differently has no places.
        let Ok(text) = json::check(body, DEPTH) else { return Err(misplaced()) };
        let body = text.as_bytes();
        let mut names: Vec<Option<Range<usize>>> = vec![None];
        let mut at = 0;
        while let Some(&byte) = body.get(at) {
            match byte {
                b'"' => {
                    let place = at..string_end(body, at);
                    at = place.end;
                    let is_name = body.get(skip_blank(body, at)) == Some(&b':');
                    let name = names.last_mut();
                    match (is_name, name) {
                        (true, _) if string_holds(body, &place) => return Err(misplaced()),
                        (true, Some(name)) => *name = Some(place),
                        (false, Some(name)) if string_holds(body, &place) => {
                            let listed = name.as_ref().and_then(|name| decoded(body, name));
                            self.string(text, place, listed.as_deref())?;
                        }
                        _ => {}
                    }
                    continue;
                }
                b'{' => names.push(None),
                b'[' => names.push(names.last().cloned().flatten()),
                b'}' | b']' => drop(names.pop()),
                _ => {}
            }
            at += 1;
        }
        Ok(())
    }

    /// The string at `place`, which holds a handle, as the value of `name`.
    fn string(
        &mut self,
        text: &str,
        place: Range<usize>,
        name: Option<&str>,
    ) -> Result<(), Refusal> {
        let inner = text.get(place.start + 1..place.end - 1).unwrap_or_default();
        if !is_handle(inner) || !name.is_some_and(|name| self.service.unseals(name)) {
            return Err(misplaced());
        }
        self.add(Part::Json, place, inner)
    }
}

/// Whether the JSON string at `place` holds a handle, whatever its escapes.
fn string_holds(body: &[u8], place: &Range<usize>) -> bool {
    let quoted = &body[place.clone()];
    holds(quoted)
        || quoted.contains(&b'\\') && decoded(body, place).is_none_or(|text| holds(text.as_bytes()))
}

/// The JSON string at `place`.
fn decoded(body: &[u8], place: &Range<usize>) -> Option<String> {
    serde_json::from_slice(&body[place.clone()]).ok()
}

/// Whether `text` is a handle and nothing else.
fn is_handle(text: &str) -> bool {
    text.len() == BEGINNING.len() + DIGITS && holds(text.as_bytes())
}

/// Whether something in `bytes` looks like a handle: what handles begin with, and enough digits.
fn holds(bytes: &[u8]) -> bool {
    memmem::find_iter(bytes, BEGINNING).any(|at| {
        let digits = at + BEGINNING.len()..at + BEGINNING.len() + DIGITS;
        bytes.get(digits).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The same, also where characters are percent-encoded or escaped as JSON does.
fn may_hold(bytes: &[u8]) -> bool {
    let text = || String::from_utf8_lossy(bytes);
    holds(bytes)
        || memchr::memchr(b'%', bytes).is_some() && holds(&escape::decode(&text()))
        || memmem::find(bytes, b"\\u00").is_some() && holds(unescaped(&text()).as_bytes())
}

/// `text` with its `\u00XX` undone.
fn unescaped(text: &str) -> String {
    let mut pieces = text.split("\\u00");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = digits {
            out.push(char::from(byte));
            out.push_str(&piece[2..]);
        } else {
            out.push_str("\\u00");
            out.push_str(piece);
        }
    }
    out
}
