//! Everything that is offered at one endpoint, written down once, so that a list is a copy.

use std::ops::Range;

use super::definition::Definition;
use super::names::{Names, Naming, Offer, Route, Unnamed};

/// What one server offers: tools, or prompts.
#[derive(Clone, Debug)]
pub struct Offered {
    /// The prefix of its names, which ends in `.`.
    pub prefix: String,
    /// What it says of them, in its order.
    pub definitions: Vec<Definition>,
}

/// The tools, or the prompts, of many servers behind those of our own.
#[derive(Debug)]
pub struct Catalogue {
    offers: Vec<Offered>,
    names: Names,
    /// The elements of the whole list, with commas between them.
    text: Vec<u8>,
    /// Where each one stands, in the order of the list.
    places: Vec<(Route, Range<usize>)>,
    /// Where the first one that is not our own stands.
    ours: usize,
}

impl Catalogue {
    /// Puts `offers` behind `ours`, the elements of our own list, which take the names `reserved`.
    pub fn new(naming: Naming, ours: &str, reserved: &[&str], offers: Vec<Offered>) -> Self {
        let own: Vec<Vec<&str>> = offers
            .iter()
            .map(|offered| offered.definitions.iter().map(Definition::name).collect())
            .collect();
        let named: Vec<Offer<'_>> = offers
            .iter()
            .zip(&own)
            .map(|(offered, names)| Offer { prefix: &offered.prefix, names })
            .collect();
        let assigned = Names::assign(naming, reserved, &named);
        let mut text = ours.as_bytes().to_vec();
        let ours = text.len();
        let mut places = Vec::new();
        for (server, offered) in offers.iter().enumerate() {
            for (item, (definition, shown)) in
                offered.definitions.iter().zip(assigned.shown(server)).enumerate()
            {
                let Ok(shown) = shown else { continue };
                if !text.is_empty() {
                    text.push(b',');
                }
                let from = text.len();
                definition.write_as(shown, &mut text);
                places.push((Route { server, item }, from..text.len()));
            }
        }
        Self { offers, names: assigned, text, places, ours }
    }

    /// The definition that a caller means by `name`, and where it goes.
    pub fn find(&self, name: &str) -> Option<(Route, &Definition)> {
        let route = self.names.find(name)?;
        Some((route, self.offers.get(route.server)?.definitions.get(route.item)?))
    }

    /// What the definitions of the server at this place are called in it.
    pub fn shown(&self, server: usize) -> impl Iterator<Item = &str> {
        self.names.shown(server).iter().flatten().map(AsRef::as_ref)
    }

    /// The elements of the list for a caller who may see what `sees` says; with our own where it `begins`.
    pub fn list(
        &self,
        out: &mut Vec<u8>,
        begins: bool,
        mut sees: impl FnMut(Route, &Definition) -> bool,
    ) {
        let ours = if begins { self.ours } else { 0 };
        out.extend_from_slice(&self.text[..ours]);
        let mut first = ours == 0;
        // What stands together is copied together.
        let mut run: Option<Range<usize>> = None;
        for (route, place) in &self.places {
            let definition = self.offers[route.server].definitions.get(route.item);
            if definition.is_some_and(|definition| sees(*route, definition)) {
                run = Some(run.map_or(place.start, |run| run.start)..place.end);
            } else if let Some(run) = run.take() {
                self.copy(out, run, &mut first);
            }
        }
        if let Some(run) = run {
            self.copy(out, run, &mut first);
        }
    }

    /// What has no name, and why: for the status.
    pub fn unnamed(&self) -> impl Iterator<Item = (usize, &str, Unnamed)> {
        self.offers.iter().enumerate().flat_map(|(server, offered)| {
            let pairs = offered.definitions.iter().zip(self.names.shown(server));
            pairs.filter_map(move |(definition, shown)| {
                Some((server, definition.name(), shown.as_ref().err().copied()?))
            })
        })
    }

    /// How many there are behind our own.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none behind our own.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn copy(&self, out: &mut Vec<u8>, run: Range<usize>, first: &mut bool) {
        if !std::mem::take(first) {
            out.push(b',');
        }
        out.extend_from_slice(&self.text[run]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::definition::page;
    use super::*;

    fn offered(prefix: &str, names: &[&str]) -> Offered {
        let tools: Vec<Value> = names.iter().map(|name| json!({ "name": name, "x": 1 })).collect();
        let text = json!({ "tools": tools }).to_string();
        Offered { prefix: prefix.into(), definitions: page(&text, "tools", "name").unwrap().0 }
    }

    fn listed(catalogue: &Catalogue, sees: impl FnMut(Route, &Definition) -> bool) -> Vec<String> {
        let mut out = b"[".to_vec();
        catalogue.list(&mut out, true, sees);
        out.push(b']');
        let list: Value = serde_json::from_slice(&out).unwrap();
        let name = |tool: &Value| tool["name"].as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(name).collect()
    }

    #[test]
    fn a_list_has_our_own_first_and_then_what_the_caller_may_see() {
        let ours = r#"{"name":"execute"},{"name":"exec"}"#;
        let offers = || vec![offered("a.", &["x", "y", "z"]), offered("b.", &["x", "", "q"])];
        for (ours, own) in [(ours, &["execute", "exec"][..]), ("", &[])] {
            let catalogue = Catalogue::new(Naming::Safe, ours, own, offers());
            let all = ["a_x", "a_y", "a_z", "b_x", "b_q"];
            assert_eq!(listed(&catalogue, |_, _| true), [own, &all].concat());
            assert_eq!(listed(&catalogue, |_, _| false), own);
            for left_out in ["x", "y", "z", "q"] {
                let seen = listed(&catalogue, |_, definition| definition.name() != left_out);
                let expected = all.iter().filter(|name| !name.ends_with(left_out));
                let expected: Vec<_> = own.iter().chain(expected).copied().collect();
                assert_eq!(seen, expected, "{left_out}");
            }
            let none: Vec<_> = catalogue.unnamed().collect();
            assert_eq!((none, catalogue.len()), (vec![(1, "", Unnamed::Unfit)], 5));
        }
    }

    #[test]
    fn a_name_leads_to_its_definition_in_every_form() {
        let catalogue = Catalogue::new(
            Naming::Safe,
            "",
            &[],
            vec![offered("a.", &["x"]), offered("b.", &["x", "y"])],
        );
        for name in ["b_y", "b.y"] {
            let (route, definition) = catalogue.find(name).unwrap();
            assert_eq!((route, definition.name()), (Route { server: 1, item: 1 }, "y"));
        }
        assert!(catalogue.find("y").is_none() && catalogue.find("c_x").is_none());
    }
}
