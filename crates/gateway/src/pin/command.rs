//! The package that a command line asks for. Pure: nothing is looked up.
//!
//! [`unpinned`](crate::launcher::unpinned) warns of commands that may be another program tomorrow;
//! this reads the ones that can be pinned, and where the program's own arguments begin.

use serde::{Deserialize, Serialize};
use strongroom_model::server::{Stdio, Template};

/// A package of a registry, as a command line asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// The kind of registry.
    pub source: Source,
    /// Its name there.
    pub name: String,
    /// What is asked for behind the name: a version, a range, a tag, a digest.
    pub version: Option<String>,
    /// The program in it, where it is named.
    pub program: Option<String>,
    /// How many arguments of the command line come before those of the program.
    pub rest: usize,
}

/// A kind of registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// npm's: `npx`, `npm exec`, `pnpm dlx`, `yarn dlx`, `bunx`.
    Npm,
    /// Python's: `uvx`, `uv tool run`, `pipx run`.
    Pypi,
    /// Container images: `docker run`, `podman run`.
    Image,
}

impl Package {
    /// Whether the version is one version: `1.2.3`, and no range, tag or nothing. Registries do not
    /// give the same version out twice.
    pub fn is_exact(&self) -> bool {
        let Some(version) = &self.version else { return false };
        match self.source {
            Source::Image => version.starts_with("sha256:"),
            Source::Npm => {
                let core = version.split(['-', '+']).next().unwrap_or_default();
                let numbers: Vec<&str> = core.split('.').collect();
                numbers.len() == 3 && numbers.iter().all(|number| is_number(number))
            }
            Source::Pypi => {
                version.starts_with(|c: char| c.is_ascii_digit())
                    && version
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '!' | '+'))
            }
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The package that the command line of `stdio` asks for; `None`: it asks for none, for several, or
/// for something that no registry gives out once and for all.
pub fn package(stdio: &Stdio) -> Option<Package> {
    let args: Vec<&str> =
        stdio.args.iter().map(|arg| Template::as_literal(arg).unwrap_or_default()).collect();
    let words: Vec<&str> = std::iter::once(stdio.program.as_str()).chain(args).collect();
    of_words(&words, 0)
}

/// `words[from]` is the program.
fn of_words(words: &[&str], from: usize) -> Option<Package> {
    let next = words.get(from + 1).copied().unwrap_or_default();
    match base(words.get(from)?) {
        "npx" | "bunx" | "pnpx" => npm(words, from + 1),
        "npm" if matches!(next, "exec" | "x") => npm(words, from + 2),
        "pnpm" | "yarn" if next == "dlx" => npm(words, from + 2),
        "bun" if next == "x" => npm(words, from + 2),
        "uvx" => python(words, from + 1),
        "uv" if next == "tool" && words.get(from + 2) == Some(&"run") => python(words, from + 3),
        "pipx" if next == "run" => python(words, from + 2),
        "docker" | "podman" if next == "run" => image(words, from + 2),
        // How clients on Windows start scripts.
        "cmd" if next.eq_ignore_ascii_case("/c") => of_words(words, from + 2),
        _ => None,
    }
}

/// The name of a program without its folder and without what Windows puts behind it.
fn base(program: &str) -> &str {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program);
    [".exe", ".cmd", ".bat", ".ps1"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// The words of a package runner: its options, the package, the program's own arguments.
struct Runner<'a> {
    words: &'a [&'a str],
    at: usize,
    /// Values of the option that names packages.
    named: Vec<&'a str>,
}

impl<'a> Runner<'a> {
    /// Reads options: `package` are the names of the one that names packages, `with_value` of the
    /// others that are followed by a value. `None` at one of `refused`.
    fn read(
        words: &'a [&'a str],
        from: usize,
        package: &[&str],
        with_value: &[&str],
        refused: &[&str],
    ) -> Option<Self> {
        let mut runner = Self { words, at: from, named: Vec::new() };
        while let Some(word) = runner.words.get(runner.at).copied().filter(|w| w.starts_with('-')) {
            runner.at += 1;
            if word == "--" {
                break;
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            if refused.contains(&name) {
                return None;
            }
            let takes = package.contains(&name) || with_value.contains(&name);
            let value = match value {
                None if takes => {
                    runner.at += 1;
                    runner.words.get(runner.at - 1).copied()
                }
                value => value,
            };
            if package.contains(&name) {
                runner.named.push(value.unwrap_or_default());
            }
        }
        Some(runner)
    }

    /// The package's text and the program in it: the option's value and the next word, or the next
    /// word and none.
    fn package(&mut self) -> Option<(&'a str, Option<&'a str>)> {
        let next = self.words.get(self.at).copied();
        self.at += usize::from(next.is_some());
        match self.named.as_slice() {
            [] => Some((next?, None)),
            [named] => Some((named, next)),
            _ => None,
        }
    }
}

