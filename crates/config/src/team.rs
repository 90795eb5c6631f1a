//! `[team]`: what `serve --team` and the operator's commands stand on.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use strongroom_model::network::Cidr;
use strongroom_model::team::TenantId;
use strongroom_secrets::kek::{SOURCES, Source};
use strongroom_secrets::settings::Settings;
use strongroom_store::team::Caps;

use super::ConfigError;
use super::cache;
use super::limits;
use super::paths::Os;
use super::providers;
use super::reader::{Section, Text, Value};
use super::tenant::TenantRules;

const KEYS: &[&str] = &[
    "database",
    "listen",
    "tls",
    "behind_tls_proxy",
    "operators",
    "allowed_commands",
    "isolate",
    "allow_ips",
    "insecure_transport",
    "kek",
    "earlier_keks",
    "limits",
];

const LIMIT_KEYS: &[&str] = &[
    "requests_per_minute",
    "requests_per_minute_per_address",
    "refusals_per_minute_per_address",
    "servers",
    "services",
    "credentials",
    "keys",
    "locks",
    "mounted",
    "processes",
    "memory",
    "sessions",
    "idle",
];

/// So much of one kind fits into the answer of a list, and into the deletion of a tenant.
const MOST_ROWS: u64 = 10_000;
const MOST_REQUESTS: u64 = 100_000_000;
const MOST_PROCESSES: u64 = 1_000;
const LONGEST_IDLE: Duration = Duration::from_hours(24);

const TLS_KEYS: &[&str] = &["certificate", "key"];

const COMMAND_KEYS: &[&str] = &["command", "args", "version", "integrity", "network", "read"];

/// What the file says of the team that is served here.
#[derive(Clone, Debug, PartialEq)]
pub struct Team {
    /// Where its data is: `sqlite:PATH` or `postgres://...`. A password belongs in `$DATABASE_URL`,
    /// which wins.
    pub database: Option<String>,
    /// Where it is served.
    pub listen: Option<SocketAddr>,
    /// The certificate and its key.
    pub tls: Option<Tls>,
    /// A proxy before it ends TLS.
    pub behind_tls_proxy: bool,
    /// Tenants whose `admin` keys administer the whole installation.
    pub operators: Vec<TenantId>,
    /// The commands that tenants may register (decision 11).
    pub allowed_commands: Vec<Allowed>,
    /// Whether what tenants start is confined. Where it has to be and cannot be, nothing is started.
    pub isolate: bool,
    /// What tenants' services may have beyond the public network.
    pub rules: TenantRules,
    /// Where the key-encryption key is; a file of the home where nothing is said.
    pub kek: Option<Kek>,
    /// Where earlier ones are, under which tenants' keys may still be wrapped.
    pub earlier_keks: Vec<Kek>,
    /// How much there may be of what, and how often may be asked.
    pub limits: TeamLimits,
    /// How long a call waits for a person's answer: `approval_wait` of the whole file.
    pub approval_wait: Duration,
}

/// What the MCP servers of one tenant may use, on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerCaps {
    /// Servers that are mounted; the others are there, and say why they are not.
    pub mounted: usize,
    /// Processes that run.
    pub processes: usize,
    /// Bytes of memory of one of them, where it can be bounded.
    pub memory: u64,
    /// Sessions of one key.
    pub sessions: usize,
    /// How long a server runs without being called.
    pub idle: Duration,
}

impl Default for ServerCaps {
    fn default() -> Self {
        Self {
            mounted: 100,
            processes: 8,
            memory: 1 << 30,
            sessions: 100,
            idle: Duration::from_mins(10),
        }
    }
}

/// How much there may be of what, and how often may be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TeamLimits {
    /// Requests of one key in a minute, where something is said.
    pub requests_per_minute: Option<u32>,
    /// Requests from one address in a minute, where something is said.
    pub requests_per_minute_per_address: Option<u32>,
    /// How often may be asked from one address without a valid key.
    pub refusals_per_minute_per_address: Option<u32>,
    /// What one tenant may have.
    pub caps: Caps,
    /// What its servers may use.
    pub servers: ServerCaps,
}

