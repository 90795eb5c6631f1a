//! `mcp-registry.json`: a map of servers.

use jsonc_parser::ast::{ObjectPropName, Value};
use jsonc_parser::common::Ranged as _;
use strongroom_model::principal::Name;

use super::catalogue::{Entry, Source};
use super::{Problem, Text, json};

/// The servers of a registry file, each left unbuilt, and what is wrong beside them.
///
/// # Errors
///
/// The file as a whole cannot be read.
pub fn read(text: &Text, source: &Source) -> Result<(Vec<Entry>, Vec<Problem>), Problem> {
    let value = json::parse(text, &text.text)?;
    let Value::Object(object) = value else {
        return Err(text
            .problem(value.start(), "a registry is a map of servers")
            .hint("write `{ \"NAME\": { \"command\": \"npx some-server\" } }`"));
    };
    let mut entries: Vec<Entry> = Vec::with_capacity(object.properties.len());
    let mut problems = Vec::new();
    let mut seen = std::collections::HashSet::with_capacity(object.properties.len());
    for property in &object.properties {
        let key = match &property.name {
            ObjectPropName::String(text) => text.value.as_ref(),
            ObjectPropName::Word(word) => word.value,
        };
        // For editors.
        if key == "$schema" {
            continue;
        }
        let at = property.range.start;
        match key.parse::<Name>() {
            Err(error) => problems.push(text.problem(at, error.to_string())),
            Ok(name) if !seen.insert(name.clone()) => {
                return Err(text
                    .problem(at, format!("the server `{name}` stands twice"))
                    .hint("keep one of the two"));
            }
            Ok(name) => {
                let range = property.value.range();
                let part = range.start..range.end;
                entries.push(Entry::of_part(name, source.clone(), text.clone(), part));
            }
        }
    }
    Ok((entries, problems))
}