fn npm(words: &[&str], from: usize) -> Option<Package> {
    // A shell; and what starts only what is installed already.
    let refused = ["-c", "--call", "--no", "--no-install", "--offline"];
    let values = ["--registry", "--cache", "--userconfig", "--prefix", "-w", "--workspace"];
    let mut runner = Runner::read(words, from, &["-p", "--package"], &values, &refused)?;
    let (text, program) = runner.package()?;
    // `@scope/name@version`: the first `@` may belong to the name.
    let cut = text.char_indices().skip(1).find(|(_, c)| *c == '@').map(|(at, _)| at);
    let (name, version) = match cut {
        Some(cut) => (&text[..cut], Some(&text[cut + 1..])),
        None => (text, None),
    };
    let plain = match name.strip_prefix('@') {
        Some(scoped) => scoped.split_once('/').filter(|(scope, _)| !scope.is_empty())?.1,
        None => name,
    };
    let is_name = !plain.is_empty()
        && !plain.starts_with(['.', '~'])
        && !plain.contains(['/', ':', '\\', '#', ' ']);
    let elsewhere = version.is_some_and(|version| version.contains([':', '/']));
    (is_name && !elsewhere).then(|| found(Source::Npm, name, version, program, runner.at))
}

fn python(words: &[&str], from: usize) -> Option<Package> {
    let refused = ["--with", "--with-requirements", "--with-editable", "--offline"];
    let values = [
        "-p",
        "--python",
        "--index",
        "--index-url",
        "-i",
        "--extra-index-url",
        "--default-index",
        "--directory",
        "--cache-dir",
        "--config-file",
        "--pip-args",
        "--color",
        "--env-file",
    ];
    let mut runner = Runner::read(words, from, &["--from", "--spec"], &values, &refused)?;
    let (text, program) = runner.package()?;
    if text.starts_with(['.', '~']) || text.contains(['/', '\\', ';', ' ', ':']) {
        return None;
    }
    let (name, version) = match text.find(['=', '@', '<', '>', '~', '!']) {
        Some(cut) => {
            let asked = &text[cut..];
            let exact = asked.strip_prefix("==").or_else(|| asked.strip_prefix('@'));
            (&text[..cut], Some(exact.unwrap_or(asked)))
        }
        None => (text, None),
    };
    (!name.is_empty()).then(|| found(Source::Pypi, name, version, program, runner.at))
}

/// Options of `docker run` that stand alone. Every other one that has no `=` takes the next word.
const ALONE: [&str; 18] = [
    "--rm",
    "--init",
    "--interactive",
    "--tty",
    "--detach",
    "--privileged",
    "--read-only",
    "--publish-all",
    "--no-healthcheck",
    "--oom-kill-disable",
    "--quiet",
    "--sig-proxy",
    "-i",
    "-t",
    "-d",
    "-P",
    "-q",
    "--help",
];

fn image(words: &[&str], from: usize) -> Option<Package> {
    let mut at = from;
    while let Some(word) = words.get(at).filter(|word| word.starts_with('-')) {
        at += 1;
        if *word == "--" {
            break;
        }
        // `-it` is two of them.
        let short = word.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
        let alone = short.is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|c| matches!(c, 'i' | 't' | 'd' | 'P' | 'q'))
        });
        if !alone && !word.contains('=') && !ALONE.contains(word) {
            at += 1;
        }
    }
    let text = words.get(at).filter(|text| !text.is_empty())?;
    let found = |name: &str, version| found(Source::Image, name, version, None, at + 1);
    if let Some((name, digest)) = text.split_once('@') {
        return Some(found(name, Some(digest)));
    }
    // A colon before the last slash is a port.
    let tag = text.rfind(':').filter(|colon| !text[*colon..].contains('/'));
    Some(match tag {
        Some(colon) => found(&text[..colon], Some(&text[colon + 1..])),
        None => found(text, None),
    })
}