/// Where a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and those between it and its root, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
}

/// A command that tenants may register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The program, spelled exactly so.
    pub command: String,
    /// What its arguments have to match.
    pub args: String,
    /// The version that one of them has to name.
    pub version: Option<String>,
    /// The SHA-256 of what is started.
    pub integrity: Option<String>,
    /// Whether it has the machine's network in its sandbox.
    pub network: bool,
    /// What it may read there beside the system's programs and libraries.
    pub read: Vec<PathBuf>,
}

/// Where a key-encryption key is.
#[derive(Clone, Debug, PartialEq)]
pub struct Kek {
    /// The kind of place.
    pub source: &'static str,
    /// Its settings.
    pub settings: Settings,
}

impl Default for Team {
    fn default() -> Self {
        Self {
            database: None,
            listen: None,
            tls: None,
            behind_tls_proxy: false,
            operators: Vec::new(),
            allowed_commands: Vec::new(),
            isolate: true,
            rules: TenantRules::default(),
            kek: None,
            earlier_keks: Vec::new(),
            limits: TeamLimits::default(),
            approval_wait: Duration::default(),
        }
    }
}

pub(super) fn read(root: &Section<'_>) -> Result<Team, ConfigError> {
    let approval_wait = limits::approval_wait(root)?;
    let Some(section) = root.table("team")? else {
        return Ok(Team { approval_wait, ..Team::default() });
    };
    section.only(KEYS)?;
    Ok(Team {
        database: section.text("database")?.map(|text| database(&text)).transpose()?,
        listen: section.text("listen")?.map(|text| parsed(&text, "listen")).transpose()?,
        tls: section.table("tls")?.map(|section| tls(&section)).transpose()?,
        behind_tls_proxy: section.flag("behind_tls_proxy")?.unwrap_or(false),
        operators: all(&section, "operators")?,
        allowed_commands: section
            .list("allowed_commands")?
            .into_iter()
            .map(allowed)
            .collect::<Result<_, _>>()?,
        isolate: section.flag("isolate")?.unwrap_or(true),
        rules: TenantRules {
            networks: all::<Cidr>(&section, "allow_ips")?,
            insecure_transport: section.flag("insecure_transport")?.unwrap_or(false),
        },
        kek: section.value("kek").map(kek).transpose()?,
        earlier_keks: section
            .list("earlier_keks")?
            .into_iter()
            .map(kek)
            .collect::<Result<_, _>>()?,
        limits: section
            .table("limits")?
            .map(|section| limits(&section))
            .transpose()?
            .unwrap_or_default(),
        approval_wait,
    })
}

fn limits(section: &Section<'_>) -> Result<TeamLimits, ConfigError> {
    section.only(LIMIT_KEYS)?;
    let number = |key: &'static str, most: u64| match section.value(key) {
        None => Ok(None),
        Some(value) => {
            let number = value.number_or_text()?.ok().filter(|n| (1..=most).contains(n));
            let number = number.and_then(|number| u32::try_from(number).ok()).map(Some);
            number.ok_or_else(|| value.problem(format!("`{key}` is not a number from 1 to {most}")))
        }
    };
    let cap = |key, default: u32| number(key, MOST_ROWS).map(|cap| cap.unwrap_or(default));
    let default = Caps::default();
    Ok(TeamLimits {
        requests_per_minute: number("requests_per_minute", MOST_REQUESTS)?,
        requests_per_minute_per_address: number("requests_per_minute_per_address", MOST_REQUESTS)?,
        refusals_per_minute_per_address: number("refusals_per_minute_per_address", MOST_REQUESTS)?,
        caps: Caps {
            servers: cap("servers", default.servers)?,
            services: cap("services", default.services)?,
            credentials: cap("credentials", default.credentials)?,
            keys: cap("keys", default.keys)?,
            locks: cap("locks", default.locks)?,
        },
        servers: server_caps(section, &|key, most| number(key, most))?,
    })
}

