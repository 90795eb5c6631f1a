//! Which commands a tenant may register (decision 11): those that the operator lists, and no others.

use std::path::PathBuf;

use strongroom_model::command::Rule;
use strongroom_model::policy::{RuleError, Verdict};

/// One entry of the operator's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedCommand {
    command: String,
    arguments: Rule,
    version: Option<String>,
    integrity: Option<String>,
    network: bool,
    read: Vec<PathBuf>,
}

impl AllowedCommand {
    /// Allows `command`, spelled exactly so, with arguments that match `arguments`: a word is literal,
    /// `a|b` one of several, `text*` what begins so, `*` one argument that is no option, `**` at the
    /// end the rest.
    ///
    /// # Errors
    ///
    /// The pattern is none, or the command has spaces or quotes in it.
    pub fn new(command: &str, arguments: &str) -> Result<Self, RuleError> {
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"'\"\\|*".contains(c);
        if command.is_empty() || !command.chars().all(plain) {
            return Err(RuleError {
                problem: "the command is not one plain word".to_owned(),
                hint: Some("write a name or a path without spaces, and the arguments apart"),
            });
        }
        // A pattern of the model begins with the program's name; ours stands apart and is compared.
        let arguments = Rule::parse(Verdict::Allow, "command", &format!("command {arguments}"))?;
        Ok(Self {
            command: command.to_owned(),
            arguments,
            version: None,
            integrity: None,
            network: false,
            read: Vec::new(),
        })
    }

    /// The same, and one argument has to end in `@version` or `==version`.
    #[must_use]
    pub fn with_version(self, version: impl Into<String>) -> Self {
        Self { version: Some(version.into()), ..self }
    }

    /// The same, and what is started has to have this SHA-256 in hexadecimal; whoever starts it looks.
    #[must_use]
    pub fn with_integrity(self, integrity: impl Into<String>) -> Self {
        Self { integrity: Some(integrity.into()), ..self }
    }

    /// The same, and where it runs it has the machine's network.
    #[must_use]
    pub fn with_network(self, network: bool) -> Self {
        Self { network, ..self }
    }

    /// The same, and where it runs these files and folders can be read.
    #[must_use]
    pub fn with_read(self, read: Vec<PathBuf>) -> Self {
        Self { read, ..self }
    }

    /// Whether it has the machine's network.
    pub fn network(&self) -> bool {
        self.network
    }

    /// What it may read beside the system's programs and libraries.
    pub fn read(&self) -> &[PathBuf] {
        &self.read
    }

    /// What the program's file has to hash to, where the entry says so.
    pub fn integrity(&self) -> Option<&str> {
        self.integrity.as_deref()
    }

    /// Whether it covers `command` with `args`.
    pub fn covers(&self, command: &str, args: &[String]) -> bool {
        let pinned = |version: &str| {
            args.iter().any(|arg| {
                let name = arg.strip_suffix(version).unwrap_or_default();
                [name.strip_suffix("=="), name.strip_suffix('@')]
                    .into_iter()
                    .flatten()
                    .any(|name| !name.is_empty())
            })
        };
        self.command == command
            && self.arguments.allows(args)
            && self.version.as_deref().is_none_or(pinned)
    }
}

/// The entry of `list` that covers `command` with `args`.
pub fn find<'a>(
    list: &'a [AllowedCommand],
    command: &str,
    args: &[String],
) -> Option<&'a AllowedCommand> {
    list.iter().find(|entry| entry.covers(command, args))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(entry: &AllowedCommand, command: &str, args: &[&str]) -> bool {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        entry.covers(command, &args)
    }

    #[test]
    fn only_what_the_operator_wrote_is_covered() {
        let entry = AllowedCommand::new("node", "@mycompany/amazon-mcp-server|test.js").unwrap();
        assert!(covers(&entry, "node", &["@mycompany/amazon-mcp-server"]));
        assert!(covers(&entry, "node", &["test.js"]));
        for (command, args) in [
            ("node", &["test.js", "more"][..]),
            ("node", &[]),
            ("node", &["-e", "evil"]),
            ("node", &["./test.js"]),
            ("/tmp/node", &["test.js"]),
            ("Node", &["test.js"]),
            ("command", &["test.js"]),
        ] {
            assert!(!covers(&entry, command, args), "{command} {args:?}");
        }
        let any = AllowedCommand::new("/opt/server", "run **").unwrap();
        assert!(covers(&any, "/opt/server", &["run", "--fast", "x"]));
        assert!(!covers(&any, "/opt/server", &["stop"]));
        assert!(AllowedCommand::new("a b", "**").is_err());
        assert!(AllowedCommand::new("node", "** x").is_err());
    }

    #[test]
    fn a_version_has_to_be_named_by_an_argument() {
        let entry = AllowedCommand::new("npx", "-y pkg* **").unwrap().with_version("1.2.3");
        assert!(covers(&entry, "npx", &["-y", "pkg@1.2.3"]));
        assert!(covers(&entry, "npx", &["-y", "pkg==1.2.3"]));
        for args in [["-y", "pkg"], ["-y", "pkg@latest"], ["-y", "pkg@11.2.3"], ["-y", "pkg1.2.3"]]
        {
            assert!(!covers(&entry, "npx", &args), "{args:?}");
        }
    }
}
