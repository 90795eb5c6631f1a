//! From a body and a query to fields that were checked.

use std::borrow::Cow;
use std::collections::BTreeMap;

use strongroom_model::json::{Json, Object};

use super::{Kind, Shape};
use crate::problem::Problem;

/// How deep a body may be nested, and how many values it may have.
const DEPTH: usize = 16;
const VALUES: usize = 4096;

/// The fields of a request that was checked: what is asked for here is of the kind that its shape says.
#[derive(Debug, Default)]
pub(crate) struct Input<'a>(BTreeMap<Cow<'a, str>, Json<'a>>);

impl<'a> Input<'a> {
    /// Reads a body. An empty one has no fields.
    pub(crate) fn body(bytes: &'a [u8]) -> Result<Self, Problem> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        match Json::read(bytes, DEPTH, VALUES) {
            Ok(Json::Object(object)) => Ok(Self(object.into_iter().collect())),
            Ok(_) => Err(Problem::invalid("the body is not an object")),
            Err(flaw) => Err(Problem::invalid(format!("the body is not usable JSON: {flaw}"))),
        }
    }

    /// Checks all fields.
    #[cfg(test)]
    pub(crate) fn check(&self, shape: &Shape) -> Result<(), Problem> {
        shape.check(None, self.0.iter().map(|(name, json)| (&**name, json)))
    }

    /// Checks all fields, of which some have the first shape and some the second. No name is in both.
    pub(crate) fn check_both(&self, path: &Shape, fields: &Shape) -> Result<(), Problem> {
        let of_path = |name: &str| path.fields.iter().any(|field| field.name == name);
        let members = || self.0.iter().map(|(name, json)| (&**name, json));
        path.check(None, members().filter(|(name, _)| of_path(name)))?;
        fields.check(None, members().filter(|(name, _)| !of_path(name)))
    }

    /// Adds a part of the path.
    pub(crate) fn insert(&mut self, name: &'static str, text: &'a str) {
        self.0.insert(Cow::Borrowed(name), Json::Text(Cow::Borrowed(text)));
    }

    /// Takes a field out, before the rest is checked.
    pub(crate) fn take(&mut self, name: &str) -> Option<Json<'a>> {
        self.0.remove(name)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.0.get(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Json::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        match self.0.get(name) {
            Some(Json::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        match self.0.get(name) {
            Some(Json::Number(digits)) => whole(digits),
            _ => None,
        }
    }

    pub(crate) fn texts(&self, name: &str) -> Option<Vec<String>> {
        let Some(Json::List(items)) = self.0.get(name) else { return None };
        let texts = items.iter().filter_map(|item| match item {
            Json::Text(text) => Some(text.clone().into_owned()),
            _ => None,
        });
        Some(texts.collect())
    }

    pub(crate) fn object(&self, name: &str) -> Option<&Object<'a>> {
        match self.0.get(name) {
            Some(Json::Object(object)) => Some(object),
            _ => None,
        }
    }

    /// A value of any kind, for what is passed on.
    pub(crate) fn value(&self, name: &str) -> Option<serde_json::Value> {
        self.0.get(name).map(value)
    }
}

/// A whole number, however it is written: `7.0` and `7e0` are 7 (JSON Schema, "integer").
pub(super) fn whole(digits: &str) -> Option<u64> {
    if let Ok(number) = digits.parse() {
        return Some(number);
    }
    let number = digits.parse::<f64>().ok()?;
    // Beyond that a double does not say which number was meant.
    let exact = number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&number);
    exact.then(|| format!("{number:.0}").parse().ok()).flatten()
}

/// The same value for readers that know no [`Json`].
fn value(json: &Json<'_>) -> serde_json::Value {
    use serde_json::Value;
    match json {
        Json::Null => Value::Null,
        Json::Flag(flag) => Value::Bool(*flag),
        Json::Number(digits) => digits.parse().map_or(Value::Null, Value::Number),
        Json::Text(text) => Value::String(text.clone().into_owned()),
        Json::List(items) => Value::Array(items.iter().map(value).collect()),
        Json::Object(object) => Value::Object(
            object.iter().map(|(name, json)| (name.to_owned(), value(json))).collect(),
        ),
    }
}

