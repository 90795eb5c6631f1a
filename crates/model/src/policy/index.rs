//! Which rules may speak of a path, without asking each of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use super::pattern::Subject;
use super::rule::Rule;

/// The rules as a tree of path segments.
///
/// It only narrows down: it finds every rule that matches a path, and perhaps others, in whatever
/// spelling the rule would take. Whether a rule matches is the rule's own matter.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Index {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// By the segment's octets, in lower case.
    literal: BTreeMap<Box<[u8]>, usize>,
    /// `*`
    any: Option<usize>,
    /// Rules whose pattern ends here.
    ends: Vec<usize>,
    /// Rules whose pattern goes on with `**`.
    rest: Vec<usize>,
}

impl Index {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut index = Self { nodes: vec![Node::default()] };
        for (at, rule) in rules.iter().enumerate() {
            let mut node = 0;
            for segment in rule.pattern().segments() {
                node = index.child(node, segment);
            }
            if rule.pattern().has_rest() {
                index.nodes[node].rest.push(at);
            } else {
                index.nodes[node].ends.push(at);
            }
        }
        index
    }

    fn child(&mut self, node: usize, segment: Option<&[u8]>) -> usize {
        let next = self.nodes.len();
        let child = match segment {
            None => *self.nodes[node].any.get_or_insert(next),
            Some(octets) => {
                let key = octets.to_ascii_lowercase().into_boxed_slice();
                *self.nodes[node].literal.entry(key).or_insert(next)
            }
        };
        if child == next {
            self.nodes.push(Node::default());
        }
        child
    }

    /// The places of the rules that may match `subject`, in order.
    pub(super) fn candidates(&self, subject: &Subject<'_>) -> Vec<usize> {
        let segments: Vec<_> = subject.readings().collect();
        let mut found = Vec::new();
        // A node is reached by one way only, so that the tree is walked through once at the most.
        let mut open = vec![(0, 0)];
        while let Some((node, depth)) = open.pop() {
            let node: &Node = &self.nodes[node];
            found.extend_from_slice(&node.rest);
            let Some((whole, name)) = segments.get(depth) else {
                found.extend_from_slice(&node.ends);
                continue;
            };
            open.extend(node.any.map(|node| (node, depth + 1)));
            let mut go_on = |octets: &Cow<'_, [u8]>| {
                open.extend(node.literal.get(&**octets).map(|node| (*node, depth + 1)));
            };
            go_on(whole);
            if let Some(name) = name {
                go_on(name);
            }
        }
        found.sort_unstable();
        found
    }
}

impl Default for Index {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

/// It says nothing that the rules do not say.
impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Index")
    }
}
