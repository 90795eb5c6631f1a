//! The `OpenAPI` 3.1 document, made of the tables that requests are dispatched and checked by.

use serde_json::{Map, Value, json};
use strongroom_model::team::Scope;

use crate::access::TENANT;
use crate::problem::Reason;
use crate::public::PAGES;
use crate::route::{Access, Route};
use crate::routes;
use crate::shape::{Alternative, Field, Form, Kind, Need, Shape, Text};

/// The document as it is served.
pub(crate) fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

fn document() -> Value {
    let mut paths = Map::new();
    for page in &PAGES {
        paths.insert(page.path.to_owned(), json!({ "get": public(page.path, page.about) }));
    }
    for route in routes::all() {
        for (at, path) in route.paths().enumerate() {
            let methods = paths.entry(path).or_insert_with(|| json!({}));
            methods[route.method.to_ascii_lowercase()] = operation(route, path, at);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Strongroom",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Servers, credentials and keys of tenants.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "api_key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
                "kernel": { "type": "http", "scheme": "bearer" },
            },
            "responses": {
                "Problem": {
                    "description": "It was not done, and why.",
                    "content": { "application/json": { "schema": problem() } },
                },
            },
        },
    })
}

fn public(path: &str, about: &str) -> Value {
    let kind = if path == "/openapi.json" { "application/json" } else { "text/plain" };
    let mut responses = json!({
        "200": { "description": "It does.", "content": { kind: { "schema": {} } } },
        "default": { "$ref": "#/components/responses/Problem" },
    });
    if path == "/readyz" {
        let down = json!({ "description": "It does not.", "content": { kind: { "schema": {} } } });
        responses["503"] = down;
    }
    let id = path.trim_matches('/').replace('.', "_");
    json!({ "operationId": id, "summary": about, "security": [], "responses": responses })
}

fn operation(route: &Route, path: &str, at: usize) -> Value {
    let mut id = route.act.replace('.', "_");
    if at > 0 {
        id.push_str("_alias");
    }
    let mut security = vec![json!({ "api_key": [] })];
    if route.for_kernels() {
        security.push(json!({ "kernel": [] }));
    }
    let mut parameters: Vec<Value> = Vec::new();
    for field in route.path_fields.fields.iter().filter(|field| path.contains(field.name)) {
        parameters.push(parameter("path", field));
    }
    if route.by_query() {
        parameters.extend(route.fields.fields.iter().map(|field| parameter("query", field)));
        if route.for_kernels() {
            parameters.push(parameter("query", &TENANT_FIELD));
        }
    }
    if route.repeatable {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "Sent again with the same body, the request is answered again and done once.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
        }));
    }
    let mut operation = json!({
        "operationId": id,
        "summary": route.about,
        "description": who(route),
        "security": security,
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "It was done.",
                "content": { "application/json": { "schema": answer(route) } },
            },
            "default": { "$ref": "#/components/responses/Problem" },
        },
    });
    if !route.by_query() {
        operation["requestBody"] = json!({
            "required": needs_a_body(route),
            "content": { "application/json": { "schema": body(route) } },
        });
    }
    operation
}

fn needs_a_body(route: &Route) -> bool {
    let needed = |field: &Field| field.need == Need::Required;
    let alone = |way: &Alternative| !way.with.is_empty();
    let ways = route.fields.one_of;
    !ways.is_empty() && ways.iter().all(alone) || route.fields.fields.iter().any(needed)
}

const TENANT_FIELD: Field = Field::optional(
    TENANT,
    Kind::UUID,
    "The tenant that a kernel acts for; an API key's own where there is one.",
);

fn who(route: &Route) -> String {
    match route.access {
        Access::Anyone => {
            let scopes = Scope::ALL.map(|scope| format!("`{scope}`")).join(", ");
            format!("For keys of any scope ({scopes}), and kernels.")
        }
        Access::Tenant(scope, other, kernels) => {
            let other = other.map(|other| format!(" or `{other}`")).unwrap_or_default();
            let kernels = if kernels { ", and kernels" } else { "" };
            format!("For keys of the scope `{scope}`{other}{kernels}.")
        }
        Access::Admin => "For keys of the scope `admin`.".to_owned(),
        Access::Operator => "For an operator's keys of the scope `admin`.".to_owned(),
    }
}