/// Reads a query whose fields have `shape`.
///
/// # Errors
///
/// Everything that two readers could understand differently: a name that stands twice, a broken
/// escape, bytes that are no UTF-8, a part without `=`.
pub(crate) fn query<'a>(text: &'a str, shape: &Shape) -> Result<Input<'a>, Problem> {
    let mut fields = BTreeMap::new();
    if text.is_empty() {
        return Ok(Input(fields));
    }
    let broken = || Problem::invalid("the query is not of the form `name=value&name=value`");
    for part in text.split('&') {
        let (name, value) = part.split_once('=').ok_or_else(broken)?;
        let name = decode(name).ok_or_else(broken)?;
        let value = decode(value).ok_or_else(broken)?;
        let json = match (shape.field(&name).map(|field| &field.kind), value) {
            (Some(Kind::Flag), value) if value == "true" => Json::Flag(true),
            (Some(Kind::Flag), value) if value == "false" => Json::Flag(false),
            (Some(Kind::Number { .. }), Cow::Borrowed(digits))
                if !digits.is_empty()
                    && digits.bytes().all(|byte| byte.is_ascii_digit())
                    && (digits == "0" || !digits.starts_with('0')) =>
            {
                Json::Number(digits)
            }
            (_, value) => Json::Text(value),
        };
        if fields.contains_key(&name) {
            return Err(Problem::invalid("a name stands twice in the query"));
        }
        fields.insert(name, json);
    }
    Ok(Input(fields))
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::super::{Alternative, Field, Form};
    use super::*;

    const BINDING: Shape = Shape::of(&[
        Field::required("service", Kind::LABEL, ""),
        Field::optional("field", Kind::LABEL, ""),
    ]);

    const SHAPE: Shape = Shape {
        fields: &[
            Field::required("name", Kind::NAME, ""),
            Field::optional("flag", Kind::Flag, ""),
            Field::optional("count", Kind::Number { least: 1, most: 10 }, ""),
            Field::optional("kind", Kind::OneOf(&["one", "two"]), ""),
            Field::optional(
                "list",
                Kind::List { item: &Kind::text(0, 3, Form::NoNul), least: 1, most: 2 },
                "",
            ),
            Field::optional(
                "map",
                Kind::Map {
                    name: super::super::Text { least: 1, most: 5, form: Form::Label },
                    value: &Kind::Object(&BINDING),
                    least: 0,
                    most: 2,
                },
                "",
            ),
            Field::nullable("id", Kind::UUID, ""),
        ],
        one_of: &[
            Alternative { with: &["flag"], without: &["count"] },
            Alternative { with: &["count"], without: &["flag"] },
        ],
    };

    fn judged(body: &str) -> Result<(), Problem> {
        Input::body(body.as_bytes())?.check(&SHAPE)
    }

    #[test]
    fn a_body_of_the_shape_passes_and_its_fields_are_had() {
        let body = r#"{"name":"A \u00e9","flag":true,"list":["","abc"],"id":null,
            "kind":"two","map":{"K":{"service":"amazon","field":"f"}}}"#;
        let input = Input::body(body.as_bytes()).unwrap();
        input.check(&SHAPE).unwrap();
        assert_eq!(input.text("name"), Some("A é"));
        assert_eq!((input.flag("flag"), input.number("count")), (Some(true), None));
        assert_eq!(input.texts("list").unwrap(), ["", "abc"]);
        assert_eq!(input.value("map").unwrap()["K"]["service"], "amazon");
        assert!(
            judged(r#"{"name":"x","count":3.0,"id":"2f1c3a4e-0b5d-4c6e-8f70-112233445566"}"#)
                .is_ok()
        );
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field_and_never_by_its_value() {
        for (body, field, says) in [
            (r#"{"name":"x","flag":true,"id":null,"role":"canary"}"#, "role", "there is no field"),
            (r#"{"name":"x","Flag":true,"id":null}"#, "Flag", "there is no field"),
            (r#"{"flag":true,"id":null}"#, "name", "is missing"),
            (r#"{"name":"x","flag":true}"#, "id", "is missing"),
            (r#"{"name":" canary","flag":true,"id":null}"#, "name", "no space"),
            (r#"{"name":"canary\n","flag":true,"id":null}"#, "name", "no control"),
            (r#"{"name":["canary"],"flag":true,"id":null}"#, "name", "is a text"),
            (r#"{"name":null,"flag":true,"id":null}"#, "name", "is a text"),
            (r#"{"name":"x","flag":"canary","id":null}"#, "flag", "`true` or `false`"),
            (r#"{"name":"x","count":0,"id":null}"#, "count", "from 1 to 10"),
            (r#"{"name":"x","count":1.5,"id":null}"#, "count", "from 1 to 10"),
            (r#"{"name":"x","count":1e99,"id":null}"#, "count", "from 1 to 10"),
            (r#"{"name":"x","count":-1,"id":null}"#, "count", "from 1 to 10"),
            (r#"{"name":"x","flag":true,"id":"canary"}"#, "id", "has 36 characters"),
            (r#"{"name":"x","flag":true,"id":null,"kind":"canary"}"#, "kind", "one of `one`"),
            (r#"{"name":"x","flag":true,"id":null,"list":[]}"#, "list", "has 1 to 2 entries"),
            (r#"{"name":"x","flag":true,"id":null,"list":["canary"]}"#, "list", "0 to 3"),
            (r#"{"name":"x","flag":true,"id":null,"map":{"K":{}}}"#, "map.service", "is missing"),
            (
                r#"{"name":"x","flag":true,"id":null,"map":{"K":{"service":"s","x":"canary"}}}"#,
                "map.x",
                "there is no field",
            ),
        ] {
            let problem = judged(body).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some(field), "{body}");
            assert!(problem.message.contains(says), "{body}: {}", problem.message);
            assert!(!String::from_utf8(problem.body()).unwrap().contains("canary"), "{body}");
        }
        for body in [
            r#"{"name":"x","id":null}"#,
            r#"{"name":"x","flag":true,"count":1,"id":null}"#,
            r#"{"name":"x","flag":true,"flag":true,"id":null}"#,
            "[]",
            "canary",
            "{\"name\":\"x\"",
            &"[".repeat(1000),
        ] {
            let problem = judged(body).unwrap_err();
            assert_eq!((problem.status, problem.field.is_none()), (400, true), "{body}");
            assert!(!problem.message.contains("canary"));
        }
        assert!(judged(&format!("{{\"name\":[{}0]}}", "0,".repeat(VALUES))).is_err());
    }

    #[test]
    fn a_query_is_read_in_one_way_or_not_at_all() {
        let input = query("name=a%20b%2B+c&flag=true&count=7", &SHAPE).unwrap();
        assert_eq!(input.text("name"), Some("a b+ c"));
        assert_eq!((input.flag("flag"), input.number("count")), (Some(true), Some(7)));
        assert!(query("", &SHAPE).unwrap().0.is_empty());
        for bad in [
            "name",
            "&",
            "name=a&",
            "name=a&name=b",
            "name=a&n%61me=b",
            "name=%",
            "name=%f",
            "name=%ff",
            "name=%zz",
        ] {
            assert_eq!(query(bad, &SHAPE).unwrap_err().status, 400, "{bad}");
        }
        for bad in [
            "flag=1",
            "flag=TRUE",
            "count=07",
            "count=+7",
            "count=%37",
            "count=-1",
            "count=99",
            "other=1",
        ] {
            let input = query(bad, &SHAPE).unwrap();
            assert!(input.check(&SHAPE).is_err(), "{bad}");
        }
    }
}
