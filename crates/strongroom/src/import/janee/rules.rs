//! Janee's patterns as rules of ours.
//!
//! There, `METHOD PATH` is matched against what the agent wrote, as it wrote it, and `*` stands for any
//! characters, `/` and `?` among them. Here a rule is about the one canonical path, `*` is one whole
//! segment and `**` the rest.
//!
//! Invariant: what allows never matches a path that the pattern did not match, and what denies matches
//! every path that the pattern matched. Where both cannot be had the rule is stricter, and says so. One
//! thing is looser and is said, too: a pattern without `*` did not match a path with a query, and a rule
//! here leaves the query out.

use serde::Serialize;
use strongroom_model::canonical::Method;
use strongroom_model::policy::{Rule, Verdict};

/// The longest path, in segments, that a `*` in the middle is spelt out for.
const DEEPEST: usize = 5;

/// How ours compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// It means the same.
    Same,
    /// It allows less, or denies more.
    Stricter,
    /// It allows a query that was not allowed.
    Query,
    /// It did not come over.
    Left,
}

/// A pattern, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What stood there, with its verdict.
    pub there: String,
    /// Our rules, with theirs.
    pub here: Vec<String>,
    /// How they compare.
    pub difference: Difference,
    /// What it meant there, and what it means here.
    pub why: String,
}

/// The paths of one pattern.
struct Paths {
    list: Vec<String>,
    difference: Difference,
    why: String,
}

/// Translates one pattern. `verdict` is Allow or Deny.
pub fn translate(verdict: Verdict, pattern: &str) -> (Line, Vec<String>) {
    let word = if verdict == Verdict::Deny { "deny" } else { "allow" };
    let there = format!("{word} {pattern}");
    let left = |why: &str| {
        let line = Line {
            there: there.clone(),
            here: Vec::new(),
            difference: Difference::Left,
            why: why.to_owned(),
        };
        (line, Vec::new())
    };
    let mut words = pattern.split_whitespace();
    let (Some(method), Some(path), None) = (words.next(), words.next(), words.next()) else {
        return left("it is not a method and a path, so it matched nothing there");
    };
    let methods = method.to_ascii_uppercase();
    let known = |token: &str| token == "*" || Method::from_token(token).is_some();
    if !methods.split('|').all(known) {
        return left("there is no such method: none is ever sent with it");
    }
    if methods.contains('|') && verdict == Verdict::Allow {
        return left("it matched nothing there: several methods in one pattern were none");
    }
    let found = if verdict == Verdict::Deny { Ok(denied(path)) } else { allowed(path) };
    let Paths { list, difference, why } = match found {
        Ok(paths) => paths,
        Err(why) => return left(&why),
    };
    let rules: Vec<String> = list.iter().map(|path| format!("{methods} {path}")).collect();
    let here = rules.iter().map(|rule| format!("{word} {rule}")).collect();
    (Line { there, here, difference, why }, rules)
}

/// Whether a pattern allows every request.
pub fn is_everything(pattern: &str) -> bool {
    let words: Vec<&str> = pattern.split_whitespace().collect();
    matches!(words[..], ["*", "*" | "/*"])
}

fn same(list: Vec<String>, why: &str) -> Paths {
    Paths { list, difference: Difference::Same, why: why.to_owned() }
}

fn stricter(list: Vec<String>, why: impl Into<String>) -> Paths {
    Paths { list, difference: Difference::Stricter, why: why.into() }
}

/// What allows: never more than the pattern matched.
fn allowed(path: &str) -> Result<Paths, String> {
    if matches!(path, "*" | "/*") {
        return Ok(same(vec!["/**".to_owned()], "every path"));
    }
    if path.contains('?') {
        return Err("it is about a query; say it by hand, as a condition of a rule".to_owned());
    }
    let Some(rest) = path.strip_prefix('/') else {
        return Err("it does not begin with `/`, as every path does here".to_owned());
    };
    let mut segments: Vec<&str> = rest.split('/').collect();
    let last = segments.pop().unwrap_or_default();
    if segments.iter().any(|segment| segment.contains('*') && *segment != "*") {
        return Err("`*` stands for a whole segment here and not for a part of one".to_owned());
    }
    let is_in_middle = segments.contains(&"*");
    let mut translated = segments.join("/");
    if !translated.is_empty() {
        translated.push('/');
    }
    let one = "in the middle `*` is one segment here, and was any number of them there";
    let paths = match last.strip_suffix('*') {
        Some("") => {
            let paths = vec![checked(&format!("/{translated}*/**"))?];
            if is_in_middle { stricter(paths, one) } else { same(paths, "everything below it") }
        }
        Some(start) if !start.contains('*') => {
            let path = format!("/{translated}{start}/**");
            let why = format!(
                "`{start}` and everything below it; there also whatever else begins with `{start}`"
            );
            stricter(vec![checked(&path)?], why)
        }
        None if !last.contains('*') => {
            let paths = vec![checked(&format!("/{translated}{last}"))?];
            if is_in_middle {
                stricter(paths, one)
            } else {
                let why = "this path; there without a query, here with any";
                Paths { list: paths, difference: Difference::Query, why: why.to_owned() }
            }
        }
        _ => return Err("`*` stands for a whole segment here and not for a part of one".to_owned()),
    };
    Ok(paths)
}

