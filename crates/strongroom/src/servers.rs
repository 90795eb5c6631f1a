//! The MCP servers that there are, here and now: every source found, read, and merged.
//!
//! Of two servers with one name the user's own counts, then the project's, then that of a registry
//! that the command line or the environment names, then that of the user's registry files. What
//! others may have written (a project's file, a named registry) is used only with the text that the
//! user has trusted (decision 10); a project's switches hold all the same, for servers that the user
//! knows.

pub mod edit;
pub mod login;
pub mod project;
pub mod reach;
mod room;
pub mod start;
pub mod trust;
pub mod view;

use std::path::{Path, PathBuf};

use strongroom_gateway::registry::{Catalogue, Entry, Origin, Problem, Source, Text, file};
use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_model::server::{Delivery, Server, Transport};

use crate::commands::shown;
use crate::config::Config;
use crate::config::project::Project;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::near;
use crate::paths::Home;
use trust::Trust;

/// The largest registry file.
pub const LARGEST: usize = 10 << 20;

/// The servers, and what is needed to say where they are from.
#[derive(Debug)]
pub struct Servers {
    /// The servers.
    pub catalogue: Catalogue,
    /// The root of the project that we are in, whether it has a file of ours or not.
    pub project: PathBuf,
    /// Every file that was read or looked for, beside the user's own configuration: once one of them
    /// changes, all this may be another.
    pub files: Vec<PathBuf>,
    /// Whether one of them is there and nothing of it could be used.
    pub broken: bool,
}

/// Where servers are looked for beside the user's own configuration.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Where we are.
    pub directory: &'a Path,
    /// A registry that the command line names.
    pub registry: Option<&'a Path>,
}

/// Finds and reads every source. One that cannot be read is a problem of the catalogue.
///
/// # Errors
///
/// The registry that the command line names cannot be read, or the record of what is trusted.
pub fn load(
    host: &Host,
    home: &Home,
    config: &Config,
    places: Places<'_>,
) -> Result<Servers, Failure> {
    let user_home = host.environment.user_home().ok().map(Path::new);
    let trust = Trust::new(home);
    let mut catalogue = Catalogue::default();

    let user = Source { origin: Origin::User, path: home.config_file(), trusted: true };
    catalogue.add(config.servers.entries(&user, user_home), Vec::new());

    let root = project::root(places.directory, user_home);
    let own = home.config_file();
    let found = project::file(places.directory, &own);
    let mut files = project::candidates(places.directory, &own, found.as_ref());
    files.push(trust::file(home));
    let mut broken = false;
    let mut switches = vec![config.switches.clone()];
    if let Some(path) = found {
        let read = read_text(&path).map_err(|problem| *problem).and_then(|text| {
            let parsed = Project::parse(&shown(&path, &host.environment), &text);
            parsed.map(|parsed| (parsed, text)).map_err(of_config)
        });
        match read {
            Err(problem) => {
                broken = true;
                catalogue.problems.push(problem);
            }
            Ok((parsed, text)) => {
                if !parsed.servers.is_empty() {
                    let trusted = trust.holds(&path, &text)?;
                    let source = Source { origin: Origin::Project, path, trusted };
                    catalogue.add(parsed.servers.entries(&source, user_home), Vec::new());
                }
                switches.push(parsed.switches);
            }
        }
    }

    for (path, is_asked_for) in named(host, places) {
        files.push(path.clone());
        if !is_asked_for && !path.exists() {
            continue;
        }
        let text = match read_text(&path) {
            Err(problem) if is_asked_for => return Err(of_problem(&problem)),
            Err(problem) => {
                broken = true;
                catalogue.problems.push(*problem);
                continue;
            }
            Ok(text) => text,
        };
        let trusted = trust.holds(&path, &text)?;
        let source = Source { origin: Origin::Named, path, trusted };
        broken |= !add_file(&mut catalogue, host, &source, text);
    }
    for path in &config.catalog_files {
        let path = at_home(path, user_home);
        files.push(path.clone());
        match read_text(&path) {
            Err(problem) => {
                broken = true;
                catalogue.problems.push(*problem);
            }
            Ok(text) => {
                let source = Source { origin: Origin::Catalog, path, trusted: true };
                broken |= !add_file(&mut catalogue, host, &source, text);
            }
        }
    }
    switch(&mut catalogue, &switches);
    Ok(Servers { catalogue, project: root, files, broken })
}

/// What tells the servers of one file from those of the same names in others, where their tools are
/// approved: the file; nothing for the user's own.
pub fn scope(source: &Source) -> String {
    match source.origin {
        Origin::User => String::new(),
        Origin::Project | Origin::Named | Origin::Catalog => source.path.display().to_string(),
    }
}

impl Servers {
    /// The entry `name`; otherwise the failure that names the nearest one.
    pub fn entry(&self, name: &str) -> Result<&Entry, Failure> {
        self.catalogue.find(name).ok_or_else(|| {
            let names = self.catalogue.entries.keys().map(Name::as_str);
            let near = near::nearest(name, names).map(|near| format!("did you mean `{near}`?"));
            let any = if self.catalogue.entries.is_empty() {
                "run `strongroom mcp add` or `strongroom import`"
            } else {
                "run `strongroom mcp list --all`"
            };
            // A name that is not one may be anything, also a pasted secret.
            let problem = match name.parse::<Name>() {
                Ok(name) => format!("there is no server `{name}`"),
                Err(error) => format!("there is no such server: {error}"),
            };
            Failure::failed(problem).hint(near.unwrap_or_else(|| any.to_owned()))
        })
    }

