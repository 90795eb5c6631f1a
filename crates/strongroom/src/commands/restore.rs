//! `strongroom restore`: brings back what `backup` has kept.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use strongroom_model::display::DisplaySafe;
use strongroom_model::ports::Purpose;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_seal::file::{open_private, open_regular, read};
use strongroom_secrets::agefile::{self, AgeError, Keys, Opener};
use strongroom_store::Vault;
use strongroom_store::vault::New;
use toml_edit::{DocumentMut, Item, TableLike};

use super::backup::{passphrase_of_stdin, person};
use crate::app::{resolve, resolver};
use crate::backup::{self, Content};
use crate::config::edit::Editor;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style};
use crate::servers::trust::Record;
use crate::{admin, hidden, home};

/// Bring back the secrets and the configuration of a backup
///
/// What is here already stays as it is, unless `--replace` is given. A backup can be made by anybody
/// who knows your public key, so what it brings is shown first, and a person must confirm it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom restore strongroom-backup-2026-03-14.age --identity key.txt --dry-run
  strongroom restore keys.age")]
pub struct Args {
    /// The backup; `-` is stdin
    file: PathBuf,
    /// The file with the secret key that opens it, as `age-keygen` writes it
    #[arg(long, value_name = "FILE", group = "opener")]
    identity: Option<PathBuf>,
    /// Where that secret key is: `op://VAULT/ITEM/FIELD`, `keychain://SERVICE/ACCOUNT`, ...
    #[arg(long, value_name = "REFERENCE", group = "opener")]
    identity_from: Option<SecretRef>,
    /// Take the passphrase from stdin; without this and without a key it is asked for
    #[arg(long, group = "opener")]
    passphrase_stdin: bool,
    /// Replace what is here by what the backup has
    #[arg(long)]
    replace: bool,
    /// Show the names of what would be brought back, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// The largest file of secret keys.
const LARGEST_KEYS: usize = 64 << 10;

/// Keys of the configuration that belong to this machine, and are never taken from a backup.
const OWN: [&str; 2] = ["machine_key", "headless"];

/// Restores the backup.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    let vault = Arc::new(home::open(&home, Arc::clone(&host.clock))?);
    let sealed = args.sealed(host)?;
    let opener = args.opener(host, &vault)?;
    let document = agefile::open(&sealed, &opener, backup::LARGEST).map_err(not_opened)?;
    let content = backup::read(&document).map_err(Failure::failed)?;
    let config: DocumentMut = content
        .config
        .parse()
        .map_err(|_| Failure::failed("the configuration in the backup is not TOML"))?;

    let mut plan = Plan { created: content.created.clone(), ..Plan::default() };
    plan.secrets(&vault, &content, args.replace)?;
    plan.trust(&Record::read(&home)?, &content, args.replace);
    let mut editor = Editor::open(&home)?;
    let headless = editor.config().headless;
    plan.settings(editor.document(), &config, args.replace);
    editor.check()?;
    plan.dry_run = args.dry_run;
    if args.dry_run || plan.is_empty() {
        return output.report(&plan);
    }
    if !headless {
        // Nobody waits for the lock while the person thinks.
        drop(editor);
        person("This brings back", &plan.changes(), host).inspect_err(|_| {
            admin::record_if_possible(host, output, "backup.restore.refused", "vault");
        })?;
        editor = Editor::open(&home)?;
        Plan::default().settings(editor.document(), &config, args.replace);
        editor.check()?;
    }
    admin::record(host, &home, "backup.restore", &format!("{} secrets", plan.stored()))?;
    let new: Vec<New<'_>> = content
        .secrets
        .iter()
        .map(|one| New { name: &one.name, used_by: &one.used_by, value: &one.secret })
        .collect();
    vault.put_many(&new, args.replace)?;
    if !plan.settings.is_empty() {
        editor.save()?;
    }
    if !content.trust.is_empty() {
        Record::change(&home, |record| {
            for (file, hash) in &content.trust {
                if args.replace || !record.files.contains_key(file) {
                    record.files.insert(file.clone(), hash.clone());
                }
            }
        })?;
    }
    output.report(&plan)
}

