//! What fetches secrets before they expire: a systemd user timer, a line of cron, a `LaunchAgent` or a
//! scheduled task, which runs `strongroom secrets refresh --due --quiet`.
//!
//! Rendering is pure, for every system on every system. No token and no reference is in any of it:
//! the refresh finds its providers in the configuration, as every command does.

pub mod cron;
pub mod install;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::config::Config;
use crate::jobs::{
    self, Job, RenderError, Task, agent_place, can_be_said, commands, unit_command, unit_place,
};
use crate::paths::{Environment, Home, Os, PathsError};
use crate::servers::Servers;

/// What is run.
pub const ARGUMENTS: [&str; 4] = ["secrets", "refresh", "--due", "--quiet"];

/// The name of the units, and of the agent with a dot.
const NAME: &str = "strongroom-refresh";
const AGENT: &str = "strongroom.refresh";
const TASK: &str = "Strongroom refresh";

const ABOUT: &str = "Strongroom fetches secrets before they expire";

/// How it is known what we wrote, and how often it runs.
const MARK: &str = "Written by `strongroom schedule install`, every ";

const HOUR: u64 = 60;
const DAY: u64 = 24 * HOUR;

/// What runs the refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A timer of systemd's user instance.
    Systemd,
    /// A line in the user's crontab.
    Cron,
    /// An agent of launchd.
    Launchd,
    /// A task of Windows.
    Task,
}

impl By {
    /// In a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Systemd => "a systemd timer",
            Self::Cron => "cron",
            Self::Launchd => "launchd",
            Self::Task => "the task scheduler",
        }
    }
}

/// How often: minutes that divide an hour, or hours that divide a day, so that every system can say
/// it and a run that was missed is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Every(u64);

impl Every {
    /// The longest of them that is not longer than `most`; once a minute at the least.
    pub fn within(most: Duration) -> Self {
        let minutes = most.as_secs() / 60;
        let fits = |every: &u64| {
            let whole = if *every < HOUR { HOUR } else { DAY };
            whole.is_multiple_of(*every) && (*every < HOUR || every.is_multiple_of(HOUR))
        };
        Self((1..=minutes.min(DAY)).rev().find(fits).unwrap_or(1))
    }

    /// As time.
    pub fn duration(self) -> Duration {
        Duration::from_mins(self.0)
    }

    /// `15m`, `3h`.
    pub fn text(self) -> String {
        if self.0 < HOUR { format!("{}m", self.0) } else { format!("{}h", self.0 / HOUR) }
    }

    /// Reads [`text`](Self::text) where a file of ours has it.
    fn of_file(text: &str) -> Option<Self> {
        let rest = text.split_once(MARK)?.1;
        let every = rest.split([';', '\n']).next()?;
        crate::config::cache::span(every).map(Self::within)
    }

    /// How far a run may be put off, so that not everybody asks at once: seconds.
    fn spread(self) -> u64 {
        (self.0 * 6).min(600)
    }
}

/// Three quarters of the shortest lifetime of a secret that is in force (decision 5).
pub fn interval(config: &Config, servers: &Servers) -> Every {
    let cache = &config.cache;
    let providers = config.providers.freshness.values().map(|freshness| freshness.ttl);
    let servers = servers.enabled().filter_map(|server| server.ttl);
    let shortest = std::iter::once(cache.freshness.ttl)
        .chain(providers)
        .chain(cache.references.values().copied())
        .chain(servers)
        .min()
        .unwrap_or_default();
    Every::within(shortest * 3 / 4)
}

