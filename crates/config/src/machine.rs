//! `[machine_key]`: where the machine key lives, as `init` chose it (decision 4).

use super::reader::{Reader, Section};
use super::{ConfigError, LoadError, read as read_file};
use crate::paths::Home;

/// Where the machine key lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeySource {
    /// In a file of its own, beside the vault.
    #[default]
    File,
    /// In the system's keychain.
    Keychain {
        /// The item's account.
        account: String,
    },
}

/// The account of the one home that most people have.
const ACCOUNT: &str = "machine-key";

const KEYS: &[&str] = &["source", "account"];

impl KeySource {
    /// The keychain, for the home that every command takes where nobody names another.
    pub fn keychain() -> Self {
        Self::Keychain { account: ACCOUNT.to_owned() }
    }

    /// The keychain, for one of several homes: `id` tells it from the others.
    pub fn keychain_of(id: &str) -> Self {
        Self::Keychain { account: format!("{ACCOUNT}-{id}") }
    }

    /// What the file of `home` says; a home without one has its key in a file. It is asked at every
    /// start, so a file that never speaks of a keychain is not parsed.
    pub fn of(home: &Home) -> Result<Self, LoadError> {
        match read_file(home) {
            Err(LoadError::Missing { .. }) => Ok(Self::default()),
            Ok(text) => Ok(Self::parse(&home.config_file().display().to_string(), &text)?),
            Err(error) => Err(error),
        }
    }

    /// What `text` says, which came from the file called `file`.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        if !text.contains("keychain") {
            return Ok(Self::default());
        }
        let reader = Reader::new(file, text);
        let document = reader.document()?;
        read(&reader.root(&document))
    }

    /// Its name in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Keychain { .. } => "keychain",
        }
    }

    /// The table as `init` writes it.
    pub fn table(&self) -> String {
        let account = match self {
            Self::Keychain { account } if account != ACCOUNT => {
                format!("account = \"{account}\"\n")
            }
            _ => String::new(),
        };
        format!("[machine_key]\nsource = \"{}\"\n{account}", self.name())
    }
}

/// What the table says.
pub(super) fn read(root: &Section<'_>) -> Result<KeySource, ConfigError> {
    let Some(table) = root.table("machine_key")? else { return Ok(KeySource::default()) };
    table.only(KEYS)?;
    let account = table.text("account")?;
    if let Some(account) = &account
        && !is_account(account.text())
    {
        return Err(account
            .problem("`account` is not the name of an item of ours")
            .hint("it is `machine-key`, or `machine-key-` with letters and digits behind it"));
    }
    let account = account.map_or(ACCOUNT, |account| account.text());
    match table.text("source")? {
        Some(source) if source.text() == "keychain" => {
            Ok(KeySource::Keychain { account: account.to_owned() })
        }
        Some(source) if source.text() != "file" => Err(source
            .problem("`source` is not one of the places for a machine key")
            .hint("write `source = \"file\"` or `source = \"keychain\"`")),
        _ => Ok(KeySource::File),
    }
}

/// An item of another program is never taken for a key of ours.
fn is_account(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(ACCOUNT) else { return false };
    let fits =
        |id: &str| (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    rest.is_empty() || rest.strip_prefix('-').is_some_and(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_init_writes_reads_back() {
        for source in
            [KeySource::File, KeySource::keychain(), KeySource::keychain_of("0123456789abcdef")]
        {
            let text = source.table();
            assert_eq!(KeySource::parse("f", &text).unwrap(), source, "{text}");
            // A reference to a keychain does not make it the key's place.
            let text = format!("{text}[services.x]\nauth = \"keychain://a/b\"\n");
            assert_eq!(KeySource::parse("f", &text).unwrap(), source, "{text}");
        }
        assert_eq!(KeySource::parse("f", "").unwrap(), KeySource::File);
    }

    #[test]
    fn only_items_of_ours_are_keys() {
        for account in ["", "github", "machine-key-", "machine-keys", "machine-key-a/b"] {
            let text = format!("[machine_key]\nsource = \"keychain\"\naccount = \"{account}\"\n");
            assert!(KeySource::parse("f", &text).is_err(), "{account}");
        }
    }
}
