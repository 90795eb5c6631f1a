//! `[principals.NAME]`: what one principal may do less than others.

use std::collections::BTreeMap;

use strongroom_model::principal::Name;
use strongroom_model::service::Allowance;

use super::reader::{Section, Text};
use super::{ConfigError, limits};

/// The keys of a principal.
pub(super) const KEYS: &[&str] =
    &["services", "calls_per_minute", "calls_at_once", "bytes_per_day"];

/// Reads them all. A principal that is not here may do what its services allow.
pub(super) fn read(root: &Section<'_>) -> Result<BTreeMap<Name, Allowance>, ConfigError> {
    let Some(table) = root.table("principals")? else { return Ok(BTreeMap::new()) };
    let one = |(key, section): (Text<'_>, Section<'_>)| {
        let name: Name = key.text().parse().map_err(|error| key.problem(error))?;
        section.only(KEYS)?;
        Ok((
            name,
            Allowance {
                services: services(&section)?,
                calls_per_minute: limits::per_minute(&section)?,
                calls_at_once: limits::running(&section)?,
                bytes_per_day: limits::per_day(&section)?,
            },
        ))
    };
    table.tables()?.into_iter().map(one).collect()
}

fn services(section: &Section<'_>) -> Result<Option<Vec<Name>>, ConfigError> {
    if !section.has("services") {
        return Ok(None);
    }
    let name = |text: &Text<'_>| {
        text.text().parse().map_err(|error| text.problem(format!("`services`: {error}")))
    };
    section.texts("services")?.iter().map(name).collect::<Result<_, _>>().map(Some)
}