type Number<'a> = &'a dyn Fn(&'static str, u64) -> Result<Option<u32>, ConfigError>;

fn server_caps(section: &Section<'_>, number: Number<'_>) -> Result<ServerCaps, ConfigError> {
    let default = ServerCaps::default();
    let count = |key, most, default: usize| {
        number(key, most).map(|count| count.map_or(default, |count| count as usize))
    };
    Ok(ServerCaps {
        mounted: count("mounted", MOST_ROWS, default.mounted)?,
        processes: count("processes", MOST_PROCESSES, default.processes)?,
        memory: match section.value("memory") {
            Some(value) => limits::file_size("memory", value)?,
            None => default.memory,
        },
        sessions: count("sessions", MOST_ROWS, default.sessions)?,
        idle: cache::duration(section, "idle", LONGEST_IDLE)?.unwrap_or(default.idle),
    })
}

/// A password in the file would be a secret in plain text.
fn database(text: &Text<'_>) -> Result<String, ConfigError> {
    let url = text.text();
    let account = url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    let in_query = url.split_once('?').is_some_and(|(_, query)| query.contains("password"));
    if in_query || account.is_some_and(|(account, _)| account.contains(':')) {
        return Err(text
            .problem("`database` has a password in it: a secret never stands in this file")
            .hint("set `DATABASE_URL`, or use a `.pgpass` file or a certificate"));
    }
    Ok(url.to_owned())
}

fn tls(section: &Section<'_>) -> Result<Tls, ConfigError> {
    section.only(TLS_KEYS)?;
    let path = |key: &'static str| match section.text(key)? {
        Some(text) if Os::CURRENT.is_absolute(OsStr::new(text.text())) => {
            Ok(PathBuf::from(text.text()))
        }
        Some(text) => Err(text.problem(format!("`{key}` is not an absolute path"))),
        None => Err(section.problem(format!("`tls` has no `{key}`"))),
    };
    Ok(Tls { certificate: path("certificate")?, key: path("key")? })
}

fn allowed(value: Value<'_>) -> Result<Allowed, ConfigError> {
    let section = value.section()?;
    section.only(COMMAND_KEYS)?;
    let text = |key| -> Result<Option<String>, ConfigError> {
        Ok(section.text(key)?.map(|text| text.text().to_owned()))
    };
    Ok(Allowed {
        command: text("command")?.ok_or_else(|| {
            section
                .problem("an allowed command has no `command`")
                .hint("write `{ command = \"node\", args = \"server.js\" }`")
        })?,
        args: text("args")?.unwrap_or_default(),
        version: text("version")?,
        integrity: text("integrity")?,
        network: section.flag("network")?.unwrap_or(false),
        read: section.texts("read")?.iter().map(absolute).collect::<Result<_, _>>()?,
    })
}

fn absolute(text: &Text<'_>) -> Result<PathBuf, ConfigError> {
    if Os::CURRENT.is_absolute(OsStr::new(text.text())) {
        Ok(PathBuf::from(text.text()))
    } else {
        Err(text.problem("`read` has a path that is not absolute"))
    }
}

fn kek(value: Value<'_>) -> Result<Kek, ConfigError> {
    let section = value.section()?;
    let names: Vec<String> = SOURCES.iter().map(|source| format!("`{}`", source.name)).collect();
    let Some(text) = section.text("source")? else {
        return Err(section
            .problem("a KEK has no `source`")
            .hint(format!("write one of {}", names.join(", "))));
    };
    let Some(Source { name, fields, .. }) =
        SOURCES.iter().find(|source| source.name == text.text())
    else {
        return Err(text
            .problem("`source` is no place for a KEK")
            .hint(format!("write one of {}", names.join(", "))));
    };
    let keys: Vec<_> = fields
        .iter()
        .copied()
        .flatten()
        .map(|field| field.name)
        .chain(["source", "timeout"])
        .collect();
    section.only(&keys)?;
    let settings = providers::settings(fields.iter().copied().flatten(), &section)?;
    Ok(Kek { source: name, settings })
}

