//! Answers, as they are written.

use strongroom_model::call::ToolAnswer;
use strongroom_model::json::{self, Members};

use super::{Era, cacheable, meta, server_info};
use crate::mount::Listed;
use crate::tools::Output;
use crate::wire::write::{self, Object};
use crate::wire::{Id, RpcError};

/// What a server answered, as it wrote it. `cached`: the method's results say how long they are good.
/// `seal` makes of a server's `requestState` what the client is given.
///
/// It is framed in the memory that it came in: a large one is moved by some bytes, and not copied.
pub(super) fn answer(
    id: Id<'_>,
    era: Era,
    cached: bool,
    answer: ToolAnswer,
    seal: &dyn Fn(&str) -> Option<String>,
) -> Vec<u8> {
    let mut head = Vec::with_capacity(128 + id.raw().len());
    head.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    head.extend_from_slice(id.raw().as_bytes());
    head.extend_from_slice(if answer.is_error { b",\"error\":" } else { b",\"result\":" });
    let mut out = answer.text.into_inner();
    // A line of it could be read as a message of ours.
    write::put_on_one_line(&mut out);
    let instead = match era {
        Era::Legacy => Instead::of_nothing(),
        Era::Modern if answer.is_error => modern_error(&out),
        Era::Modern => complete(&out, cached, seal),
    };
    head.extend_from_slice(&instead.text);
    out.splice(..instead.bytes, head);
    out.push(b'}');
    out
}

/// What an answer begins with here.
struct Instead {
    /// So many bytes of what the server wrote.
    bytes: usize,
    /// What stands in their place.
    text: Vec<u8>,
}

impl Instead {
    fn of_nothing() -> Self {
        Self { bytes: 0, text: Vec::new() }
    }
}

/// The status of an HTTP response with it.
pub(super) fn status(era: Era, answer: &ToolAnswer) -> u16 {
    if era == Era::Legacy || !answer.is_error {
        return 200;
    }
    let code = str::from_utf8(answer.text.get()).ok().and_then(crate::mount::code);
    code.and_then(|code| i32::try_from(code).ok()).map_or(200, RpcError::status_of)
}

/// A modern result says what it is, and how long it is good; one of an older server does not.
fn complete(text: &[u8], cached: bool, seal: &dyn Fn(&str) -> Option<String>) -> Instead {
    let members = str::from_utf8(text).ok().and_then(Members::read);
    let Some(members) = members else { return Instead::of_nothing() };
    let kind = members.get("resultType");
    if kind.and_then(json::string).as_deref() == Some("input_required") {
        return Instead { bytes: text.len(), text: sealed(&members, seal) };
    }
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    if kind.is_none() {
        object.string("resultType", "complete");
    }
    if cached && members.get("ttlMs").is_none() {
        object.number("ttlMs", 0);
    }
    if cached && members.get("cacheScope").is_none() {
        object.string("cacheScope", "private");
    }
    if members.iter().next().is_none() {
        object.close();
        return Instead { bytes: text.len(), text: out };
    }
    if out.len() == 1 {
        return Instead::of_nothing();
    }
    out.push(b',');
    Instead { bytes: 1, text: out }
}

/// A question of a server, with a state that means something to us alone.
fn sealed(members: &Members<'_>, seal: &dyn Fn(&str) -> Option<String>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut result = Object::open(&mut out);
    for (name, raw) in members.iter() {
        let state = (name == "requestState").then(|| json::string(raw)).flatten();
        match state {
            Some(state) => {
                result.optional(name, seal(&state).as_deref());
            }
            None => write::on_one_line(result.name(name), raw),
        }
    }
    result.close();
    out
}

/// Errors of older servers that the modern era has other numbers for (2026-07-28, "Error Codes").
fn modern_error(text: &[u8]) -> Instead {
    const OLD: [&str; 2] = ["-32002", "-32042"];
    let members = str::from_utf8(text).ok().and_then(Members::read);
    let Some(members) = members.filter(|all| all.get("code").is_some_and(|raw| OLD.contains(&raw)))
    else {
        return Instead::of_nothing();
    };
    let mut out = Vec::new();
    let mut error = Object::open(&mut out);
    for (name, raw) in members.iter() {
        let raw = match (name, raw) {
            ("code", "-32002") => "-32602",
            ("code", _) => "-32600",
            _ => raw,
        };
        write::on_one_line(error.name(name), raw);
    }
    error.close();
    Instead { bytes: text.len(), text: out }
}

