//! Which definitions of servers' tools may be shown and called (decision 31).
//!
//! A tool is known by the hash of its whole definition. The first one that is seen counts as approved;
//! another one, and one in which a reader does not see what a model reads, waits for a person. What is
//! kept of a server only grows, up to a measure: a tool that went away and comes back is the one that was
//! approved, or it waits.
//!
//! Deciding is pure: [`look`] takes what is kept and what is offered, and says how each stands and what is
//! to be kept from now on.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::BuildHasher;
use std::time::SystemTime;

use crate::code::{Code, Refusal};
use crate::ports::BoxFuture;
use crate::principal::Name;

/// Tools of one server that are kept. A server that goes on inventing names must not push out what a
/// person approved: beyond this nothing new of it is called.
pub const MOST_KEPT: usize = 2_000;

/// The longest definition that is kept, in bytes. Nobody reads a longer one, so that none is called.
pub const LONGEST: usize = 128 << 10;

/// What happens to a tool whose definition is not the approved one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pinning {
    /// It is neither listed nor called.
    #[default]
    Definition,
    /// It is listed and called, and the log says so.
    Warn,
    /// Nothing.
    Off,
}

/// The SHA-256 of what a definition means.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DefinitionHash(pub [u8; 32]);

/// Why a definition waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Another one was approved.
    Changed,
    /// A person who reads it does not see what a model reads.
    Hidden,
    /// It is too long to be read.
    Long,
}

/// How a tool stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Its definition is the approved one.
    #[default]
    Approved,
    /// Its definition waits for a person.
    Waits(Why),
    /// It is beyond what is kept of one server.
    Beyond,
    /// What is approved cannot be looked up now.
    Unknown,
}

/// A definition as a server offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The tool, by the name that its server gives it.
    pub tool: Box<str>,
    /// What it means.
    pub hash: DefinitionHash,
    /// As its server wrote it.
    pub text: Box<str>,
    /// Why a person should read it first, whether or not it is the first one.
    pub suspicion: Option<Why>,
}

/// A definition as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// What it means.
    pub hash: DefinitionHash,
    /// As its server wrote it.
    pub text: String,
    /// When it was approved; of one that waits, when it was first seen.
    pub at: SystemTime,
}

/// What is kept of one tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The tool, by the name that its server gives it.
    pub tool: String,
    /// What is approved.
    pub approved: Option<Version>,
    /// Whether a person approved it; otherwise it was the first one.
    pub by_person: bool,
    /// The newest definition that waits, and why.
    pub waiting: Option<(Version, Why)>,
}

/// What decides about one tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// What is approved.
    pub approved: Option<DefinitionHash>,
    /// The newest one that waits.
    pub waiting: Option<DefinitionHash>,
}

/// What came of a look at the tools of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look<'a> {
    /// How each one stands, in the order of what is offered.
    pub standings: Vec<Standing>,
    /// What is seen for the first time, and is approved with that.
    pub first: Vec<&'a Offered>,
    /// What waits from now on.
    pub waiting: Vec<(&'a Offered, Why)>,
}

/// What was found out about the tools of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How each one stands, in the order of what was offered.
    pub standings: Vec<Standing>,
    /// What waits since this very look.
    pub news: Vec<News>,
}

/// A definition that waits from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The tool, by the name that its server gives it.
    pub tool: Box<str>,
    /// What it means.
    pub hash: DefinitionHash,
    /// Why it waits.
    pub why: Why,
}

/// What is approved cannot be read, or what was seen not be kept.
#[derive(Debug, thiserror::Error)]
#[error("what is approved of servers' tools cannot be looked up")]
pub struct PinsError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// What is approved of the tools of one server: the same for every process of this machine, or for every
/// node of a team.
pub trait Pins: Send + Sync {
    /// A number that changes whenever what is kept may have. It waits for nobody. `None`: not known now.
    fn version(&self) -> Option<u64>;

    /// How the tools that the server offers stand. What is new is kept.
    fn check<'a>(&'a self, offered: &'a [Offered]) -> BoxFuture<'a, Result<Checked, PinsError>>;
}

/// Judges what is `offered` by what is `kept`.
pub fn look<'a, S: BuildHasher>(
    kept: &HashMap<Box<str>, Known, S>,
    offered: &'a [Offered],
) -> Look<'a> {
    let mut look = Look { standings: Vec::new(), first: Vec::new(), waiting: Vec::new() };
    let mut met = HashSet::new();
    let mut room = MOST_KEPT.saturating_sub(kept.len());
    for one in offered {
        let known = kept.get(&one.tool).copied();
        // Another one of the same name has no name to be called by; the first one counts.
        let is_first = met.insert(&one.tool);
        let standing = standing(known, one, room > 0);
        match standing {
            _ if !is_first => {}
            Standing::Approved if known.is_none() => {
                room -= 1;
                look.first.push(one);
            }
            Standing::Waits(why) => {
                room -= usize::from(known.is_none());
                if known.and_then(|known| known.waiting) != Some(one.hash) {
                    look.waiting.push((one, why));
                }
            }
            Standing::Approved | Standing::Beyond | Standing::Unknown => {}
        }
        let twin = !is_first && standing == Standing::Approved && known.is_none();
        look.standings.push(if twin { Standing::Waits(Why::Changed) } else { standing });
    }
    look
}

