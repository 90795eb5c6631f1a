//! How long which secret is good: for itself, for its server, for its provider, for all.

use std::collections::BTreeMap;
use std::time::Duration;

use strongroom_model::freshness::Freshness;
use strongroom_model::reference::SecretRef;

/// How long which secret is good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Of every provider that has nothing of its own.
    pub all: Freshness,
    /// Of a provider, by its scheme.
    pub schemes: BTreeMap<String, Freshness>,
    /// The lifetimes of single references.
    pub references: BTreeMap<SecretRef, Duration>,
    /// The shortest lifetimes that servers ask for, for refreshes, which are for no single server.
    pub servers: BTreeMap<SecretRef, Duration>,
}

impl Rules {
    /// What holds for `reference`; `server` is the lifetime that its server asks for. The nearest
    /// lifetime counts: the reference's, then the server's, then the provider's, then the one of all.
    pub fn freshness_of(&self, reference: &SecretRef, server: Option<Duration>) -> Freshness {
        let freshness = self.schemes.get(reference.scheme()).copied().unwrap_or(self.all);
        let server = server.or_else(|| self.servers.get(reference).copied());
        let ttl = self.references.get(reference).copied().or(server).unwrap_or(freshness.ttl);
        Freshness { ttl, ..freshness }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_lifetime_counts() {
        let [mine, served, op, vault] =
            ["op://v/i/mine", "op://v/i/served", "op://v/i/f", "vault://m/p#f"]
                .map(|text| text.parse::<SecretRef>().unwrap());
        let minutes = Duration::from_mins;
        let of = |ttl| Freshness { ttl, ..Freshness::default() };
        let rules = Rules {
            all: of(minutes(1)),
            schemes: BTreeMap::from([("op".to_owned(), of(minutes(2)))]),
            references: BTreeMap::from([(mine.clone(), minutes(4))]),
            servers: BTreeMap::from([(mine.clone(), minutes(5)), (served.clone(), minutes(6))]),
        };
        for (reference, server, ttl) in [
            (&mine, None, 4),
            (&mine, Some(minutes(3)), 4),
            (&served, None, 6),
            (&served, Some(minutes(3)), 3),
            (&op, None, 2),
            (&op, Some(minutes(3)), 3),
            (&vault, None, 1),
            (&vault, Some(minutes(3)), 3),
        ] {
            assert_eq!(rules.freshness_of(reference, server).ttl, minutes(ttl), "{reference}");
        }
    }
}