/// What denies: never less than the pattern matched.
fn denied(path: &str) -> Paths {
    if matches!(path, "*" | "/*") {
        return same(vec!["/**".to_owned()], "every path");
    }
    let (path, query) = match path.split_once('?') {
        Some((path, _)) => (path, true),
        None => (path, false),
    };
    let rooted = if path.starts_with(['/', '*']) { path.to_owned() } else { format!("/{path}") };
    let found = denied_path(&rooted);
    if query {
        stricter(found.list, "with every query; there with the one that it named")
    } else {
        found
    }
}

fn denied_path(path: &str) -> Paths {
    if !path.contains('*') {
        return match checked(path) {
            Ok(path) => same(vec![path], "this path, in every spelling"),
            Err(_) => above(path),
        };
    }
    let (head, last) = path.rsplit_once('/').unwrap_or(("", path));
    if last == "*" && !head.contains('*') {
        return match checked(&format!("{head}/**")) {
            Ok(rule) => {
                stricter(vec![rule], format!("everything below `{head}`, and `{head}` itself"))
            }
            Err(_) => above(path),
        };
    }
    spelt_out(path).unwrap_or_else(|| above(path))
}

/// Each `*` in the middle as one segment, as two, ...; and all that is deeper at once.
fn spelt_out(path: &str) -> Option<Paths> {
    // `*/x` may begin with nothing at all.
    let from_root = path.starts_with("*/");
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut segments: Vec<&str> = path.split('/').collect();
    let has_rest = segments.last() == Some(&"*");
    if has_rest {
        segments.pop();
    }
    let stars = segments.iter().filter(|segment| **segment == "*").count();
    let partial = segments.iter().any(|segment| segment.contains('*') && *segment != "*");
    if partial || stars == 0 || stars > DEEPEST {
        return None;
    }
    let mut rules = Vec::new();
    let mut counts = vec![1; stars];
    if from_root {
        counts[0] = 0;
    }
    let least = counts.clone();
    loop {
        if counts.iter().sum::<usize>() <= DEEPEST {
            rules.push(with_counts(&segments, &counts, has_rest));
        }
        // The next combination, like a counter whose digits end at DEEPEST.
        let Some(digit) = (0..stars).find(|&digit| counts[digit] < DEEPEST) else { break };
        counts[digit] += 1;
        counts[..digit].copy_from_slice(&least[..digit]);
    }
    let first = segments.iter().position(|segment| *segment == "*")?;
    let literals = segments[first..].iter().filter(|segment| **segment != "*").count();
    let mut deep: Vec<&str> = segments[..first].to_vec();
    deep.extend(std::iter::repeat_n("*", DEEPEST + 1 + literals));
    deep.push("**");
    rules.push(format!("/{}", deep.join("/")));
    rules.iter().all(|rule| checked(rule).is_ok()).then(|| {
        let why = "`*` is one segment here, so that each depth stands by itself; all that is deeper is \
                   denied, too";
        stricter(rules, why)
    })
}

fn with_counts(segments: &[&str], counts: &[usize], has_rest: bool) -> String {
    let mut counts = counts.iter();
    let mut path = String::new();
    for segment in segments {
        let times = if *segment == "*" { *counts.next().unwrap_or(&1) } else { 1 };
        for _ in 0..times {
            path.push('/');
            path.push_str(segment);
        }
    }
    if has_rest {
        path.push_str("/**");
    }
    path
}

/// Everything below the last segment that can be said.
fn above(path: &str) -> Paths {
    let mut said = String::new();
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        let longer = format!("{said}/{segment}");
        if segment.contains('*') || checked(&longer).is_err() {
            break;
        }
        said = longer;
    }
    let why =
        "this cannot be said as a rule here, so that more is denied: everything below what can";
    stricter(vec![format!("{said}/**")], why)
}

/// The path of a rule, if it can be one.
fn checked(path: &str) -> Result<String, String> {
    match Rule::parse(Verdict::Deny, &format!("GET {path}")) {
        Ok(_) => Ok(path.to_owned()),
        Err(error) => Err(format!("it is no path of a rule: {}", error.problem)),
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