impl Args {
    fn sealed(&self, host: &Host) -> Result<Vec<u8>, Failure> {
        if self.file == Path::new("-") {
            if self.passphrase_stdin {
                return Err(Failure::usage("stdin is the backup, or the passphrase, not both"));
            }
            let mut bytes = Vec::new();
            let limit = backup::LARGEST as u64 + 1;
            io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(Failure::failed)?;
            if bytes.len() > backup::LARGEST {
                return Err(Failure::failed("stdin has more than 64 MiB: that is no backup"));
            }
            return Ok(bytes);
        }
        let path = host.directory.join(&self.file);
        Ok(open_regular(&path).and_then(|file| read(&file, &path, backup::LARGEST))?)
    }

    fn opener(&self, host: &Host, vault: &Arc<Vault>) -> Result<Opener, Failure> {
        let keys = if let Some(file) = &self.identity {
            let path = host.directory.join(file);
            Some(Secret::new(open_private(&path).and_then(|f| read(&f, &path, LARGEST_KEYS))?))
        } else if let Some(reference) = &self.identity_from {
            Some(looked_up(reference, host, vault)?)
        } else {
            None
        };
        if let Some(keys) = keys {
            return Keys::parse(&keys)
                .map(Opener::Keys)
                .map_err(|error| Failure::failed(format!("what should open the backup: {error}")));
        }
        let text = if self.passphrase_stdin {
            passphrase_of_stdin()?
        } else if host.terminals.stdin {
            let typed = hidden::ask("Passphrase (not shown): ");
            Secret::new(typed.map_err(Failure::failed)?.into_bytes())
        } else {
            return Err(Failure::usage("nothing says what opens the backup").hint(
                "give `--identity FILE`, `--identity-from REFERENCE` or `--passphrase-stdin`",
            ));
        };
        agefile::passphrase(&text)
            .map(Opener::Passphrase)
            .ok_or_else(|| Failure::failed("the passphrase is empty or not text"))
    }
}

fn looked_up(reference: &SecretRef, host: &Host, vault: &Arc<Vault>) -> Result<Secret, Failure> {
    let resolver = resolver(host, Some(Arc::clone(vault)));
    let answer = resolver
        .permits(reference, Purpose::Provider("age"))
        .and_then(|()| resolve(&resolver, std::slice::from_ref(reference)).remove(0));
    answer.map_err(|error| {
        let hint = error.hint();
        Failure::failed(error).maybe_hint(hint)
    })
}

fn not_opened(error: AgeError) -> Failure {
    let hint = match error {
        AgeError::NeedsPassphrase => Some("leave `--identity` out, and type the passphrase"),
        AgeError::NeedsKey => Some("give the key that opens it: `--identity FILE`"),
        AgeError::NoKey => Some("give the key that it was made for: `--identity FILE`"),
        _ => None,
    };
    Failure::failed(format!("the backup cannot be opened: {error}")).maybe_hint(hint)
}

/// What becomes of a name in the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Fate {
    New,
    Replaced,
    Kept,
}

/// What a restore does: names and nothing else.
#[derive(Debug, Default, Serialize)]
struct Plan {
    dry_run: bool,
    created: String,
    secrets: BTreeMap<String, Fate>,
    uses: BTreeMap<String, String>,
    /// Of the configuration: `services.github`.
    settings: BTreeMap<String, Fate>,
    /// What each of them would be: it may start programs, and say where secrets are sent.
    #[serde(skip)]
    texts: BTreeMap<String, String>,
    /// Files of projects.
    trust: BTreeMap<String, Fate>,
}

impl Plan {
    fn secrets(&mut self, vault: &Vault, content: &Content, replace: bool) -> Result<(), Failure> {
        for one in &content.secrets {
            let there = vault.used_by(&one.name)?.is_some();
            self.secrets.insert(one.name.clone(), fate(there, replace));
            self.uses.insert(one.name.clone(), one.used_by.to_string());
        }
        Ok(())
    }

