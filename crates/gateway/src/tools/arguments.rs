//! Arguments, read strictly: what a tool does not know is an error, so that nothing is believed to
//! have been heard (MC-13).

use std::borrow::Cow;

use crate::wire::RpcError;
use strongroom_model::json::{self, Members};

/// The arguments of one call.
pub(super) struct Arguments<'a>(Members<'a>);

impl<'a> Arguments<'a> {
    /// The arguments in `raw`, every one of them among `known`.
    ///
    /// # Errors
    ///
    /// They are not an object, or there are others.
    pub(super) fn read(raw: Option<&'a str>, known: &[&str]) -> Result<Self, RpcError> {
        let members = match raw {
            None | Some("null") => Members::default(),
            Some(raw) => Members::read(raw).ok_or_else(|| wrong("`arguments` is an object"))?,
        };
        for (name, _) in members.iter() {
            if !known.contains(&name) {
                return Err(unknown(name, known));
            }
        }
        Ok(Self(members))
    }

    /// An argument as it was written; `null` stands for none.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).filter(|raw| *raw != "null")
    }

    /// An argument that is a string, where it is given.
    pub(super) fn optional(&self, name: &str) -> Result<Option<Cow<'a, str>>, RpcError> {
        self.raw(name)
            .map(|raw| json::string(raw).ok_or_else(|| wrong(format!("`{name}` is a string"))))
            .transpose()
    }

    /// An argument that is a string and must be given.
    pub(super) fn required(&self, name: &str) -> Result<String, RpcError> {
        let given = self.optional(name)?;
        given.map(Cow::into_owned).ok_or_else(|| wrong(format!("`{name}` is required")))
    }

    /// An argument that is true or false; false where it is not given.
    pub(super) fn flag(&self, name: &str) -> Result<bool, RpcError> {
        match self.raw(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(wrong(format!("`{name}` is true or false"))),
        }
    }

    /// An argument that is a number from 1 on, where it is given.
    pub(super) fn count(&self, name: &str) -> Result<Option<u32>, RpcError> {
        let read = |raw: &str| raw.parse().ok().filter(|number| *number > 0);
        let wrong = || wrong(format!("`{name}` is a whole number from 1 on"));
        self.raw(name).map(|raw| read(raw).ok_or_else(wrong)).transpose()
    }

    /// An argument that is a list of strings, where it is given.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, RpcError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        if raw.len() > OBJECT {
            return Err(wrong(format!("`{name}` is too large")));
        }
        serde_json::from_str(raw)
            .map(Some)
            .map_err(|_| wrong(format!("`{name}` is a list of strings")))
    }

    /// The members of an argument that is an object; none where it is not given.
    ///
    /// What is read takes many times the room of its text, hence the cap.
    pub(super) fn object(&self, name: &str) -> Result<Members<'a>, RpcError> {
        match self.raw(name) {
            None => Ok(Members::default()),
            Some(raw) if raw.len() > OBJECT => Err(wrong(format!("`{name}` is too large"))),
            Some(raw) => Members::read(raw).ok_or_else(|| wrong(format!("`{name}` is an object"))),
        }
    }
}

/// Bytes of an argument that is an object, as written: more than any query or set of headers that a
/// request may have, with every character escaped.
const OBJECT: usize = 512 << 10;

/// An argument is not what it should be. `why` names it and never quotes it.
pub(super) fn wrong(why: impl Into<Cow<'static, str>>) -> RpcError {
    RpcError::invalid_params(why)
}

/// Names the argument only where it looks like a name: it may be anything, a pasted key too.
fn unknown(name: &str, known: &[&str]) -> RpcError {
    let plain = name.len() <= 24 && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    let what = if plain { format!("unknown argument `{name}`") } else { "unknown argument".into() };
    if known.is_empty() {
        wrong(format!("{what}; the tool takes none"))
    } else {
        wrong(format!("{what}; the tool takes {}", known.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_argument_is_an_error_that_says_what_is_known() {
        let error = Arguments::read(Some(r#"{"agentId":"x"}"#), &["service"]).err().unwrap();
        assert_eq!(error.code, -32602);
        assert_eq!(&*error.message, "unknown argument `agentId`; the tool takes service");
        assert!(Arguments::read(Some(r#"{"service":"x"}"#), &["service"]).is_ok());
    }

    #[test]
    fn a_pasted_key_is_not_repeated() {
        for pasted in ["sk-live-canary1", "canary canary", "canary_canary_canary_canary_canary"] {
            let raw = format!("{{\"{pasted}\":1}}");
            let error = Arguments::read(Some(&raw), &["service"]).err().unwrap();
            assert!(!error.message.contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn arguments_have_the_types_that_the_schema_says() {
        let raw = r#"{"a":["x"],"b":"x","c":null,"d":{"e":1}}"#;
        let arguments = Arguments::read(Some(raw), &["a", "b", "c", "d"]).unwrap();
        assert_eq!(&*arguments.required("a").unwrap_err().message, "`a` is a string");
        assert_eq!(arguments.required("b").unwrap(), "x");
        assert_eq!(&*arguments.required("c").unwrap_err().message, "`c` is required");
        assert_eq!(arguments.object("d").unwrap().get("e"), Some("1"));
        assert!(arguments.object("b").is_err());
        let large = format!("{{\"d\":{{{}\"x\":1}}}}", "\"x\":1,".repeat(100_000));
        let arguments = Arguments::read(Some(&large), &["d"]).unwrap();
        assert_eq!(&*arguments.object("d").unwrap_err().message, "`d` is too large");
        for bad in ["[]", "\"x\"", "1", "true"] {
            assert!(Arguments::read(Some(bad), &[]).is_err());
        }
    }
}
