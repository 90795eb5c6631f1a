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
pub(super) fn answer(
    id: Id<'_>,
    era: Era,
    cached: bool,
    answer: &ToolAnswer,
    seal: &dyn Fn(&str) -> Option<String>,
) -> Vec<u8> {
    let text = answer.text.get();
    let mut out = Vec::with_capacity(text.len() + 128 + id.raw().len());
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.raw().as_bytes());
    out.extend_from_slice(if answer.is_error { b",\"error\":" } else { b",\"result\":" });
    match era {
        Era::Modern if answer.is_error => modern_error(&mut out, text),
        Era::Modern => complete(&mut out, text, cached, seal),
        Era::Legacy => out.extend_from_slice(text),
    }
    out.push(b'}');
    out
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
fn complete(out: &mut Vec<u8>, text: &[u8], cached: bool, seal: &dyn Fn(&str) -> Option<String>) {
    let members = str::from_utf8(text).ok().and_then(Members::read);
    let Some(members) = members else { return out.extend_from_slice(text) };
    let kind = members.get("resultType");
    let asks = kind == Some("\"input_required\"");
    if asks {
        return sealed(out, &members, seal);
    }
    let lacks = |name| cached && !asks && members.get(name).is_none();
    out.push(b'{');
    let before = out.len();
    let mut object = |part: &[u8]| {
        if out.len() > before {
            out.push(b',');
        }
        out.extend_from_slice(part);
    };
    if kind.is_none() {
        object(b"\"resultType\":\"complete\"");
    }
    if lacks("ttlMs") {
        object(b"\"ttlMs\":0");
    }
    if lacks("cacheScope") {
        object(b"\"cacheScope\":\"private\"");
    }
    if members.iter().next().is_some() {
        object(&text[1..]);
    } else {
        out.push(b'}');
    }
}

/// A question of a server, with a state that means something to us alone.
fn sealed(out: &mut Vec<u8>, members: &Members<'_>, seal: &dyn Fn(&str) -> Option<String>) {
    let mut result = Object::open(out);
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
}

/// Errors of older servers that the modern era has other numbers for (2026-07-28, "Error Codes").
fn modern_error(out: &mut Vec<u8>, text: &[u8]) {
    const OLD: [&str; 2] = ["-32002", "-32042"];
    let members = str::from_utf8(text).ok().and_then(Members::read);
    let Some(members) = members.filter(|all| all.get("code").is_some_and(|raw| OLD.contains(&raw)))
    else {
        return out.extend_from_slice(text);
    };
    let mut error = Object::open(out);
    for (name, raw) in members.iter() {
        let raw = match (name, raw) {
            ("code", "-32002") => "-32602",
            ("code", _) => "-32600",
            _ => raw,
        };
        write::on_one_line(error.name(name), raw);
    }
    error.close();
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
