//! Commands that fetch what they run, in whatever version there is (decision 9, SC-01).

use strongroom_model::server::Stdio;

/// A command that may be another program tomorrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpinned {
    /// What fetches it: `npx`.
    pub runner: &'static str,
    /// The package or image, where the command shows which.
    pub package: Option<String>,
}

/// What comes between a runner and the package: words that take a value, and the words of its own
/// language that stand before the package.
struct Runner {
    name: &'static str,
    /// The subcommand that runs a package, where it is one of several.
    verbs: &'static [&'static str],
    /// Options that take the next word.
    with_value: &'static [&'static str],
    /// Options whose value names the package.
    package: &'static [&'static str],
    pinned: fn(&str) -> bool,
}

const RUNNERS: &[Runner] = &[
    Runner {
        name: "npx",
        verbs: &[],
        with_value: &["-c", "--call", "-w", "--workspace", "--registry", "--cache", "--prefix"],
        package: &["-p", "--package"],
        pinned: npm,
    },
    Runner {
        name: "bunx",
        verbs: &[],
        with_value: &[],
        package: &["-p", "--package"],
        pinned: npm,
    },
    Runner {
        name: "npm",
        verbs: &["exec", "x"],
        with_value: &["-c", "--call", "-w", "--workspace", "--registry", "--cache", "--prefix"],
        package: &["-p", "--package"],
        pinned: npm,
    },
    Runner { name: "pnpm", verbs: &["dlx"], with_value: &[], package: &["--package"], pinned: npm },
    Runner {
        name: "yarn",
        verbs: &["dlx"],
        with_value: &[],
        package: &["-p", "--package"],
        pinned: npm,
    },
    Runner {
        name: "bun",
        verbs: &["x"],
        with_value: &[],
        package: &["-p", "--package"],
        pinned: npm,
    },
    Runner {
        name: "uvx",
        verbs: &[],
        with_value: &["-p", "--python", "--with", "--index-url", "--index", "--extra-index-url"],
        package: &["--from"],
        pinned: pypi,
    },
    Runner {
        name: "uv",
        verbs: &["tool run"],
        with_value: &["-p", "--python", "--with", "--index-url", "--index", "--extra-index-url"],
        package: &["--from"],
        pinned: pypi,
    },
    Runner {
        name: "pipx",
        verbs: &["run"],
        with_value: &["--python", "--pip-args", "--index-url", "--with"],
        package: &["--spec"],
        pinned: pypi,
    },
    Runner {
        name: "docker",
        verbs: &["run", "container run"],
        with_value: DOCKER,
        package: &[],
        pinned: image,
    },
    Runner {
        name: "podman",
        verbs: &["run", "container run"],
        with_value: DOCKER,
        package: &[],
        pinned: image,
    },
];

/// The options of `docker run` that take the next word.
const DOCKER: &[&str] = &[
    "-e",
    "--env",
    "--env-file",
    "-v",
    "--volume",
    "--mount",
    "--name",
    "-p",
    "--publish",
    "--network",
    "--net",
    "-u",
    "--user",
    "-w",
    "--workdir",
    "--entrypoint",
    "-l",
    "--label",
    "-m",
    "--memory",
    "--cpus",
    "-h",
    "--hostname",
    "--add-host",
    "--cap-add",
    "--cap-drop",
    "--platform",
    "--pull",
    "--restart",
    "--security-opt",
    "--tmpfs",
    "--device",
    "--dns",
    "--runtime",
    "--gpus",
    "--log-driver",
    "--log-opt",
    "--ulimit",
    "--shm-size",
    "--pid",
    "--ipc",
];

/// Whether `server` is one that runs whatever its registry has today.
pub fn unpinned(server: &Stdio) -> Option<Unpinned> {
    let file = server.program.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = [".exe", ".cmd", ".bat"].iter().find_map(|end| file.strip_suffix(end));
    let name = name.unwrap_or(file);
    let runner = RUNNERS.iter().find(|runner| runner.name == name)?;
    let words: Vec<Option<&str>> = server.args.iter().map(|arg| arg.as_literal()).collect();
    let rest = behind_verb(runner, &words)?;
    let package = package(runner, rest);
    let pinned = package.is_some_and(|package| is_local(package) || (runner.pinned)(package));
    let package = package.map(str::to_owned);
    (!pinned).then_some(Unpinned { runner: runner.name, package })
}

/// The words behind the subcommand; `None` where the command is another one.
fn behind_verb<'a, 'b>(
    runner: &Runner,
    words: &'b [Option<&'a str>],
) -> Option<&'b [Option<&'a str>]> {
    if runner.verbs.is_empty() {
        return Some(words);
    }
    runner.verbs.iter().find_map(|verb| {
        let verb: Vec<_> = verb.split(' ').map(Some).collect();
        words.strip_prefix(verb.as_slice())
    })
}

