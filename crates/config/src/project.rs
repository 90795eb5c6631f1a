//! A project's `strongroom.toml`: which servers are on in it, and servers of its own.
//!
//! It comes with the project, so that nobody knows who wrote it. Its switches hold for servers that
//! the user knows; its servers are used only once the user has trusted its text (decision 10).

use super::ConfigError;
use super::reader::{Reader, Section};
use super::servers::{self, Declared, Switches};

/// The keys of the file itself.
pub const KEYS: &[&str] = &["servers", "enable", "disable"];

/// What a project's file says.
#[derive(Debug, Default)]
pub struct Project {
    /// Its own servers.
    pub servers: Declared,
    /// Which servers it switches on and off.
    pub switches: Switches,
}

impl Project {
    /// Reads `text`, which came from the file called `file`.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let reader = Reader::new(file, text);
        let document = reader.document()?;
        let root = reader.root(&document);
        root.only(KEYS).map_err(|error| error.maybe_hint(of_the_user(&root)))?;
        Ok(Self {
            servers: servers::declared(&root, file, text)?,
            switches: servers::switches(&root)?,
        })
    }
}

/// What to say of a key that only the user's own file has.
fn of_the_user(root: &Section<'_>) -> Option<String> {
    let theirs = super::ROOT_KEYS.iter().find(|key| !KEYS.contains(key) && root.has(key))?;
    Some(format!("`{theirs}` belongs in your own configuration, not in a project's"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_switches_servers_and_may_have_its_own() {
        let text = "enable = [\"files\"]\ndisable = [\"web\"]\n[servers.x]\ncommand = \"x\"\n";
        let project = Project::parse("p.toml", text).unwrap();
        assert!(project.switches.enable.contains(&"files".parse().unwrap()));
        assert!(project.switches.disable.contains(&"web".parse().unwrap()));
        assert!(project.servers.has(&"x".parse().unwrap()));
    }

    // SC-04
    #[test]
    fn a_project_says_nothing_of_services_providers_or_keys() {
        for key in ["services", "providers", "machine_key", "catalog", "headless"] {
            let text =
                if key == "headless" { format!("{key} = true") } else { format!("[{key}]\n") };
            let error = Project::parse("p.toml", &text).unwrap_err();
            assert!(error.hint.as_ref().unwrap().contains("your own configuration"), "{error:?}");
        }
    }
}
