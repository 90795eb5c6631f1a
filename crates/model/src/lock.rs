//! The kill switch: what is locked, and whom it stops (decision 17).
//!
//! The state is a small file that every process looks at before each call. What cannot be read as
//! written by us locks everything: a kill switch that breaks is on.

use std::fmt;

use crate::principal::Name;

/// The first line of the file.
const HEAD: &str = "strongroom lock 1";

/// What can be locked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Every call, every command, every start of a server.
    Everything,
    /// The calls to one service.
    Service(Name),
    /// Whatever one principal does.
    Principal(Name),
    /// The starts of one MCP server.
    Server(Name),
}

/// A part that is locked, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// What.
    pub part: Part,
    /// Seconds since 1970.
    pub since: u64,
}

/// All that is locked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locks(Vec<Locked>);

impl Locks {
    /// Everything, because what was found is not ours.
    pub fn unreadable() -> Self {
        Self(vec![Locked { part: Part::Everything, since: 0 }])
    }

    /// Reads the file: a head, then a line for each part, `since kind [name]`. Anything else is
    /// [`unreadable`](Self::unreadable).
    pub fn parse(text: &[u8]) -> Self {
        Self::read(text).unwrap_or_else(Self::unreadable)
    }

    fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
        let mut lines = text.split('\n');
        if lines.next() != Some(HEAD) {
            return None;
        }
        let parts = lines.map(|line| {
            let mut words = line.split(' ');
            let since = words.next()?.parse().ok()?;
            let kind = words.next()?;
            let name = words.next().map(str::parse).transpose().ok()?;
            let part = match (kind, name) {
                ("everything", None) => Part::Everything,
                ("service", Some(name)) => Part::Service(name),
                ("principal", Some(name)) => Part::Principal(name),
                ("server", Some(name)) => Part::Server(name),
                _ => return None,
            };
            words.next().is_none().then_some(Locked { part, since })
        });
        parts.collect::<Option<Vec<_>>>().map(Self)
    }

    /// The file.
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for Locked { part, since } in &self.0 {
            let line = match part {
                Part::Everything => format!("{since} everything\n"),
                Part::Service(name) => format!("{since} service {name}\n"),
                Part::Principal(name) => format!("{since} principal {name}\n"),
                Part::Server(name) => format!("{since} server {name}\n"),
            };
            text.push_str(&line);
        }
        text
    }

    /// What is locked, in the order in which it was.
    pub fn iter(&self) -> impl Iterator<Item = &Locked> {
        self.0.iter()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Locks `part`; whether it was not before.
    pub fn add(&mut self, part: Part, since: u64) -> bool {
        let new = !self.0.iter().any(|locked| locked.part == part);
        if new {
            self.0.push(Locked { part, since });
        }
        new
    }

    /// Unlocks `part`, or all of them; whether anything was.
    pub fn remove(&mut self, part: Option<&Part>) -> bool {
        let before = self.0.len();
        self.0.retain(|locked| part.is_some_and(|part| locked.part != *part));
        self.0.len() < before
    }

    /// What stops `principal` at `service`.
    pub fn stops_call(&self, principal: &Name, service: &Name) -> Option<&Part> {
        self.first(|part| match part {
            Part::Everything => true,
            Part::Service(name) => name == service,
            Part::Principal(name) => name == principal,
            Part::Server(_) => false,
        })
    }

    /// What stops the start of `server`.
    pub fn stops_start(&self, server: &Name) -> Option<&Part> {
        self.first(|part| match part {
            Part::Everything => true,
            Part::Server(name) => name == server,
            Part::Service(_) | Part::Principal(_) => false,
        })
    }

    fn first(&self, stops: impl Fn(&Part) -> bool) -> Option<&Part> {
        self.0.iter().map(|locked| &locked.part).find(|part| stops(part))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Service(name) => write!(f, "the service `{name}`"),
            Self::Principal(name) => write!(f, "the principal `{name}`"),
            Self::Server(name) => write!(f, "the server `{name}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn a_part_stops_what_is_part_of_it_and_nothing_else() {
        for (part, call, other, start) in [
            (Part::Everything, true, true, true),
            (Part::Service(name("github")), true, false, false),
            (Part::Principal(name("claude")), true, false, false),
            (Part::Server(name("github")), false, false, true),
        ] {
            let mut locks = Locks::default();
            assert!(locks.add(part.clone(), 7) && !locks.add(part.clone(), 8));
            let stops = |principal, service| {
                locks.stops_call(&name(principal), &name(service)) == Some(&part)
            };
            assert_eq!(stops("claude", "github"), call, "{part}");
            assert_eq!(stops("codex", "stripe"), other, "{part}");
            assert_eq!(locks.stops_start(&name("github")) == Some(&part), start, "{part}");
        }
    }

    #[test]
    fn what_is_unlocked_is_open_again_and_the_rest_stays_locked() {
        let mut locks = Locks::default();
        locks.add(Part::Service(name("a")), 1);
        locks.add(Part::Principal(name("a")), 2);
        assert!(locks.remove(Some(&Part::Service(name("a")))));
        assert!(!locks.remove(Some(&Part::Service(name("a")))));
        assert_eq!(locks.iter().count(), 1);
        assert!(locks.remove(None) && locks.is_empty());
    }

    #[test]
    fn a_file_that_is_not_whole_locks_everything() {
        let mut locks = Locks::default();
        locks.add(Part::Service(name("a")), 1);
        let text = locks.text();
        assert_eq!(Locks::parse(text.as_bytes()), locks);
        for end in 0..text.len() {
            let cut = Locks::parse(&text.as_bytes()[..end]);
            let head_only = end == HEAD.len() + 1;
            assert!(head_only || cut == Locks::unreadable(), "{end}");
        }
        for bad in ["", "strongroom lock 2\n", "strongroom lock 1\n1 server\n", "\u{0}\n"] {
            assert_eq!(Locks::parse(bad.as_bytes()), Locks::unreadable(), "{bad:?}");
        }
        assert!(Locks::parse(format!("{HEAD}\n").as_bytes()).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_locks(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let locks = Locks::parse(&bytes);
            prop_assert_eq!(Locks::parse(locks.text().as_bytes()), locks);
        }
    }
}
