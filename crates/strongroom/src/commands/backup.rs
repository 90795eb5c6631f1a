//! `strongroom backup`: the vault and the configuration, in one age file.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use strongroom_model::secret::Secret;
use strongroom_secrets::agefile::{self, Passphrase, Readers};
use strongroom_store::Stored;

use crate::commands::shown;
use crate::config::Config;
use crate::confirm::{self, NotConfirmed};
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::hidden::{self, Unseen};
use crate::output::{Output, Report, Style};
use crate::servers::trust::Record;
use crate::{admin, backup, home, team};

/// Keep a copy of every stored secret and the configuration, sealed with age
///
/// The copy is a standard age file that only the recipients' keys, or the passphrase, open; `age -d`
/// shows it as JSON. Whoever opens it has every key, so a person must confirm it at the terminal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom backup --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
  strongroom backup ~/keys.age")]
pub struct Args {
    /// Where it goes; `-` is stdout [default: strongroom-backup-DATE.age]
    file: Option<PathBuf>,
    /// Who may open it (repeatable): the public key that `age-keygen` shows
    #[arg(long, value_name = "AGE1...", conflicts_with = "passphrase_stdin")]
    recipient: Vec<String>,
    /// A file of such keys, a line each
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_stdin")]
    recipient_file: Option<PathBuf>,
    /// Take the passphrase from stdin; without this and without recipients it is asked for
    #[arg(long)]
    passphrase_stdin: bool,
    /// Replace the file where there is one
    #[arg(long)]
    overwrite: bool,
}

/// Passphrases that are shorter are guessed.
const SHORTEST: usize = 10;

/// The largest passphrase, and the largest file of recipients.
const LARGEST: usize = 64 << 10;

/// Makes the backup.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let place = args.place(host)?;
    let home = host.home()?;
    let config = Config::load(&home)?;
    let text = std::fs::read_to_string(home.config_file()).map_err(Failure::failed)?;
    let vault = home::open(&home, Arc::clone(&host.clock))?;
    let trust = Record::read(&home)?.files;
    let readers = args.readers(host)?;
    let to = match &readers {
        Readers::Recipients(keys) if keys.len() == 1 => "1 recipient".to_owned(),
        Readers::Recipients(keys) => format!("{} recipients", keys.len()),
        Readers::Passphrase(_) => "whoever knows the passphrase".to_owned(),
    };
    if !config.headless {
        let count = vault.list()?.len();
        let change = format!("{count} stored secrets can be read by {to}");
        person("This takes every key out of the vault", &[change], host).inspect_err(|_| {
            admin::record_if_possible(host, output, "backup.refused", "vault");
        })?;
    }
    admin::record(host, &home, "backup.create", &to)?;
    let (document, stored) = backup::document(&vault, text, trust, host.clock.now())?;
    let sealed = agefile::seal(&document, &readers).map_err(Failure::failed)?;
    let opener = match &readers {
        Readers::Recipients(_) => " --identity KEY-FILE",
        Readers::Passphrase(_) => "",
    };
    if team::is_there(host, &home, &config.team) {
        output.warn(
            "nothing of the team is in it: keep its database by the database's own means, and its \
             key-encryption key apart from that: neither is worth anything without the other",
        );
    }
    let made = Made { file: place.clone(), to, secrets: &stored, opener, host };
    if let Some(path) = place {
        backup::write(&path, &sealed, args.overwrite)?;
        return output.report(&made);
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(&sealed).and_then(|()| stdout.flush()).map_err(Failure::failed)?;
    output.say(made.text(Style::PLAIN).trim_end());
    Ok(())
}

/// Asks a person at the terminal; with neither, the answer is no.
pub(super) fn person(heading: &str, changes: &[String], host: &Host) -> Result<(), Failure> {
    confirm::in_person(heading, changes, host).map_err(|error| match error {
        NotConfirmed::Nobody => Failure::new(
            Exit::Denied,
            "this needs a person, and there is no terminal to ask one at",
        )
        .hint("run the command at a terminal and type the code that it shows"),
        other => other.into(),
    })
}

