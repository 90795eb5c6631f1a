//! What the tools and prompts of many servers are called at one endpoint (decision 13).
//!
//! `amazon.` and `order` are shown as `amazon_order`, which every model's API takes, and are called by
//! that name or as `amazon.order`. Names are given to all of them at once and looked up in a table: no
//! name is ever taken apart, so that no spelling leads to another server.

use std::collections::{HashMap, HashSet};

use aws_lc_rs::digest::{SHA256, digest};
use icu_normalizer::ComposingNormalizerBorrowed;
use strongroom_seal::hex;

/// The longest name that is shown, in bytes.
const LONGEST: usize = 64;

/// The longest name that a server may give, in bytes (MCP 2025-11-25 says 128 characters).
const LONGEST_OWN: usize = 256;

/// Hexadecimal digits of the hash that makes a name one of its own.
const HASH: usize = 8;

/// How names are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// `amazon_order`.
    #[default]
    Safe,
    /// `amazon.order`, for clients whose models take it.
    Dotted,
    /// `order`: for one server alone.
    Plain,
}

/// What one server offers.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The prefix of the server, which ends in `.`.
    pub prefix: &'a str,
    /// The names that it gives, in its order.
    pub names: &'a [&'a str],
}

/// Why something has no name here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unnamed {
    /// It is empty, too long, or has control characters in it.
    #[error("its name is empty, longer than 256 bytes, or has control characters in it")]
    Unfit,
    /// Another one of the same server has this name, or one that a person would take for it.
    #[error("its name cannot be told from the name of another one of this server")]
    Double,
    /// Other servers have every name that could be shown for it.
    #[error("other servers have taken every name that could be shown for it")]
    Taken,
}

/// Where a call goes: the place of the server among the offers, and of the name among its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The server.
    pub server: usize,
    /// What of it.
    pub item: usize,
}

/// The names of everything that is offered.
#[derive(Debug, Default)]
pub struct Names {
    routes: HashMap<Box<str>, Route>,
    shown: Vec<Vec<Result<Box<str>, Unnamed>>>,
}

