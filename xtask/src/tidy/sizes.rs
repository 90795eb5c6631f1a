//! How long files and crates may be. The length of functions is clippy's.

use std::collections::BTreeMap;

use super::Source;

/// Above this a file is listed.
const FILE_LISTED: usize = 400;
/// Above this a file is refused.
const FILE: usize = 600;
/// Above this a crate is refused.
const CRATE: usize = 12_000;
/// Those that may be longer, and why: docs/decisions/0042-size-of-the-command-line.md.
const LONGER: [(&str, usize); 2] = [("crates/strongroom", 27_500), ("crates/gateway", 15_500)];

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut crates = BTreeMap::<&str, usize>::new();
    for source in sources {
        let lines = source.code().count();
        if lines > FILE {
            complaints.push(format!("{}: {lines} lines of code, {FILE} at most", source.path));
        } else if lines > FILE_LISTED {
            println!("tidy: {} is long: {lines} lines of code", source.path);
        }
        *crates.entry(source.package().unwrap_or("elsewhere")).or_default() += lines;
    }
    for (name, lines) in crates {
        let longer = LONGER.iter().find(|(longer, _)| *longer == name);
        let most = longer.map_or(CRATE, |(_, most)| *most);
        if lines > most {
            complaints.push(format!("{name}: {lines} lines of code, {most} at most"));
        }
    }
    complaints
}
