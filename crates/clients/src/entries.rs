//! The entries that `connect` writes: that of Strongroom itself, and one for each enabled server,
//! which starts it by `strongroom run NAME`.

use strongroom_model::principal::Name;

use crate::edit::{self, EditError, Entry};
use crate::{Client, ENTRY, Link};

/// What a client is to have.
pub struct Wanted<'a> {
    /// Strongroom's own entry.
    pub broker: &'a Entry,
    /// The servers that are enabled; `None`: those that are there stay as they are.
    pub servers: Option<&'a [Name]>,
    /// The absolute path of this program.
    pub program: &'a str,
    /// The home to use, where it is not the one that the platform implies.
    pub home: Option<&'a str>,
    /// Whether an entry of that name that is not ours is replaced.
    pub replace: bool,
}

/// What became of the servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    /// Those that the client starts through us.
    pub present: Vec<String>,
    /// Entries of ours that are gone: their server is not enabled any more.
    pub removed: Vec<String>,
    /// Entries that are not ours, and stay.
    pub foreign: Vec<String>,
}

/// Makes `text` say what is wanted, and nothing else.
pub fn set(
    client: &Client,
    text: &str,
    wanted: &Wanted<'_>,
) -> Result<(String, Servers), EditError> {
    let document = edit::read(client.format(), text)?;
    let mut text = edit::set(text, &client.place(&document, ENTRY), wanted.broker)?;
    let mut done = Servers::default();
    let Some(servers) = wanted.servers else { return Ok((text, done)) };
    let document = edit::read(client.format(), &text)?;
    let place = client.place(&document, ENTRY);
    let is_beside = |path: &[edit::Step]| path.len() == place.path.len();
    let present = client.servers(&document);
    let present: Vec<_> = present.iter().filter(|server| is_beside(&server.path)).collect();
    for server in &present {
        let declared = client.declared(server.entry);
        let runs_enabled = |run| servers.iter().any(|name| name.as_str() == run);
        if declared.is_plain_run() && !declared.runs().is_some_and(runs_enabled) {
            text = edit::remove(&text, &client.place_at(&server.path))?;
            done.removed.push(server.name.clone());
        }
    }
    for name in servers.iter().filter(|name| name.as_str() != ENTRY) {
        let args = ["run", name.as_str()];
        let link = Link::Stdio { command: wanted.program, args: &args, home: wanted.home };
        // A client always takes a program; only addresses are refused by some.
        let Ok(mut entry) = client.entry(name.as_str(), &link) else { continue };
        // It may have another name there, since it was imported.
        let ours = present
            .iter()
            .find(|server| client.declared(server.entry).runs() == Some(name.as_str()));
        let there = present.iter().find(|server| server.name == name.as_str());
        match (ours, there) {
            (Some(ours), _) => {
                done.present.push(ours.name.clone());
                if client.declared(ours.entry).is_plain_run()
                    && let Ok(same) = client.entry(&ours.name, &link)
                {
                    text = edit::set(&text, &client.place_at(&ours.path), &same)?;
                }
                continue;
            }
            (None, Some(_)) if !wanted.replace => {
                done.foreign.push(name.to_string());
                continue;
            }
            (None, Some(_)) => entry.takes_over = true,
            (None, None) => {}
        }
        let document = edit::read(client.format(), &text)?;
        text = edit::set(&text, &client.place(&document, name.as_str()), &entry)?;
        done.present.push(name.to_string());
    }
    Ok((text, done))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::find;

    fn run(text: &Value, servers: &[&str], replace: bool) -> (Value, Servers) {
        let client = find("cursor").unwrap();
        let link = Link::Stdio { command: "/b/strongroom", args: &["serve"], home: None };
        let broker = client.entry(ENTRY, &link).unwrap();
        let servers: Vec<Name> = servers.iter().map(|name| name.parse().unwrap()).collect();
        let wanted = Wanted {
            broker: &broker,
            servers: Some(&servers),
            program: "/b/strongroom",
            home: None,
            replace,
        };
        let (after, done) = set(client, &text.to_string(), &wanted).unwrap();
        assert_eq!(set(client, &after, &wanted).unwrap().0, after, "a second time changes nothing");
        let document: Value = serde_json::from_str(&after).unwrap();
        (document["mcpServers"].clone(), done)
    }

    fn through_us(name: &str) -> Value {
        json!({"command": "/b/strongroom", "args": ["run", name]})
    }

    #[test]
    fn each_enabled_server_has_an_entry_and_one_that_is_off_has_none() {
        let text = json!({"mcpServers": {
            "old": through_us("old"),
            "mine": {"command": "/b/strongroom", "args": ["run", "off", "--", "-v"]},
        }});
        let (servers, done) = run(&text, &["a", "b"], false);
        assert_eq!((&servers["a"], &servers["b"]), (&through_us("a"), &through_us("b")));
        assert_eq!(servers.get("old"), None);
        assert_eq!(servers["mine"], text["mcpServers"]["mine"], "somebody added to it");
        assert_eq!(servers["strongroom"]["args"], json!(["serve"]));
        assert_eq!(
            (done.present, done.removed),
            (vec!["a".into(), "b".into()], vec!["old".into()])
        );
    }

    #[test]
    fn a_foreign_entry_is_replaced_only_when_that_is_said() {
        let foreign = json!({"command": "npx", "env": {"K": "canary"}, "disabled": true});
        let text = json!({"mcpServers": {"a": foreign}});
        let (servers, done) = run(&text, &["a"], false);
        assert_eq!((&servers["a"], done.foreign), (&foreign, vec!["a".into()]));
        let (servers, done) = run(&text, &["a"], true);
        let mut expected = through_us("a");
        expected["disabled"] = json!(true);
        assert_eq!((&servers["a"], done.foreign.len()), (&expected, 0));
    }

    #[test]
    fn a_server_that_was_imported_under_another_name_is_not_there_twice() {
        let text = json!({"mcpServers": {"GitHub (work)": through_us("github-work")}});
        let (servers, done) = run(&text, &["github-work"], false);
        assert_eq!(servers.as_object().unwrap().len(), 2, "{servers}");
        assert_eq!(done.present, ["GitHub (work)"]);
    }
}