    /// The server of `entry`, which must be trusted and without a mistake.
    pub fn server<'a>(
        &self,
        host: &Host,
        entry: &'a Entry,
        visible: bool,
    ) -> Result<&'a Server, Failure> {
        if !entry.source.trusted {
            return Err(self.untrusted(host, entry));
        }
        let server = if visible { entry.server_with_visible_secrets() } else { entry.server() };
        let server = server.map_err(of_problem)?;
        if entry.source.origin != Origin::Project {
            is_the_same_anywhere(server)?;
        }
        Ok(server)
    }

    /// Why an entry that nobody has trusted is not used.
    fn untrusted(&self, host: &Host, entry: &Entry) -> Failure {
        let file = shown(&entry.source.path, &host.environment);
        let mut text = format!(
            "the server `{}` is from `{file}`, whose text you have not trusted",
            entry.name
        );
        let trust = quoted(&entry.source.path.display().to_string());
        let mut hint = format!("look at it, then run `strongroom trust {trust}`");
        if let Some(hidden) = self.hidden_by(entry) {
            let hidden = shown(&hidden.source.path, &host.environment);
            text = format!("{text}; it hides the server of the same name from `{hidden}`");
            if entry.source.origin == Origin::Project {
                hint = format!("{hint}; outside of this project the other one is started");
            }
        }
        Failure::new(Exit::Denied, text).hint(hint)
    }

    /// The trusted server of the same name that is not used because of `entry`.
    pub fn hidden_by(&self, entry: &Entry) -> Option<&Entry> {
        let mut shadowed = self.catalogue.shadowed.iter();
        shadowed.find(|other| other.name == entry.name && other.source.trusted)
    }

    /// Every reference of the servers that are on and kept in the cache, each once.
    pub fn references(&self) -> Vec<SecretRef> {
        let mut found: Vec<SecretRef> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for server in self.enabled() {
            if server.delivery == Delivery::Runtime {
                continue;
            }
            for reference in server.references() {
                if seen.insert(reference.clone()) {
                    found.push(reference.clone());
                }
            }
        }
        found
    }

    /// The servers that are on, trusted, and without a mistake.
    pub fn enabled(&self) -> impl Iterator<Item = &Server> {
        self.catalogue.enabled().filter_map(|entry| entry.server().ok())
    }
}

/// Refuses a program that is another one in each directory: in a directory of somebody else's it
/// would be theirs (LM-12). A project's own servers are that project's.
pub fn is_the_same_anywhere(server: &Server) -> Result<(), Failure> {
    let Transport::Stdio(stdio) = &server.transport else { return Ok(()) };
    let program = Path::new(&stdio.program);
    if stdio.cwd.is_some() || program.has_root() || program.components().count() < 2 {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "the server `{}` would start what is called `{}` in whichever directory you are in",
        server.name, stdio.program
    ))
    .hint("write the program's absolute path, or where it starts as its `cwd`"))
}

/// The registries that the command line or the environment names, and whether the person asked for
/// this very one.
fn named(host: &Host, places: Places<'_>) -> Vec<(PathBuf, bool)> {
    if let Some(path) = places.registry {
        return vec![(places.directory.join(path), true)];
    }
    if let Some(path) = host.environment.get("STRONGROOM_REGISTRY") {
        return vec![(places.directory.join(path), true)];
    }
    let path = host.environment.get("DEV_INFRA");
    let path = path.map(|dir| Path::new(dir).join("mcp-registry.json"));
    path.map(|path| (path, false)).into_iter().collect()
}

/// Adds the servers of a file; says whether it could be read.
fn add_file(catalogue: &mut Catalogue, host: &Host, source: &Source, text: String) -> bool {
    let name = shown(&source.path, &host.environment);
    let user_home = host.environment.user_home().ok().map(Path::new);
    let text = Text::new(name, text).at_home(user_home);
    match file::read(&text, source) {
        Ok((entries, problems)) => {
            catalogue.add(entries, problems);
            true
        }
        Err(problem) => {
            catalogue.problems.push(problem);
            false
        }
    }
}

/// What is switched off by the later file is off; what is switched on by it is on.
fn switch(catalogue: &mut Catalogue, switches: &[crate::config::servers::Switches]) {
    for switches in switches {
        for (name, entry) in &mut catalogue.entries {
            if switches.disable.contains(name) {
                entry.on = false;
            } else if switches.enable.contains(name) {
                entry.on = true;
            }
        }
    }
}

/// The text of a file of servers, which anybody may read: there are no secrets in it.
fn read_text(path: &Path) -> Result<String, Box<Problem>> {
    use std::io::Read as _;

    let problem = |what: String, hint: Option<&str>| {
        let text = Text::new(path.display().to_string(), "");
        Box::new(text.problem(0, what).maybe_hint(hint))
    };
    let read = || {
        let file = std::fs::File::open(path)?;
        let mut bytes = Vec::new();
        file.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes =
        read().map_err(|error| problem(format!("the file cannot be read: {error}"), None))?;
    if bytes.len() > LARGEST {
        return Err(problem("the file is larger than 10 MiB".to_owned(), None));
    }
    String::from_utf8(bytes).map_err(|_| problem("the file is not UTF-8".to_owned(), None))
}

fn at_home(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(below), Some(home)) => home.join(below),
        _ => path.to_owned(),
    }
}

fn of_config(error: crate::config::ConfigError) -> Problem {
    let crate::config::ConfigError { file, line, column, problem, hint } = error;
    Problem { file, line, column, problem, hint }
}

/// A mistake in a source as the failure of a command.
pub fn of_problem(problem: &Problem) -> Failure {
    Failure::failed(problem.clone()).maybe_hint(problem.hint.clone())
}

/// A path as it is typed into a shell.
pub fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@~".contains(c);
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}
