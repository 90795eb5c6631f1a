//! Which server an address of a resource leads to.
//!
//! Addresses are shown as their servers wrote them: a client may compare or keep them. Where two servers
//! list the same one, it is the first server's and the other's is left out. An address that nobody
//! lists leads to the first server that has a template for it; else to the only server whose addresses
//! are of its scheme. Only servers that the caller may use are looked at, so that no server can take an
//! address away from callers who may not use it.

use super::definition::Definition;

/// The longest address, in bytes.
pub const LONGEST: usize = 8 << 10;

/// The longest template, in bytes, and its variables at the most.
const LONGEST_TEMPLATE: usize = 1 << 10;
const MOST_VARIABLES: usize = 32;

/// Templates of one server that are tried.
const MOST_TEMPLATES: usize = 256;

/// What one server is known to have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Has<'a> {
    /// Its resources.
    pub resources: &'a [Definition],
    /// Its templates.
    pub templates: &'a [Definition],
}

/// The place of the server, among those in `has`, that `uri` leads to.
pub fn find<'a>(uri: &str, has: impl Iterator<Item = Has<'a>> + Clone) -> Option<usize> {
    if uri.is_empty() || uri.len() > LONGEST {
        return None;
    }
    let lists = |has: Has<'_>| has.resources.iter().any(|resource| resource.name() == uri);
    let makes = |has: Has<'_>| {
        has.templates.iter().take(MOST_TEMPLATES).any(|one| matches(one.name(), uri))
    };
    let of_scheme = |has: Has<'_>| {
        let scheme = scheme(uri);
        let mut all = has.resources.iter().chain(has.templates);
        scheme.is_some() && all.any(|one| self::scheme(one.name()) == scheme)
    };
    has.clone().position(lists).or_else(|| has.clone().position(makes)).or_else(|| {
        let mut places = has.enumerate().filter(|(_, has)| of_scheme(*has));
        let (only, _) = places.next()?;
        places.next().is_none().then_some(only)
    })
}

/// Whether `template` (RFC 6570) can become `uri`: what stands outside braces stands there, in its order,
/// and a simple variable is not empty and has no `/` in it.
pub fn matches(template: &str, uri: &str) -> bool {
    let Some(parts) = parts(template) else { return false };
    // Which positions of `uri` the parts so far can end at.
    let mut ends = vec![false; uri.len() + 1];
    ends[0] = true;
    for part in parts {
        let mut next = vec![false; uri.len() + 1];
        match part {
            Part::Literal(text) => {
                for at in (0..ends.len()).filter(|at| ends[*at]) {
                    if uri.as_bytes()[at..].starts_with(text.as_bytes()) {
                        next[at + text.len()] = true;
                    }
                }
            }
            Part::Variable { simple } => {
                let mut open = false;
                for at in 0..ends.len() {
                    next[at] = open || (!simple && ends[at]);
                    let stops = simple && uri.as_bytes().get(at) == Some(&b'/');
                    open = (open || ends[at]) && !stops;
                }
            }
        }
        ends = next;
    }
    ends[uri.len()]
}

enum Part<'a> {
    Literal(&'a str),
    Variable { simple: bool },
}

fn parts(template: &str) -> Option<Vec<Part<'_>>> {
    if template.len() > LONGEST_TEMPLATE {
        return None;
    }
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        let (expression, after) = after.split_once('}')?;
        parts.push(Part::Literal(literal));
        let plain = expression.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        parts.push(Part::Variable { simple: plain && !expression.contains([',', '*']) });
        rest = after;
    }
    parts.push(Part::Literal(rest));
    (parts.len() <= 2 * MOST_VARIABLES + 1).then_some(parts)
}

/// Whether `uri` is of a page that a client would show as an interface of its server's (SEP-1865).
pub fn is_page(uri: &str) -> bool {
    scheme(uri).is_some_and(|scheme| scheme.eq_ignore_ascii_case("ui"))
}

fn scheme(uri: &str) -> Option<&str> {
    uri.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| !scheme.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::definition::page;
    use super::*;

    fn resources(uris: &[&str], of: &str) -> Vec<Definition> {
        let items: Vec<_> = uris.iter().map(|uri| json!({ of: uri })).collect();
        page(&json!({ "x": items }).to_string(), "x", of).unwrap().0
    }

    #[test]
    fn a_template_matches_what_it_can_become_and_nothing_else() {
        for (template, uri, expected) in [
            ("test://a/{id}/data", "test://a/7/data", true),
            ("test://a/{id}/data", "test://a//data", false),
            ("test://a/{id}/data", "test://a/7/8/data", false),
            ("test://a/{id}/data", "test://a/7/data/", false),
            ("file:///{+path}", "file:///a/b", true),
            ("file:///{path*}", "file:///a/b", true),
            ("x://{a}-{b}", "x://1-2-3", true),
            ("x://{a}{?q}", "x://1?q=/2", true),
            ("x://{a}{?q}", "x://1", true),
            ("x://fixed", "x://fixed", true),
            ("x://{open", "x://{open", false),
            ("{a}", "", false),
        ] {
            assert_eq!(matches(template, uri), expected, "{template} {uri}");
        }
    }

    // RX-07
    #[test]
    fn matching_is_linear_in_the_address_and_in_the_template() {
        let template = "a{x}".repeat(MOST_VARIABLES);
        let uri = format!("{}/", "a".repeat(LONGEST - 1));
        assert!(!matches(&template, &uri));
        assert!(!matches(&"{x}".repeat(MOST_VARIABLES + 1), "xx"), "too many variables");
    }

    #[test]
    fn an_address_leads_to_who_lists_it_then_to_who_has_a_template_then_to_the_only_one_of_its_scheme()
     {
        let listed = [resources(&["a://1", "c://1"], "uri"), resources(&["b://1", "a://1"], "uri")];
        let templates = [resources(&[], "uriTemplate"), resources(&["d://{x}"], "uriTemplate")];
        let has = |order: &'static [usize]| {
            let (listed, templates) = (&listed, &templates);
            order.iter().map(move |n| Has { resources: &listed[*n], templates: &templates[*n] })
        };
        let both: &[usize] = &[0, 1];
        for (uri, expected) in [
            ("a://1", Some(0)),
            ("b://1", Some(1)),
            ("d://7", Some(1)),
            ("c://other", Some(0)),
            ("a://other", None),
            ("e://1", None),
            ("nothing", None),
            ("", None),
        ] {
            assert_eq!(find(uri, has(both)), expected, "{uri}");
        }
        assert_eq!(find("a://1", has(&[1])), Some(0), "who may not use the first has the second's");
    }
}