/// The word that names the package.
fn package<'a>(runner: &Runner, words: &[Option<&'a str>]) -> Option<&'a str> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        // A word with a secret in it is no package that anybody could name.
        let word = (*word)?;
        if word == "--" {
            return words.next().copied().flatten();
        }
        if let Some(package) = runner.package.iter().find_map(|option| {
            if word == *option {
                Some(words.clone().next().copied().flatten())
            } else {
                let value = word.strip_prefix(option)?.strip_prefix('=')?;
                Some(Some(value))
            }
        }) {
            return package;
        }
        if runner.with_value.contains(&word) {
            words.next();
        } else if !word.starts_with('-') {
            return Some(word);
        }
    }
    None
}

/// A path is as it is until somebody changes it.
fn is_local(package: &str) -> bool {
    package.starts_with("./") || package.starts_with("../") || package.starts_with('/')
}

/// `name@1.2.3` and `@scope/name@1.2.3`; a tag or a range is not a version.
fn npm(package: &str) -> bool {
    let name = package.strip_prefix('@').unwrap_or(package);
    name.split_once('@').is_some_and(|(_, version)| is_exact(version))
}

/// `name==1.2.3`; and what `uvx` takes as well, `name@1.2.3`.
fn pypi(package: &str) -> bool {
    let version = package.split_once("==").or_else(|| package.split_once('@'));
    version.is_some_and(|(_, version)| is_exact(version.trim_start_matches('=').trim()))
}

/// A digest, or a tag that is not `latest`: a tag can be moved, but nobody moves one by accident.
fn image(image: &str) -> bool {
    if image.contains("@sha256:") {
        return true;
    }
    let name = image.rsplit('/').next().unwrap_or_default();
    name.split_once(':').is_some_and(|(_, tag)| !tag.is_empty() && tag != "latest")
}

/// Three numbers, with what may stand behind them: `1.2.3`, `1.2.3-beta.1`, `2025.4.8`.
fn is_exact(version: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_' | '!');
    version.starts_with(|c: char| c.is_ascii_digit())
        && version.matches('.').count() >= 1
        && version.chars().all(plain)
        && !version.split('.').any(|part| matches!(part, "x" | "X" | ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &str) -> Option<Unpinned> {
        let mut words = command.split(' ');
        unpinned(&Stdio {
            program: words.next().unwrap().to_owned(),
            args: words.map(|word| word.parse().unwrap()).collect(),
            ..Stdio::default()
        })
    }

    // SC-01
    #[test]
    fn a_command_that_fetches_any_version_is_unpinned() {
        for (command, runner, package) in [
            ("npx @anthropic/stitch-mcp", "npx", Some("@anthropic/stitch-mcp")),
            ("npx -y pkg", "npx", Some("pkg")),
            ("npx -y pkg@latest --flag", "npx", Some("pkg@latest")),
            ("npx pkg@^1.2.3", "npx", Some("pkg@^1.2.3")),
            ("npx pkg@1", "npx", Some("pkg@1")),
            ("npx pkg@1.x", "npx", Some("pkg@1.x")),
            ("npx --package=pkg cmd", "npx", Some("pkg")),
            ("/usr/bin/npx -p @a/b@next cmd", "npx", Some("@a/b@next")),
            (r"C:\node\npx.cmd pkg", "npx", Some("pkg")),
            ("npx github:user/repo", "npx", Some("github:user/repo")),
            ("npm exec -- pkg", "npm", Some("pkg")),
            ("bunx pkg", "bunx", Some("pkg")),
            ("pnpm dlx pkg", "pnpm", Some("pkg")),
            ("uvx mcp-server-git", "uvx", Some("mcp-server-git")),
            ("uvx --from git+https://x/y cmd", "uvx", Some("git+https://x/y")),
            ("uv tool run pkg", "uv", Some("pkg")),
            ("pipx run pkg", "pipx", Some("pkg")),
            ("docker run -i --rm -e A mcp/git", "docker", Some("mcp/git")),
            ("docker run mcp/git:latest", "docker", Some("mcp/git:latest")),
            ("docker run host:5000/git", "docker", Some("host:5000/git")),
            ("npx", "npx", None),
        ] {
            let expected = Unpinned { runner, package: package.map(str::to_owned) };
            assert_eq!(of(command), Some(expected), "{command}");
        }
    }

    #[test]
    fn a_command_with_its_exact_version_or_without_a_registry_is_not() {
        for command in [
            "npx -y pkg@1.2.3",
            "npx @scope/pkg@2025.4.8 /dir",
            "npx -y -p pkg@1.0.0-beta.1 cmd",
            "npx ./local",
            "npm exec -- pkg@1.2.3",
            "npm run build",
            "uvx mcp-server-git==2025.1.14",
            "uvx mcp-server-git@2025.1.14",
            "uvx --from pkg==1.0 cmd",
            "uv run server.py",
            "docker run -i --rm mcp/git:1.2",
            "docker run -e TOKEN --name x img@sha256:00",
            "docker compose up",
            "node server.js",
            "./server",
        ] {
            assert_eq!(of(command), None, "{command}");
        }
    }
}
