//! Packages, as the commands that run exactly the version that is named.

use super::fields::clean;
use super::{Making, Problem};

/// What runs a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runner {
    Npm,
    Pypi,
    Oci,
    Nuget,
}

/// The words of a command around the arguments that the source adds.
pub(super) struct Command {
    pub(super) head: Vec<String>,
    /// Options that the head has already: the source's own would stand twice.
    pub(super) known: &'static [&'static str],
    pub(super) tail: Vec<String>,
    /// What stands before the package's own arguments, where there are any.
    pub(super) separator: Option<&'static str>,
}

impl Runner {
    /// By the `registryType` of the official registry.
    pub(super) fn of(kind: &str) -> Option<Self> {
        Some(match kind {
            "npm" => Self::Npm,
            "pypi" => Self::Pypi,
            "oci" | "docker" => Self::Oci,
            "nuget" => Self::Nuget,
            _ => return None,
        })
    }

    /// What the command line calls it.
    pub(super) fn way(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pypi => "pypi",
            Self::Oci => "oci",
            Self::Nuget => "nuget",
        }
    }

    /// What starts it.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Npm => "npx",
            Self::Pypi => "uvx",
            Self::Oci => "docker",
            Self::Nuget => "dnx",
        }
    }

    /// The labels at the end of the host of its usual registry. An image says its own.
    pub(super) fn home(self) -> &'static [&'static str] {
        match self {
            Self::Npm => &["npmjs", "org"],
            Self::Pypi => &["pypi", "org"],
            Self::Nuget => &["nuget", "org"],
            Self::Oci => &[],
        }
    }

    /// The command that runs `version` of `package`. `variables` are those that a container gets.
    pub(super) fn command(
        self,
        making: &mut Making<'_>,
        package: &str,
        version: Option<&str>,
        variables: &[String],
    ) -> Result<Command, Problem> {
        if self == Self::Oci {
            return Ok(container(variables, image(making, package, version)?));
        }
        let version = exact(making, version)?;
        let fits = match self {
            Self::Npm => is_npm(package),
            _ => is_word(package),
        };
        if !fits {
            let problem = format!(
                "the package has a name that `{}` would read as something else",
                self.program()
            );
            return Err(making.refuse(problem));
        }
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Ok(match self {
            Self::Npm => Command {
                head: words(&["npx", "-y"]),
                known: &["-y", "--yes"],
                tail: vec![format!("{package}@{version}")],
                separator: None,
            },
            Self::Pypi => Command {
                head: words(&["uvx"]),
                known: &[],
                tail: vec![
                    "--from".to_owned(),
                    format!("{package}=={version}"),
                    package.to_owned(),
                ],
                separator: None,
            },
            Self::Nuget | Self::Oci => Command {
                head: words(&["dnx"]),
                known: &["--yes", "-y"],
                tail: vec![format!("{package}@{version}"), "--yes".to_owned()],
                separator: Some("--"),
            },
        })
    }
}

/// `docker run`, with the variables by their names: their values are ours to give.
pub(super) fn container(variables: &[String], image: String) -> Command {
    let mut head: Vec<String> = ["docker", "run", "-i", "--rm"].map(str::to_owned).into();
    for name in variables {
        head.extend(["-e".to_owned(), name.clone()]);
    }
    Command {
        head,
        known: &["run", "-i", "--interactive", "--rm"],
        tail: vec![image],
        separator: None,
    }
}

/// An image with its tag or digest.
pub(super) fn image(
    making: &mut Making<'_>,
    image: &str,
    version: Option<&str>,
) -> Result<String, Problem> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@+".contains(&b);
    if !image.starts_with(|c: char| c.is_ascii_alphanumeric()) || !image.bytes().all(plain) {
        return Err(making.refuse("the image has a name that is none"));
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    let has_tag = last.contains(':') || image.contains('@');
    match version.filter(|_| !has_tag) {
        Some(version) if is_word(version) => Ok(format!("{image}:{version}")),
        Some(_) => Err(making.refuse("the image has a version that is none")),
        None => Ok(image.to_owned()),
    }
}

/// A version, and nothing that a package manager would read as several.
fn exact<'v>(making: &Making<'_>, version: Option<&'v str>) -> Result<&'v str, Problem> {
    let version = version.ok_or_else(|| {
        making
            .refuse("the package has no version")
            .hint("a command that fetches whatever there is, is added with `strongroom mcp add`")
    })?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-+_!".contains(&b);
    let is_exact = version.starts_with(|c: char| c.is_ascii_digit())
        && version.bytes().all(plain)
        && !version.split('.').any(|part| matches!(part, "" | "x" | "X"));
    if is_exact {
        Ok(version)
    } else {
        let said = if is_word(version) { format!(" `{}`", clean(version)) } else { String::new() };
        Err(making.refuse(format!(
            "the version{said} of the package is a tag or a range, and not one version"
        )))
    }
}

/// `name` or `@scope/name`: no path, no address, no version of its own.
fn is_npm(package: &str) -> bool {
    match package.strip_prefix('@') {
        Some(scoped) => {
            scoped.split_once('/').is_some_and(|(scope, name)| is_word(scope) && is_word(name))
        }
        None => is_word(package),
    }
}

fn is_word(text: &str) -> bool {
    text.len() <= 214
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-~+".contains(&b))
}