impl Names {
    /// Names what is offered. The first server has the first choice; `reserved` are taken.
    pub fn assign(naming: Naming, reserved: &[&str], offers: &[Offer<'_>]) -> Self {
        let mut names = Self::default();
        let mut taken: HashSet<String> = reserved.iter().map(|name| folded(name)).collect();
        for (server, offer) in offers.iter().enumerate() {
            let mut own = HashSet::new();
            let shown = offer.names.iter().enumerate().map(|(item, name)| {
                if name.is_empty() || name.len() > LONGEST_OWN || name.chars().any(is_unfit) {
                    return Err(Unnamed::Unfit);
                }
                if !own.insert(folded(name)) {
                    return Err(Unnamed::Double);
                }
                let full = format!("{}{name}", offer.prefix);
                let shown = shown(naming, name, &full, &taken).ok_or(Unnamed::Taken)?;
                taken.insert(folded(&shown));
                names.route(&shown, &full, Route { server, item }, naming);
                Ok(shown.into())
            });
            let shown = shown.collect();
            names.shown.push(shown);
        }
        names
    }

    /// Where a call of `name` goes, in whatever form it is.
    pub fn find(&self, name: &str) -> Option<Route> {
        self.routes.get(name).copied()
    }

    /// What is shown for each name of the server at this place, in its order.
    pub fn shown(&self, server: usize) -> &[Result<Box<str>, Unnamed>] {
        self.shown.get(server).map_or(&[], Vec::as_slice)
    }

    /// A name that is shown is never given away; the dotted one is its first owner's.
    fn route(&mut self, shown: &str, full: &str, route: Route, naming: Naming) {
        self.routes.insert(shown.into(), route);
        if naming != Naming::Plain {
            self.routes.entry(full.into()).or_insert(route);
        }
    }
}

/// The name that is shown for `full`: the plain way where that is free and loses nothing.
fn shown(naming: Naming, own: &str, full: &str, taken: &HashSet<String>) -> Option<String> {
    let (text, fits) = match naming {
        Naming::Plain => (own.to_owned(), own.len() <= 128),
        Naming::Dotted => (full.to_owned(), full.len() <= 128 && full.chars().all(is_dotted)),
        Naming::Safe => {
            let safe = safe(full);
            let fits = safe.len() <= LONGEST && full.chars().all(is_dotted);
            (safe, fits)
        }
    };
    if fits && !taken.contains(&folded(&text)) {
        return Some(text);
    }
    let hash = hex(digest(&SHA256, full.as_bytes()).as_ref());
    let safe = safe(full);
    // Somebody may have taken a name because it is the hashed one of another.
    let names = [HASH, 2 * HASH, 4 * HASH].map(|digits| {
        format!("{}_{}", &safe[..safe.len().min(LONGEST - digits - 1)], &hash[..digits])
    });
    names.into_iter().find(|name| !taken.contains(&folded(name)))
}

/// `full` in the characters that every model's API takes.
fn safe(full: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    full.chars().map(|c| if plain(c) { c } else { '_' }).collect()
}

/// The characters of MCP 2025-11-25.
fn is_dotted(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn is_unfit(c: char) -> bool {
    c.is_control()
}

/// What a person would take for the same.
fn folded(name: &str) -> String {
    let name = ComposingNormalizerBorrowed::new_nfkc().normalize(name);
    name.to_lowercase().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one<'a>(prefix: &'a str, names: &'a [&'a str]) -> Offer<'a> {
        Offer { prefix, names }
    }

    fn shown(names: &Names, server: usize) -> Vec<&str> {
        names.shown(server).iter().map(|name| name.as_deref().unwrap_or("-")).collect()
    }

    fn at(server: usize, item: usize) -> Route {
        Route { server, item }
    }

    #[test]
    fn a_tool_is_shown_by_a_safe_name_and_called_by_it_or_by_the_dotted_one() {
        let names = Names::assign(Naming::Safe, &[], &[one("amazon.", &["order", "get-it"])]);
        assert_eq!(shown(&names, 0), ["amazon_order", "amazon_get-it"]);
        for name in ["amazon_order", "amazon.order"] {
            assert_eq!(names.find(name), Some(at(0, 0)), "{name}");
        }
        for name in ["order", "amazon order", "Amazon_order", "amazon..order", "amazon_", ""] {
            assert_eq!(names.find(name), None, "{name}");
        }
        let dotted = Names::assign(Naming::Dotted, &[], &[one("amazon.", &["order"])]);
        assert_eq!(shown(&dotted, 0), ["amazon.order"]);
        let plain = Names::assign(Naming::Plain, &[], &[one("amazon.", &["order", "a/b"])]);
        assert_eq!(shown(&plain, 0), ["order", "a/b"]);
        assert_eq!((plain.find("order"), plain.find("amazon.order")), (Some(at(0, 0)), None));
    }

    // MC-02, MC-03
    #[test]
    fn a_name_that_is_taken_leaves_its_owner_alone_and_the_later_one_is_told_by_its_hash() {
        let offers = [one("list.", &["services"]), one("a.", &["b.x"]), one("a.b.", &["x"])];
        let names = Names::assign(Naming::Safe, &["list_services"], &offers);
        let [taken, first, second] = [0, 1, 2].map(|server| shown(&names, server)[0].to_owned());
        assert!(taken.starts_with("list_services_") && taken.len() == 14 + HASH, "{taken}");
        assert_eq!(first, "a_b_x");
        assert!(second.starts_with("a_b_x_"), "{second}");
        assert_eq!(names.find("list_services"), None, "what is reserved is nobody's");
        assert_eq!((names.find("a_b_x"), names.find("a.b.x")), (Some(at(1, 0)), Some(at(1, 0))));
        assert_eq!(names.find(&second), Some(at(2, 0)));
        let again = Names::assign(Naming::Safe, &["list_services"], &offers);
        assert_eq!(shown(&again, 2), [second], "the same whenever it is asked");
    }

    #[test]
    fn names_that_were_taken_on_purpose_are_not_given_twice() {
        let first = Names::assign(Naming::Safe, &["a_b_x"], &[one("a.b.", &["x"])]);
        let hashed = shown(&first, 0)[0].to_owned();
        let own = [hashed.strip_prefix("a_").unwrap()];
        let offers = [one("a.", &own), one("a.b.", &["x"])];
        let names = Names::assign(Naming::Safe, &["a_b_x"], &offers);
        assert_eq!(shown(&names, 0), [&*hashed]);
        assert_eq!(names.find(&hashed), Some(at(0, 0)));
        let other = shown(&names, 1)[0];
        assert!(
            other.len() == hashed.len() + HASH && names.find(other) == Some(at(1, 0)),
            "{other}"
        );
    }

    // MC-01
    #[test]
    fn what_a_person_takes_for_the_same_is_refused_and_the_first_one_works() {
        let own = ["send_mail", "Send_Mail", "send_mail ", "\u{ff53}end_mail", "s\u{435}nd_mail"];
        let names =
            Names::assign(Naming::Safe, &[], &[one("good.", &own), one("evil.", &own[..1])]);
        assert_eq!(names.find("good_send_mail"), Some(at(0, 0)));
        assert_eq!(names.find("evil_send_mail"), Some(at(1, 0)));
        assert_eq!(names.shown(0)[1..4], [const { Err(Unnamed::Double) }; 3]);
        let homoglyph = names.shown(0)[4].as_deref().unwrap();
        assert!(homoglyph.starts_with("good_s_nd_mail_"), "{homoglyph}");
        let prefixes = Names::assign(Naming::Safe, &[], &[one("a.", &["x"]), one("A.", &["x"])]);
        assert!(shown(&prefixes, 1)[0].starts_with("A_x_"), "{prefixes:?}");
    }

    // MC-12
    #[test]
    fn long_and_strange_names_are_shown_by_a_stable_hash_and_unfit_ones_not_at_all() {
        let long: Vec<String> = [62, 63, 128, 256, 257].map(|n| "x".repeat(n)).into();
        let mut own: Vec<&str> = long.iter().map(String::as_str).collect();
        own.extend(["", "a b", "a/b", "\u{1f600}", "a\nb"]);
        let names = Names::assign(Naming::Safe, &[], &[one("p.", &own)]);
        assert_eq!(names.shown(0)[0].as_deref(), Ok(&*format!("p_{}", "x".repeat(62))));
        for (item, name) in names.shown(0).iter().enumerate() {
            match name {
                Ok(name) => {
                    assert!(name.len() <= LONGEST, "{name}");
                    assert_eq!(names.find(name), Some(at(0, item)));
                }
                Err(why) => assert!(*why == Unnamed::Unfit && [4, 5, 9].contains(&item), "{item}"),
            }
        }
    }

    proptest! {
        #[test]
        fn every_shown_name_is_one_of_its_own_and_leads_to_its_owner(
            offers in prop::collection::vec(
                ("[a-c._]{0,3}", prop::collection::vec("[a-cA-C._\u{e9} -]{0,70}", 0..6)), 0..5),
        ) {
            let prefixes: Vec<String> = offers.iter().map(|(prefix, _)| format!("{prefix}.")).collect();
            let own: Vec<Vec<&str>> =
                offers.iter().map(|(_, names)| names.iter().map(String::as_str).collect()).collect();
            let offers: Vec<Offer<'_>> =
                prefixes.iter().zip(&own).map(|(prefix, names)| one(prefix, names)).collect();
            let names = Names::assign(Naming::Safe, &["a_a"], &offers);
            let mut seen = HashSet::new();
            for server in 0..offers.len() {
                for (item, name) in names.shown(server).iter().enumerate() {
                    let Ok(name) = name else { continue };
                    prop_assert!(seen.insert(name.to_ascii_lowercase()), "{} twice", name);
                    prop_assert!(name.len() <= LONGEST && safe(name) == **name && &**name != "a_a");
                    prop_assert_eq!(names.find(name), Some(Route { server, item }));
                }
            }
        }
    }
}
