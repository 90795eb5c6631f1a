//! Writes messages, each into one buffer that needs no copy on its way out.

use memchr::memchr2;
use strongroom_model::json;

use super::Id;
use super::error::RpcError;

/// A result. `body` appends the members of the result object, without braces.
pub(crate) fn result(id: Id<'_>, reserve: usize, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(reserve + 64 + id.raw().len());
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.raw().as_bytes());
    out.extend_from_slice(b",\"result\":{");
    body(&mut out);
    out.extend_from_slice(b"}}");
    out
}

/// An error. Without an id it is about a message whose id could not be read.
pub(crate) fn error(id: Option<Id<'_>>, error: &RpcError) -> Vec<u8> {
    let mut out = Vec::with_capacity(160 + error.message.len());
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.map_or("null", Id::raw).as_bytes());
    out.extend_from_slice(b",\"error\":{\"code\":");
    out.extend_from_slice(error.code.to_string().as_bytes());
    out.extend_from_slice(b",\"message\":");
    string(&mut out, &error.message);
    if let Some(data) = &error.data {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data.as_bytes());
    }
    out.extend_from_slice(b"}}");
    out
}

/// A JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing a string to a Vec cannot fail");
}

/// Writes one object, member by member.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    /// Opens it.
    pub(crate) fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Closes it.
    pub(crate) fn close(self) {
        self.out.push(b'}');
    }

    /// A name; the caller appends the value to what is returned.
    pub(crate) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        string(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// A member that is a string.
    pub(crate) fn string(&mut self, name: &str, value: &str) -> &mut Self {
        string(self.name(name), value);
        self
    }

    /// A member that is a string where there is one.
    pub(crate) fn optional(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            self.string(name, value);
        }
        self
    }

    /// A member that is a number.
    pub(crate) fn number(&mut self, name: &str, value: u64) -> &mut Self {
        let digits = value.to_string();
        self.name(name).extend_from_slice(digits.as_bytes());
        self
    }

    /// A member that is true or false.
    pub(crate) fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.name(name).extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    /// A member that is a list of strings.
    pub(crate) fn strings<'s>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = &'s str>,
    ) -> &mut Self {
        list(self.name(name), values, string);
        self
    }
}

/// An array of what `each` writes.
pub(crate) fn list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    each: impl Fn(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        each(out, item);
    }
    out.push(b']');
}

/// How many bytes [`string`] appends.
pub(crate) fn string_len(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0c | b'\r' => 2,
        0..=0x1f => 6,
        _ => 1,
    };
    2 + text.bytes().map(escaped).sum::<usize>()
}

/// A checked JSON text without the whitespace between its tokens. A message stands on one line, so
/// no JSON of others is embedded as it is.
pub(crate) fn on_one_line(out: &mut Vec<u8>, text: &str) {
    let mut in_string = false;
    let mut from = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b' ' | b'\t' | b'\n' | b'\r' if !in_string => {
                out.extend_from_slice(&bytes[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    out.extend_from_slice(&bytes[from..]);
}

/// Puts a checked JSON text on one line where it stands. Ends of lines are there between tokens alone: within a
/// string they are escaped.
pub(crate) fn put_on_one_line(text: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = memchr2(b'\n', b'\r', &text[from..]) {
        text[from + at] = b' ';
        from += at + 1;
    }
}

/// The string that `raw` is, cut to `cap` characters: a label, nothing more.
pub(crate) fn label(raw: &str, cap: usize) -> Option<String> {
    json::string(raw).map(|text| text.chars().take(cap).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_length_of_a_string_is_known_before_it_is_written(text in any::<String>()) {
            let mut out = Vec::new();
            string(&mut out, &text);
            prop_assert_eq!(out.len(), string_len(&text));
        }

        #[test]
        fn json_on_one_line_means_the_same(map in prop::collection::btree_map(any::<String>(), prop::collection::vec(any::<String>(), 0..4), 0..4)) {
            let pretty = serde_json::to_string_pretty(&map).unwrap();
            let mut out = Vec::new();
            on_one_line(&mut out, &pretty);
            prop_assert_eq!(&out, &serde_json::to_vec(&map).unwrap());
        }
    }

    #[test]
    fn an_error_without_an_id_says_null() {
        let text = error(None, &RpcError::invalid_request("no \"quotes\""));
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert!(value["id"].is_null());
        assert_eq!(value["error"]["message"], "no \"quotes\"");
    }
}