    fn trust(&mut self, here: &Record, content: &Content, replace: bool) {
        for (file, hash) in &content.trust {
            let there = here.files.get(file);
            if there != Some(hash) {
                self.trust.insert(file.clone(), fate(there.is_some(), replace));
            }
        }
    }

    /// Merges `from` into `into`, table by table and entry by entry.
    fn settings(&mut self, into: &mut DocumentMut, from: &DocumentMut, replace: bool) {
        for (name, item) in from.iter().filter(|(name, _)| !OWN.contains(name)) {
            let Some(table) = item.as_table_like() else {
                self.entry(into.as_table_mut(), "", name, item, replace);
                continue;
            };
            let there = into.entry(name).or_insert_with(|| {
                let mut table = toml_edit::Table::new();
                table.set_implicit(true);
                Item::Table(table)
            });
            let Some(there) = there.as_table_like_mut() else { continue };
            for (key, item) in table.iter() {
                self.entry(there, name, key, item, replace);
            }
        }
    }

    fn entry(
        &mut self,
        into: &mut dyn TableLike,
        table: &str,
        key: &str,
        item: &Item,
        replace: bool,
    ) {
        let there = into.get(key);
        if there.is_some_and(|there| there.to_string().trim() == item.to_string().trim()) {
            return;
        }
        let fate = fate(there.is_some(), replace);
        if fate != Fate::Kept {
            into.insert(key, item.clone());
        }
        let name = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
        let lines = item.to_string();
        let lines: Vec<&str> =
            lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        self.texts.insert(name.clone(), lines.join("; "));
        self.settings.insert(name, fate);
    }

    fn stored(&self) -> usize {
        self.secrets.values().filter(|fate| **fate != Fate::Kept).count()
    }

    /// Whether nothing would change.
    fn is_empty(&self) -> bool {
        [&self.secrets, &self.settings, &self.trust]
            .into_iter()
            .flat_map(BTreeMap::values)
            .all(|fate| *fate == Fate::Kept)
    }

    /// For the person who is asked.
    fn changes(&self) -> Vec<String> {
        let verb = |fate: &Fate| if *fate == Fate::New { "adds" } else { "replaces" };
        let secrets = self.secrets.iter().map(|(name, fate)| {
            let used_by = self.uses.get(name).map_or("", String::as_str);
            (fate, format!("{} the secret `{name}` for `{used_by}`", verb(fate)))
        });
        let settings = self.settings.iter().map(|(name, fate)| {
            let text = self.texts.get(name).map_or("", String::as_str);
            (fate, format!("{} `{name}` in strongroom.toml: {text}", verb(fate)))
        });
        let trust = self
            .trust
            .iter()
            .map(|(file, fate)| (fate, format!("{} the trust in `{file}`", verb(fate))));
        secrets
            .chain(settings)
            .chain(trust)
            .filter(|(fate, _)| **fate != Fate::Kept)
            // Anybody may have made the backup.
            .map(|(_, line)| DisplaySafe(&line).to_string())
            .collect()
    }
}

fn fate(there: bool, replace: bool) -> Fate {
    match (there, replace) {
        (false, _) => Fate::New,
        (true, true) => Fate::Replaced,
        (true, false) => Fate::Kept,
    }
}

impl Report for Plan {
    fn text(&self, style: Style) -> String {
        let changes = self.changes();
        let kept = self.secrets.len() + self.settings.len() + self.trust.len() - changes.len();
        let title = match (changes.is_empty(), self.dry_run) {
            (true, _) => "Everything in the backup is here already; nothing was changed.",
            (false, true) => "Nothing was changed. The backup would bring back:",
            (false, false) => "Brought back:",
        };
        let mut text = format!("{}\n", style.bold(title));
        for change in changes {
            text += &["  ", &change, "\n"].concat();
        }
        if kept > 0 {
            let kept = kept.to_string();
            text += &[&kept, " kept as they are here (`--replace` takes the backup's)\n"].concat();
        }
        text
    }
}