/// A line of stdin that is a secret.
pub(super) fn passphrase_of_stdin() -> Result<Secret, Failure> {
    let mut bytes = Vec::with_capacity(LARGEST + 1);
    io::stdin().lock().take(LARGEST as u64).read_to_end(&mut bytes).map_err(Failure::failed)?;
    Ok(Secret::new(bytes))
}

impl Args {
    /// Where it goes; `None`: stdout, which nobody wants to see at a terminal.
    fn place(&self, host: &Host) -> Result<Option<PathBuf>, Failure> {
        let file = match &self.file {
            Some(file) if file == Path::new("-") => {
                return if host.terminals.stdout {
                    Err(Failure::usage("a backup is not text, and stdout is a terminal")
                        .hint("name a file, or send stdout to one"))
                } else {
                    Ok(None)
                };
            }
            Some(file) => file.clone(),
            None => backup::default_name(host.clock.now()),
        };
        Ok(Some(host.directory.join(file)))
    }

    fn readers(&self, host: &Host) -> Result<Readers, Failure> {
        if self.recipient.is_empty() && self.recipient_file.is_none() {
            return self.words(host).map(Readers::Passphrase);
        }
        let of = |name: &str, text: &str| {
            agefile::recipients(text).map_err(|error| {
                Failure::usage(format!("`{name}`: {error}"))
                    .hint("give the public key that `age-keygen` shows, `age1...`")
            })
        };
        let mut keys = Vec::new();
        for key in &self.recipient {
            keys.extend(of("--recipient", key)?);
        }
        if let Some(file) = &self.recipient_file {
            let path = host.directory.join(file);
            let bytes = strongroom_seal::file::open_regular(&path)
                .and_then(|file| strongroom_seal::file::read(&file, &path, LARGEST))?;
            keys.extend(of("--recipient-file", &String::from_utf8_lossy(&bytes))?);
        }
        Ok(Readers::Recipients(keys))
    }

    fn words(&self, host: &Host) -> Result<Passphrase, Failure> {
        let text = if self.passphrase_stdin {
            passphrase_of_stdin()?
        } else if host.terminals.stdin {
            let _unseen = Unseen::begin();
            let ask = |prompt: &str| {
                hidden::ask(prompt)
                    .map(|text| Secret::new(text.into_bytes()))
                    .map_err(Failure::failed)
            };
            let first = ask("Passphrase (not shown): ")?;
            if !first.ct_eq(&ask("Again: ")?) {
                return Err(Failure::failed("the two are not the same, so nothing was written"));
            }
            first
        } else {
            return Err(Failure::usage("nothing says who may open the backup")
                .hint("give `--recipient age1...`, or a passphrase by `--passphrase-stdin`"));
        };
        if text.len() < SHORTEST {
            return Err(Failure::failed(format!(
                "the passphrase is too short: it has less than {SHORTEST} characters"
            ))
            .hint("five or six words that were drawn at random are good"));
        }
        agefile::passphrase(&text).ok_or_else(|| Failure::failed("the passphrase is not text"))
    }
}

#[derive(Serialize)]
struct Made<'a> {
    /// Where it is; stdout has none.
    file: Option<PathBuf>,
    to: String,
    #[serde(serialize_with = "names")]
    secrets: &'a [Stored],
    /// What `restore` needs beside the file.
    #[serde(skip)]
    opener: &'static str,
    #[serde(skip)]
    host: &'a Host,
}

fn names<S: serde::Serializer>(stored: &[Stored], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(stored.iter().map(|stored| &stored.name))
}

impl Report for Made<'_> {
    fn text(&self, style: Style) -> String {
        let count = match self.secrets.len() {
            1 => "1 secret".to_owned(),
            n => format!("{n} secrets"),
        };
        let file = self
            .file
            .as_ref()
            .map_or("stdout".to_owned(), |file| shown(file, &self.host.environment));
        format!(
            "{}\n\nIt holds {count} and the configuration, for {}.\nNot in it: {}.\n\n{} strongroom restore {file}{}\n",
            style.bold(&format!("The backup is in {file}")),
            self.to,
            backup::NOT_IN_IT,
            style.bold("To bring it back:"),
            self.opener,
        )
    }
}