fn all<T: FromStr<Err: std::fmt::Display>>(
    section: &Section<'_>,
    key: &'static str,
) -> Result<Vec<T>, ConfigError> {
    section.texts(key)?.iter().map(|text| parsed(text, key)).collect()
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(
    text: &Text<'_>,
    key: &str,
) -> Result<T, ConfigError> {
    text.text().parse().map_err(|error| text.problem(format!("`{key}`: {error}")))
}

#[cfg(test)]
mod tests {
    use crate::Config;

    use super::*;

    fn team(text: &str) -> Result<Team, ConfigError> {
        Ok(Config::parse("strongroom.toml", text)?.team)
    }

    #[test]
    fn a_team_is_read_as_it_stands() {
        let team = team(
            r#"
            [team]
            database = "postgres://strongroom_app@db.example/strongroom"
            listen = "127.0.0.1:8443"
            behind_tls_proxy = true
            allowed_commands = [{ command = "node", args = "test.js" }]
            allow_ips = ["127.0.0.1/32"]
            kek = { source = "aws-kms", key = "k-1" }
            earlier_keks = [{ source = "env" }]
            isolate = false
            limits = { requests_per_minute = 60, servers = 20, processes = 2, memory = "64MiB", idle = "30s" }
            "#,
        )
        .unwrap();
        assert_eq!(team.listen.unwrap().port(), 8443);
        assert_eq!(team.allowed_commands[0].args, "test.js");
        assert_eq!(team.rules.networks.len(), 1);
        assert_eq!(team.kek.unwrap().settings.texts["key"], "k-1");
        assert_eq!(team.earlier_keks[0].source, "env");
        let caps = Caps { servers: 20, ..Caps::default() };
        let servers = ServerCaps {
            processes: 2,
            memory: 64 << 20,
            idle: Duration::from_secs(30),
            ..ServerCaps::default()
        };
        let requests_per_minute = Some(60);
        let limits = TeamLimits { requests_per_minute, caps, servers, ..TeamLimits::default() };
        assert_eq!(team.limits, limits);
        assert!(!team.isolate);
        assert!(self::team("").unwrap().isolate, "what tenants start is confined");
    }

    #[test]
    fn a_password_does_not_stand_in_the_file() {
        for (url, good) in [
            ("postgres://app@db.example/s", true),
            ("sqlite:/var/lib/strongroom/team.db", true),
            ("postgres://app:pw@db.example/s", false),
            ("postgres://db.example/s?user=app&password=pw", false),
        ] {
            assert_eq!(team(&format!("[team]\ndatabase = \"{url}\"")).is_ok(), good, "{url}");
        }
    }

    #[test]
    fn a_mistake_is_named_by_its_key() {
        for (line, problem) in [
            ("listen = \"here\"", "`listen`: invalid socket address syntax"),
            (
                "operators = [\"acme\"]",
                "`operators`: not an id: it is no random UUID in lower case with hyphens",
            ),
            ("kek = { source = \"floppy\" }", "`source` is no place for a KEK"),
            ("kek = { path = \"/x\" }", "a KEK has no `source`"),
            ("tls = { certificate = \"/x\" }", "`tls` has no `key`"),
            (
                "tls = { certificate = \"x\", key = \"/x\" }",
                "`certificate` is not an absolute path",
            ),
            ("allowed_commands = [{ args = \"x\" }]", "an allowed command has no `command`"),
            (
                "allowed_commands = [{ command = \"x\", read = [\"y\"] }]",
                "`read` has a path that is not absolute",
            ),
            ("limits = { servers = 0 }", "`servers` is not a number from 1 to 10000"),
            ("limits = { server = 9 }", "unknown key `server`"),
            ("databse = \"sqlite:/x\"", "unknown key `databse`"),
        ] {
            assert_eq!(team(&format!("[team]\n{line}")).unwrap_err().problem, problem);
        }
    }
}