fn body(route: &Route) -> Value {
    let mut schema = shape(&route.fields);
    if route.for_kernels() {
        schema["properties"][TENANT] = field(&TENANT_FIELD);
    }
    schema
}

fn answer(route: &Route) -> Value {
    let mut schema = json!({
        "type": "object",
        "required": ["ok", "data"],
        "additionalProperties": false,
        "properties": { "ok": { "const": true }, "data": shape(&route.answer) },
    });
    if route.says_status {
        schema["properties"]["status"] = json!({ "const": "success" });
        schema["required"] = json!(["ok", "status", "data"]);
    }
    schema
}

fn problem() -> Value {
    let codes: Vec<_> = Reason::all().map(Reason::as_str).collect();
    json!({
        "type": "object",
        "required": ["ok", "error"],
        "additionalProperties": false,
        "properties": {
            "ok": { "const": false },
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "additionalProperties": false,
                "properties": {
                    "code": { "enum": codes },
                    "message": { "type": "string", "description": "For people; it may change." },
                    "details": {
                        "type": "object",
                        "additionalProperties": false,
                        "properties": {
                            "field": { "type": "string" },
                            "retry_after_s": { "type": "integer", "minimum": 0 },
                        },
                    },
                },
            },
        },
    })
}

fn parameter(place: &str, it: &Field) -> Value {
    json!({
        "name": it.name,
        "in": place,
        "required": place == "path" || it.need == Need::Required,
        "description": it.about,
        "schema": kind(&it.kind),
    })
}

fn shape(shape: &Shape) -> Value {
    let names = |needed: fn(&Field) -> bool| -> Vec<&str> {
        shape.fields.iter().filter(|field| needed(field)).map(|field| field.name).collect()
    };
    let properties: Map<_, _> =
        shape.fields.iter().map(|it| (it.name.to_owned(), field(it))).collect();
    let mut schema = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    let required = names(|field| field.need.is_due());
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if !shape.one_of.is_empty() {
        schema["oneOf"] = shape.one_of.iter().map(alternative).collect();
    }
    schema
}

fn alternative(way: &Alternative) -> Value {
    let without: Vec<_> = way.without.iter().map(|name| json!({ "required": [name] })).collect();
    let mut schema = json!({});
    if !way.with.is_empty() {
        schema["required"] = json!(way.with);
    }
    if !without.is_empty() {
        schema["not"] = json!({ "anyOf": without });
    }
    schema
}

fn field(field: &Field) -> Value {
    let mut schema = kind(&field.kind);
    if field.need.may_be_null() {
        schema = json!({ "anyOf": [schema, { "type": "null" }] });
    }
    if !field.about.is_empty() {
        schema["description"] = json!(field.about);
    }
    schema
}

fn kind(it: &Kind) -> Value {
    match it {
        Kind::Text(it) => text_schema(it),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Number { least, most } => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Kind::OneOf(values) => json!({ "type": "string", "enum": values }),
        Kind::List { item, least, most } => {
            json!({ "type": "array", "items": kind(item), "minItems": least, "maxItems": most })
        }
        Kind::Map { name, value, least, most } => json!({
            "type": "object",
            "propertyNames": text_schema(name),
            "additionalProperties": kind(value),
            "minProperties": least,
            "maxProperties": most,
        }),
        Kind::Object(it) => shape(it),
        Kind::Any => json!({}),
    }
}

fn text_schema(text: &Text) -> Value {
    let mut schema = json!({
        "type": "string",
        "minLength": text.least,
        "maxLength": text.most,
        "pattern": text.form.pattern(),
    });
    if let Form::Time = text.form {
        schema["format"] = json!("date-time");
    }
    schema
}