fn found(
    source: Source,
    name: &str,
    version: Option<&str>,
    program: Option<&str>,
    at: usize,
) -> Package {
    let (version, program) = (version.map(ToOwned::to_owned), program.map(ToOwned::to_owned));
    // The first word is the program itself, and no argument.
    Package { source, name: name.to_owned(), version, program, rest: at - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<Package> {
        let mut words = line.split(' ');
        let program = words.next().unwrap().to_owned();
        package(&Stdio {
            program,
            args: words.map(Template::literal).collect(),
            ..Stdio::default()
        })
    }

    #[test]
    fn a_package_runner_is_read_as_it_reads_itself() {
        use Source::{Image, Npm, Pypi};
        for (line, source, name, version, program, rest) in [
            ("npx pkg", Npm, "pkg", None, None, 1),
            ("npx -y pkg --port 1", Npm, "pkg", None, None, 2),
            ("npx -y @s/pkg@1.2.3 /data", Npm, "@s/pkg", Some("1.2.3"), None, 2),
            ("/usr/bin/npx --yes pkg@latest", Npm, "pkg", Some("latest"), None, 2),
            ("npx --package=@s/pkg@^1 tool x", Npm, "@s/pkg", Some("^1"), Some("tool"), 2),
            ("npx -p pkg -y -- tool x", Npm, "pkg", None, Some("tool"), 5),
            ("npm exec --yes -- pkg", Npm, "pkg", None, None, 4),
            ("pnpm dlx pkg", Npm, "pkg", None, None, 2),
            ("bunx pkg", Npm, "pkg", None, None, 1),
            ("cmd /c npx -y pkg x", Npm, "pkg", None, None, 4),
            ("uvx pkg", Pypi, "pkg", None, None, 1),
            ("uvx pkg==1.0 --x", Pypi, "pkg", Some("1.0"), None, 1),
            ("uvx pkg@latest", Pypi, "pkg", Some("latest"), None, 1),
            ("uvx --from pkg[cli]>=2 tool", Pypi, "pkg[cli]", Some(">=2"), Some("tool"), 3),
            ("uvx --python 3.12 pkg", Pypi, "pkg", None, None, 3),
            ("uv tool run pkg", Pypi, "pkg", None, None, 3),
            ("pipx run --spec pkg==1 tool", Pypi, "pkg", Some("1"), Some("tool"), 4),
            ("docker run -i --rm -e KEY mcp/x", Image, "mcp/x", None, None, 6),
            ("docker run -it h:5000/x:latest a", Image, "h:5000/x", Some("latest"), None, 3),
            ("podman run --name=a x@sha256:ab", Image, "x", Some("sha256:ab"), None, 3),
        ] {
            let (name, version) = (name.to_owned(), version.map(str::to_owned));
            let program = program.map(str::to_owned);
            assert_eq!(of(line), Some(Package { source, name, version, program, rest }), "{line}");
        }
    }

    #[test]
    fn what_no_registry_gives_out_once_and_for_all_is_no_package() {
        for line in [
            "npx",
            "npx github:user/repo",
            "npx git+https://h/r.git",
            "npx -y pkg@https://h/p.tgz",
            "npx -c whatever",
            "npx -p a -p b tool",
            "npx --no-install pkg",
            "npx ./local",
            "npx @scope",
            "uvx --from git+https://h/r tool",
            "uvx --with other pkg==1",
            "uvx ./local",
            "docker ps",
            "docker run -it",
            "sh -c npx",
            "node server.js",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn one_version_is_told_from_a_range_and_a_tag() {
        for (line, exact) in [
            ("npx pkg@1.2.3", true),
            ("npx pkg@1.2.3-beta.1", true),
            ("npx pkg@1", false),
            ("npx pkg@latest", false),
            ("npx pkg", false),
            ("uvx pkg==1.0.post1", true),
            ("uvx pkg>=1", false),
            ("docker run img@sha256:0123", true),
            ("docker run img:1.2", false),
        ] {
            assert_eq!(of(line).unwrap().is_exact(), exact, "{line}");
        }
    }
}