/// The files that make the system of `by` run `job`; none for cron, which has its own.
pub fn files(
    by: By,
    job: &Job<'_>,
    every: Every,
    environment: &Environment,
    home: &Home,
) -> Result<Vec<(PathBuf, String)>, InstallTextError> {
    can_be_said(job)?;
    let places = places(by, environment, home)?;
    let texts = match by {
        By::Systemd => vec![service(job, every), timer(every)],
        By::Cron => Vec::new(),
        By::Launchd => vec![agent(job, every)],
        By::Task => vec![task(job, every)?],
    };
    Ok(places.into_iter().zip(texts).collect())
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum InstallTextError {
    /// Its format cannot say what it should.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// Where it belongs is not known.
    #[error(transparent)]
    Paths(#[from] PathsError),
}

/// Where the files belong.
pub fn places(by: By, environment: &Environment, home: &Home) -> Result<Vec<PathBuf>, PathsError> {
    Ok(match by {
        By::Systemd => vec![
            unit_place(environment, &format!("{NAME}.service"))?,
            unit_place(environment, &format!("{NAME}.timer"))?,
        ],
        By::Cron => Vec::new(),
        By::Launchd => vec![agent_place(environment, AGENT)?],
        By::Task => vec![environment.os.join(home.state.as_os_str(), "schedule.xml")],
    })
}

/// What may run the refresh on `os`.
pub fn possible(os: Os) -> &'static [By] {
    match os {
        Os::Linux => &[By::Systemd, By::Cron],
        Os::Macos => &[By::Launchd],
        Os::Windows => &[By::Task],
    }
}

/// The commands that make the system read the files, of which `file` is the last.
fn start(by: By, user: u32, file: &str) -> Vec<Vec<String>> {
    match by {
        By::Systemd => commands(&[
            &["systemctl", "--user", "daemon-reload"],
            &["systemctl", "--user", "enable", &format!("{NAME}.timer")],
            &["systemctl", "--user", "restart", &format!("{NAME}.timer")],
        ]),
        By::Cron => Vec::new(),
        By::Launchd => commands(&[
            &["launchctl", "bootout", &format!("gui/{user}/{AGENT}")],
            &["launchctl", "bootstrap", &format!("gui/{user}"), file],
        ]),
        By::Task => commands(&[&["schtasks", "/Create", "/F", "/TN", TASK, "/XML", file]]),
    }
}

/// The commands that make the system forget them, before they are removed.
fn stop(by: By, user: u32) -> Vec<Vec<String>> {
    match by {
        By::Systemd => {
            commands(&[&["systemctl", "--user", "disable", "--now", &format!("{NAME}.timer")]])
        }
        By::Cron => Vec::new(),
        By::Launchd => commands(&[&["launchctl", "bootout", &format!("gui/{user}/{AGENT}")]]),
        By::Task => commands(&[&["schtasks", "/Delete", "/F", "/TN", TASK]]),
    }
}

/// How the text of a comment begins.
fn mark(every: Every) -> String {
    format!("{MARK}{}; `strongroom schedule remove` removes it.", every.text())
}

// A provider's program may need the rights of its group (`op` is such a one, where it talks to its
// desktop application), so there is no NoNewPrivileges here.
fn service(job: &Job<'_>, every: Every) -> String {
    let (mark, command) = (mark(every), unit_command(job));
    format!(
        "# {mark}\n\
         [Unit]\n\
         Description={ABOUT}\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         {command}\
         TimeoutStartSec=5min\n\
         Nice=10\n\
         UMask=0077\n\
         LimitCORE=0\n"
    )
}

fn timer(every: Every) -> String {
    let mark = mark(every);
    let calendar = match every.0 {
        DAY => "*-*-* 00:00:00".to_owned(),
        minutes if minutes >= HOUR => format!("*-*-* 00/{}:00:00", minutes / HOUR),
        minutes => format!("*-*-* *:00/{minutes}:00"),
    };
    let spread = every.spread();
    format!(
        "# {mark}\n\
         [Unit]\n\
         Description={ABOUT}\n\
         \n\
         [Timer]\n\
         OnCalendar={calendar}\n\
         Persistent=true\n\
         RandomizedDelaySec={spread}\n\
         AccuracySec=10\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n"
    )
}

fn agent(job: &Job<'_>, every: Every) -> String {
    let seconds = every.0 * 60;
    let when = format!("  <key>StartInterval</key>\n  <integer>{seconds}</integer>\n");
    jobs::agent(job, AGENT, &mark(every), &when)
}

fn task(job: &Job<'_>, every: Every) -> Result<String, RenderError> {
    let (minutes, spread) = (every.0, every.spread());
    let trigger = format!(
        "    <TimeTrigger>
      <Repetition>
        <Interval>PT{minutes}M</Interval>
      </Repetition>
      <StartBoundary>2026-01-01T00:00:00</StartBoundary>
      <Enabled>true</Enabled>
      <RandomDelay>PT{spread}S</RandomDelay>
    </TimeTrigger>
"
    );
    let settings = "    <StartWhenAvailable>true</StartWhenAvailable>
    <Hidden>true</Hidden>
    <ExecutionTimeLimit>PT5M</ExecutionTimeLimit>
";
    let mark = mark(every);
    jobs::task(job, &Task { mark: &mark, about: ABOUT, trigger: &trigger, settings })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [By; 4] = [By::Systemd, By::Cron, By::Launchd, By::Task];

    fn job() -> Job<'static> {
        Job {
            program: "/usr/bin/strongroom",
            arguments: &ARGUMENTS,
            variables: &[],
            log: "/s/r.log",
        }
    }

    #[test]
    fn an_interval_is_one_that_every_system_can_say_and_never_longer_than_asked_for() {
        let minutes = Duration::from_mins;
        for (most, every) in [
            (Duration::ZERO, "1m"),
            (minutes(1), "1m"),
            (minutes(8), "6m"),
            (minutes(45), "30m"),
            (minutes(59), "30m"),
            (minutes(60), "1h"),
            (minutes(180), "3h"),
            (minutes(5 * 60), "4h"),
            (minutes(18 * 60), "12h"),
            (minutes(24 * 60), "24h"),
            (minutes(7 * 24 * 60), "24h"),
        ] {
            let found = Every::within(most);
            assert_eq!(found.text(), every, "{most:?}");
            assert!(most < minutes(1) || found.duration() <= most);
        }
    }

    #[test]
    fn the_timer_runs_every_three_quarters_of_the_shortest_lifetime_in_force() {
        for (text, every) in [
            ("", "3h"),
            ("[cache]\nttl = \"2h\"\n", "1h"),
            ("[cache]\nreferences = { \"op://V/I/f\" = \"20m\" }\n", "15m"),
            ("[providers.pass]\nttl = \"40m\"\n", "30m"),
            ("enable = [\"s\"]\n[servers.s]\ncommand = \"x\"\nttl = \"8m\"\n", "6m"),
            ("[servers.off]\ncommand = \"x\"\nttl = \"8m\"\n", "3h"),
        ] {
            let config = Config::parse("t", text).unwrap();
            let mut servers = Servers {
                catalogue: strongroom_gateway::registry::Catalogue::default(),
                project: PathBuf::from("/p"),
                files: Vec::new(),
                broken: false,
            };
            let source = strongroom_gateway::registry::Source {
                origin: strongroom_gateway::registry::Origin::User,
                path: "/t".into(),
                trusted: true,
            };
            servers.catalogue.add(config.servers.entries(&source, None), Vec::new());
            for (name, entry) in &mut servers.catalogue.entries {
                entry.on = config.switches.enable.contains(name);
            }
            assert_eq!(interval(&config, &servers).text(), every, "{text}");
        }
    }

    #[test]
    fn every_file_says_how_often_it_runs_and_holds_no_token() {
        let variables = [
            ("HOME", "/ann"),
            ("APPDATA", r"C:\R"),
            ("LOCALAPPDATA", r"C:\L"),
            ("OP_SERVICE_ACCOUNT_TOKEN", "canary"),
            ("VAULT_TOKEN", "canary"),
        ];
        for (os, by) in
            [(Os::Linux, By::Systemd), (Os::Macos, By::Launchd), (Os::Windows, By::Task)]
        {
            let environment = Environment::new(os, variables);
            let home = Home::locate(&environment).unwrap();
            let every = Every::within(Duration::from_hours(3));
            let files = files(by, &job(), every, &environment, &home).unwrap();
            assert!(!files.is_empty());
            for (path, text) in files {
                assert_eq!(Every::of_file(&text), Some(every), "{}", path.display());
                for secret in ["canary", "OP_", "VAULT_", "TOKEN", "://"] {
                    let plain = text.replace("http://www.apple", "").replace("http://schemas", "");
                    assert!(!plain.contains(secret), "{secret}: {text}");
                }
            }
        }
    }

    #[test]
    fn what_is_started_is_stopped() {
        for by in ALL {
            let (started, stopped) = (start(by, 7, "/f").concat(), stop(by, 7).concat());
            assert_eq!(started.is_empty(), by == By::Cron);
            let name = stopped.iter().find(|word| word.to_lowercase().contains("refresh"));
            assert!(name.is_none_or(|name| started.contains(name)), "{started:?} {stopped:?}");
        }
    }
}