fn standing(known: Option<Known>, one: &Offered, room: bool) -> Standing {
    let approved = known.and_then(|known| known.approved);
    if approved == Some(one.hash) {
        return Standing::Approved;
    }
    if one.text.len() > LONGEST || (known.is_none() && !room) {
        return Standing::Beyond;
    }
    match (one.suspicion, known) {
        (Some(why), _) => Standing::Waits(why),
        (None, Some(_)) => Standing::Waits(Why::Changed),
        (None, None) => Standing::Approved,
    }
}

impl Pinning {
    /// The mode of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Definition, Self::Warn, Self::Off].into_iter().find(|mode| mode.as_str() == name)
    }

    /// As the configuration writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Definition => "definition",
            Self::Warn => "warn",
            Self::Off => "off",
        }
    }

    /// Whether a tool that stands like this is listed and called. What a reader does not see is not
    /// shown to a model, whatever is pinned.
    pub fn lets(self, standing: Standing) -> bool {
        match standing {
            Standing::Approved => true,
            Standing::Waits(Why::Hidden | Why::Long) => false,
            Standing::Waits(Why::Changed) | Standing::Beyond => self != Self::Definition,
            Standing::Unknown => self == Self::Off,
        }
    }

    /// Refuses a call of a tool of `server` that stands like this, where it is not to be called.
    ///
    /// # Errors
    ///
    /// `tool_not_approved`, with what a person does about it; `secret_unavailable` where nothing is known.
    pub fn admit(self, standing: Standing, server: &Name) -> Result<(), Refusal> {
        if self.lets(standing) {
            return Ok(());
        }
        let what = match standing {
            Standing::Waits(Why::Changed) => "its definition has changed since it was approved",
            Standing::Waits(Why::Hidden) => "its definition has hidden characters in it",
            Standing::Waits(Why::Long) => "its description is too long to be read",
            Standing::Beyond => {
                let text = "the tool is not called: its server has more tools, or longer \
                            definitions, than are kept";
                return Err(Refusal::new(Code::ToolNotApproved, text));
            }
            Standing::Approved | Standing::Unknown => {
                let text = "which tools are approved cannot be looked up now";
                return Err(Refusal::new(Code::SecretUnavailable, text));
            }
        };
        let text = format!(
            "the tool is not called: {what}. A person looks at it by `strongroom tools diff {server}` \
             and approves it by `strongroom tools approve {server}`"
        );
        Err(Refusal::new(Code::ToolNotApproved, text))
    }
}

impl Why {
    /// The name in the audit, in `--json` and where it is kept.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Hidden => "hidden",
            Self::Long => "long",
        }
    }

    /// The reason of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Changed, Self::Hidden, Self::Long].into_iter().find(|why| why.as_str() == name)
    }

    /// For a person.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Changed => "it has changed since it was approved",
            Self::Hidden => "it has characters in it that a reader does not see",
            Self::Long => "its description is too long to be read",
        }
    }
}

impl Pin {
    /// What decides about it.
    pub fn known(&self) -> Known {
        Known {
            approved: self.approved.as_ref().map(|version| version.hash),
            waiting: self.waiting.as_ref().map(|(version, _)| version.hash),
        }
    }

    /// The same with what waits approved by a person at `now`; the same as it is where nothing does.
    #[must_use]
    pub fn approve(self, now: SystemTime) -> Self {
        match self.waiting {
            Some((version, _)) => {
                let approved = Some(Version { at: now, ..version });
                Self { approved, by_person: true, waiting: None, ..self }
            }
            None => self,
        }
    }
}