/// A page of a list, and which servers are not in it. It may change with every request: nobody keeps it.
pub(super) fn list(id: Id<'_>, era: Era, listed: &Listed, next: Option<&str>) -> Vec<u8> {
    write::result(id, listed.elements.len() + 512, |out| {
        if era == Era::Modern {
            out.extend_from_slice(b"\"resultType\":\"complete\",");
        }
        write::string(out, listed.kind.member());
        out.extend_from_slice(b":[");
        out.extend_from_slice(&listed.elements);
        out.push(b']');
        if let Some(next) = next {
            out.extend_from_slice(b",\"nextCursor\":");
            write::string(out, next);
        }
        if era == Era::Modern {
            cacheable(out, 0);
        }
        if era == Era::Legacy && listed.missing.is_empty() {
            return;
        }
        out.extend_from_slice(b",\"_meta\":");
        let mut meta = Object::open(out);
        if era == Era::Modern {
            server_info(meta.name("io.modelcontextprotocol/serverInfo"));
        }
        if !listed.missing.is_empty() {
            let out = meta.name("io.strongroom/missing");
            write::list(out, &listed.missing, |out, (name, refusal)| {
                let mut missing = Object::open(out);
                missing.string("server", name.as_str()).string("why", &refusal.message);
                missing.close();
            });
        }
        meta.close();
    })
}

/// The result of one of our own tools, or of a call that was refused.
pub(super) fn tool_result(id: Id<'_>, era: Era, output: Output) -> Vec<u8> {
    write::result(id, output.size() + 256, |out| {
        if era == Era::Modern {
            out.extend_from_slice(b"\"resultType\":\"complete\",");
        }
        output.write(out);
        if era == Era::Modern {
            meta(out);
        }
    })
}

/// The call has to come again, with the answers to `questions`, an object (2026-07-28, "Multi Round-Trip
/// Requests").
pub(super) fn input_required(id: Id<'_>, questions: &[u8], state: &str) -> Vec<u8> {
    write::result(id, questions.len() + state.len() + 512, |out| {
        out.extend_from_slice(b"\"resultType\":\"input_required\",\"inputRequests\":");
        out.extend_from_slice(questions);
        out.extend_from_slice(b",\"requestState\":");
        write::string(out, state);
        meta(out);
    })
}

/// Something was done, and there is nothing to say about it.
pub(super) fn done(id: Id<'_>, era: Era) -> Vec<u8> {
    write::result(id, 64, |out| {
        if era == Era::Modern {
            out.extend_from_slice(b"\"resultType\":\"complete\"");
        }
    })
}

#[cfg(test)]
mod tests {
    use strongroom_model::redact::Redactor;

    use super::*;

    fn said(era: Era, text: &str, is_error: bool) -> String {
        json::check(text.as_bytes(), 64).unwrap();
        let (text, redactions) = Redactor::default().clean_json(text.into());
        let raw = ToolAnswer { text, is_error, failed: is_error, redactions };
        let seal = |state: &str| Some(format!("sealed {state}"));
        String::from_utf8(answer(Id::read("7").unwrap(), era, true, raw, &seal)).unwrap()
    }

    #[test]
    fn no_line_of_an_answer_is_a_message_by_itself() {
        let text = "{\"a\":\r\n{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}\n,\"b\":\"x\\ny\"\r}";
        for era in [Era::Legacy, Era::Modern] {
            for is_error in [false, true] {
                let message = said(era, text, is_error);
                assert!(!message.contains(['\n', '\r']), "{message}");
                let read: serde_json::Value = serde_json::from_str(&message).unwrap();
                let member = if is_error { "error" } else { "result" };
                assert_eq!((&read["id"], &read[member]["b"]), (&7.into(), &"x\ny".into()));
            }
        }
    }

    #[test]
    fn the_state_of_a_question_is_sealed_however_its_kind_is_written() {
        for kind in ["input_required", "input_\\u0072equired"] {
            let text = format!(r#"{{"resultType":"{kind}","requestState":"s"}}"#);
            let message = said(Era::Modern, &text, false);
            assert!(message.contains(r#""requestState":"sealed s""#), "{message}");
        }
        let message = said(Era::Modern, r#"{"resultType":"complete","requestState":"s"}"#, false);
        assert!(message.contains(r#""requestState":"s""#), "{message}");
    }
}
