//! `exec`: one run of a program.

use strongroom_model::call::{Exec, Executed};

use super::arguments::{Arguments, wrong};
use super::output::{self, Output};
use crate::wire::{RpcError, write};

pub(super) const DEFINITION: &str = r#"{
  "name": "exec",
  "title": "Run a program",
  "description": "Runs a program from `list_services` (kind `command`) with its credential and returns what it printed. `command` is a list: the program's name first, then each argument as a word of its own; no shell reads it, so there are no pipes, wildcards, variables or redirections. Folder and environment are fixed by the configuration. Read `exit_code`: a program that fails is an answer. A command line that the rules do not allow comes back as an error with a code (`policy_denied`, ...) and `retry`: `never` means do not repeat it. Secrets in the output are replaced by [REDACTED:name]. Examples: {\"service\": \"gh\", \"command\": [\"gh\", \"issue\", \"list\", \"--limit\", \"5\"]} and {\"service\": \"git\", \"command\": [\"git\", \"push\", \"origin\", \"main\"], \"reason\": \"publish the fix\"}",
  "inputSchema": {
    "type": "object",
    "properties": {
      "service": { "type": "string", "description": "A name from `list_services`, of kind `command`." },
      "command": { "type": "array", "items": { "type": "string" }, "minItems": 1, "description": "The program's name and its arguments." },
      "stdin": { "type": "string", "description": "Standard input, where the service takes any." },
      "reason": { "type": "string", "description": "Why, in a few words; it stands in the audit log." }
    },
    "required": ["service", "command"],
    "additionalProperties": false
  },
  "outputSchema": {
    "type": "object",
    "properties": {
      "exit_code": { "type": "integer", "description": "128 and the signal where one ended it." },
      "signal": { "type": "integer" },
      "stdout": { "type": "string" },
      "stdout_encoding": { "type": "string", "enum": ["base64"] },
      "stdout_in": { "type": "string", "enum": ["text"], "description": "The output is large and stands in the first text block only." },
      "stderr": { "type": "string" },
      "stderr_encoding": { "type": "string", "enum": ["base64"] },
      "redactions": { "type": "integer" },
      "duration_ms": { "type": "integer" },
      "audit_id": { "type": "string" },
      "error": {
        "type": "object",
        "properties": {
          "code": { "type": "string" },
          "message": { "type": "string" },
          "audit_id": { "type": "string" },
          "retry": { "type": "string", "enum": ["never", "after", "ask"] },
          "retry_after_s": { "type": "integer" }
        }
      }
    }
  },
  "annotations": { "readOnlyHint": false, "destructiveHint": true, "idempotentHint": false, "openWorldHint": true }
}"#;

/// Output of more bytes stands once, in the text block.
const TWICE: usize = 64 << 10;

pub(super) fn read(arguments: Option<&str>) -> Result<Exec, RpcError> {
    let arguments = Arguments::read(arguments, &["service", "command", "stdin", "reason"])?;
    let command = arguments.texts("command")?;
    Ok(Exec {
        service: arguments.required("service")?,
        command: command.ok_or_else(|| wrong("`command` is required"))?,
        stdin: arguments.optional("stdin")?.map(String::from).unwrap_or_default().into_bytes(),
        reason: arguments.optional("reason")?.map(Into::into),
    })
}

pub(super) fn output(executed: Executed) -> Output {
    let audit_id = executed.audit_id.as_deref();
    let ran = match executed.result {
        Ok(ran) => ran,
        Err(refusal) => return Output::refused(&refusal, audit_id),
    };
    let large = ran.stdout.get().len() > TWICE;
    let structured = output::object(|result| {
        // An exit code that is negative is Windows's way to say one above 2^31.
        result.number("exit_code", u64::from(ran.exit_code.cast_unsigned()));
        if let Some(signal) = ran.signal {
            result.number("signal", u64::from(signal.cast_unsigned()));
        }
        if large {
            result.string("stdout_in", "text");
        } else {
            printed(result.name("stdout"), ran.stdout.get());
        }
        if is_binary(ran.stdout.get()) {
            result.string("stdout_encoding", "base64");
        }
        printed(result.name("stderr"), ran.stderr.get());
        if is_binary(ran.stderr.get()) {
            result.string("stderr_encoding", "base64");
        }
        result.number("redactions", ran.redactions).number("duration_ms", ran.duration_ms);
        result.optional("audit_id", audit_id);
    });
    if large {
        let binary = is_binary(ran.stdout.get());
        Output::Large { structured, body: ran.stdout.into_inner(), binary }
    } else {
        Output::Structured(structured)
    }
}

/// No text, or full of control characters: as a string it would take six times the room.
fn is_binary(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .map_or(true, |text| bytes.len() > TWICE && write::string_len(text) > 2 * text.len() + 2)
}

fn printed(out: &mut Vec<u8>, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) if !is_binary(bytes) => write::string(out, text),
        _ => output::base64(out, bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &str) -> Result<Exec, RpcError> {
        super::read(Some(arguments))
    }

    #[test]
    fn a_command_is_a_list_of_words_and_never_a_line() {
        let call = read(r#"{"service":"git","command":["git","push","a b",""]}"#).unwrap();
        assert_eq!(call.command, ["git", "push", "a b", ""]);
        assert!(call.stdin.is_empty() && call.reason.is_none());
        for bad in [
            r#"{"service":"git","command":"git push"}"#,
            r#"{"service":"git","command":["git",1]}"#,
            r#"{"service":"git","command":[["git"]]}"#,
            r#"{"service":"git","command":{"0":"git"}}"#,
            r#"{"service":"git"}"#,
            r#"{"command":["git"]}"#,
            r#"{"service":"git","command":["git"],"cwd":"/"}"#,
            r#"{"service":"git","command":["git"],"env":{"GIT_SSH_COMMAND":"id"}}"#,
            r#"{"service":"git","command":["git"],"stdin":["x"]}"#,
        ] {
            assert_eq!(read(bad).unwrap_err().code, -32602, "{bad}");
        }
    }

    #[test]
    fn standard_input_and_the_reason_are_text() {
        let call = r#"{"service":"s","command":["s"],"stdin":"a\nü","reason":"why"}"#;
        let call = read(call).unwrap();
        assert_eq!((call.stdin, call.reason.as_deref()), ("a\nü".into(), Some("why")));
    }
}