impl DefinitionHash {
    /// The hash that is written as 64 hexadecimal digits.
    pub fn parse(digits: &str) -> Option<Self> {
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut hash = [0; 32];
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

/// In hexadecimal.
impl fmt::Display for DefinitionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DefinitionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(tool: &str, hash: u8, suspicion: Option<Why>) -> Offered {
        let hash = DefinitionHash([hash; 32]);
        Offered { tool: tool.into(), hash, text: "{}".into(), suspicion }
    }

    fn kept(pins: &[(&str, Option<u8>, Option<u8>)]) -> HashMap<Box<str>, Known> {
        let hash = |byte: u8| DefinitionHash([byte; 32]);
        let known = |approved: &Option<u8>, waiting: &Option<u8>| Known {
            approved: approved.map(hash),
            waiting: waiting.map(hash),
        };
        pins.iter().map(|(tool, a, w)| ((*tool).into(), known(a, w))).collect()
    }

    #[test]
    fn the_first_definition_is_approved_and_another_one_waits() {
        let first = [offered("a", 1, None), offered("b", 2, None)];
        let look = look(&kept(&[]), &first);
        assert_eq!(look.standings, [Standing::Approved; 2]);
        assert_eq!((look.first.len(), look.waiting.len()), (2, 0));

        let now = [offered("a", 1, None), offered("b", 3, None), offered("c", 4, None)];
        let known = kept(&[("a", Some(1), None), ("b", Some(2), None)]);
        let look = super::look(&known, &now);
        let changed = Standing::Waits(Why::Changed);
        assert_eq!(look.standings, [Standing::Approved, changed, Standing::Approved]);
        assert_eq!(look.first, [&now[2]]);
        assert_eq!(look.waiting, [(&now[1], Why::Changed)]);

        let known = kept(&[("a", Some(1), None), ("b", Some(2), Some(3)), ("c", Some(4), None)]);
        let again = super::look(&known, &now);
        assert_eq!(again.standings, look.standings);
        assert!(again.first.is_empty() && again.waiting.is_empty(), "it is told once");
    }

    #[test]
    fn what_is_hidden_waits_from_the_first_and_is_approved_by_its_hash() {
        let now = [offered("a", 1, Some(Why::Hidden))];
        let look = look(&kept(&[]), &now);
        assert_eq!(look.standings, [Standing::Waits(Why::Hidden)]);
        assert_eq!((look.first.len(), look.waiting.len()), (0, 1));
        let approved = super::look(&kept(&[("a", Some(1), None)]), &now);
        assert_eq!(approved.standings, [Standing::Approved]);
        // Whoever hid something first is not believed by being plain later.
        let plain = [offered("a", 2, None)];
        let later = super::look(&kept(&[("a", None, Some(1))]), &plain);
        assert_eq!(later.standings, [Standing::Waits(Why::Changed)]);
    }

    #[test]
    fn a_second_definition_of_one_name_is_never_the_first_one() {
        let twins = [offered("a", 1, None), offered("a", 2, None), offered("a", 1, None)];
        let look = look(&kept(&[]), &twins);
        assert_eq!(look.standings[0], Standing::Approved);
        assert!(look.standings[1..].iter().all(|standing| *standing != Standing::Approved));
        assert_eq!((look.first, look.waiting), (vec![&twins[0]], vec![]));
    }

    #[test]
    fn what_is_kept_has_an_end_that_pushes_nothing_out() {
        let known: HashMap<Box<str>, Known> = (0..MOST_KEPT)
            .map(|n| {
                let approved = Some(DefinitionHash([1; 32]));
                (format!("t{n}").into(), Known { approved, waiting: None })
            })
            .collect();
        let now = [offered("t7", 1, None), offered("new", 1, None), offered("t8", 2, None)];
        let look = look(&known, &now);
        let changed = Standing::Waits(Why::Changed);
        assert_eq!(look.standings, [Standing::Approved, Standing::Beyond, changed]);
        let long = Offered { text: "x".repeat(LONGEST + 1).into(), ..offered("x", 1, None) };
        assert_eq!(super::look(&kept(&[]), &[long]).standings, [Standing::Beyond]);
    }

    #[test]
    fn each_mode_lets_pass_what_it_says() {
        let rows = [
            (Standing::Approved, [true, true, true]),
            (Standing::Waits(Why::Changed), [false, true, true]),
            (Standing::Waits(Why::Hidden), [false, false, false]),
            (Standing::Waits(Why::Long), [false, false, false]),
            (Standing::Beyond, [false, true, true]),
            (Standing::Unknown, [false, false, true]),
        ];
        let server: Name = "shop".parse().unwrap();
        for (standing, expected) in rows {
            for (mode, lets) in
                [Pinning::Definition, Pinning::Warn, Pinning::Off].into_iter().zip(expected)
            {
                let admitted = mode.admit(standing, &server);
                assert_eq!((mode.lets(standing), admitted.is_ok()), (lets, lets), "{standing:?}");
                if let (Err(refusal), Standing::Waits(_)) = (admitted, standing) {
                    assert_eq!(refusal.code, Code::ToolNotApproved);
                    let next = "`strongroom tools approve shop`";
                    assert!(refusal.message.contains(next), "{}", refusal.message);
                }
            }
        }
    }

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = DefinitionHash(std::array::from_fn(|at| u8::try_from(at * 8).unwrap()));
        assert_eq!(DefinitionHash::parse(&hash.to_string()), Some(hash));
        for bad in ["", "00", &"0".repeat(63), &"g".repeat(64), &"+1".repeat(32)] {
            assert_eq!(DefinitionHash::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_persons_yes_is_for_what_waits() {
        let version = |byte| Version {
            hash: DefinitionHash([byte; 32]),
            text: "{}".into(),
            at: SystemTime::UNIX_EPOCH,
        };
        let pin = Pin {
            tool: "a".into(),
            approved: Some(version(1)),
            by_person: false,
            waiting: Some((version(2), Why::Changed)),
        };
        let approved = pin.approve(SystemTime::UNIX_EPOCH);
        assert_eq!(approved.known(), Known { approved: Some(version(2).hash), waiting: None });
        assert!(approved.by_person);
        assert_eq!(approved.clone().approve(SystemTime::UNIX_EPOCH), approved);
    }
}
