//! What the tests need beside the Rust toolchain, and where it comes from.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::shell::{Shell, run};

/// A program that a test starts, the arguments that prove it works, and its Debian package.
const PROGRAMS: &[(&str, &[&str], &str)] = &[
    ("git", &["--version"], "git"),
    ("gh", &["--version"], "gh"),
    ("curl", &["--version"], "curl"),
    ("nginx", &["-v"], "nginx"),
    ("/usr/bin/python3", &["-m", "radicale", "--version"], "python3-radicale"),
    ("openssl", &["version"], "openssl"),
    ("strace", &["--version"], "strace"),
    ("bwrap", &["--version"], "bubblewrap"),
    ("systemd-analyze", &["--version"], "systemd"),
    ("python3", &["-c", "import ensurepip, venv"], "python3-venv"),
    ("node", &["--version"], "nodejs"),
    ("npm", &["--version"], "npm"),
    ("dbus-daemon", &["--version"], "dbus"),
    ("gdbus", &["help"], "libglib2.0-bin"),
    ("gnome-keyring-daemon", &["--version"], "gnome-keyring"),
    ("sh", &["-c", "command -v secret-tool"], "libsecret-tools"),
    ("keyctl", &["--version"], "keyutils"),
    ("age", &["--version"], "age"),
    ("pass", &["--version"], "pass"),
    ("gpg", &["--version"], "gnupg"),
    ("keepassxc-cli", &["--version"], "keepassxc"),
    ("softhsm2-util", &["--version"], "softhsm2"),
    ("pkg-config", &["gtk4"], "libgtk-4-dev"),
    ("sh", &["-c", "command -v Xvfb"], "xvfb"),
    ("sh", &["-c", "command -v openbox"], "openbox"),
    ("xdotool", &["version"], "xdotool"),
    ("/usr/bin/python3", &["-c", "import gi; gi.require_version('Gtk', '4.0')"], "gir1.2-gtk-4.0"),
    (
        "/usr/bin/python3",
        &["-c", "import gi; gi.require_version('Atspi', '2.0')"],
        "gir1.2-atspi-2.0",
    ),
    ("test", &["-x", "/usr/libexec/at-spi-bus-launcher"], "at-spi2-core"),
    ("/usr/bin/python3", &["-c", "import gi"], "python3-gi"),
    ("sh", &["-c", "ls /usr/lib/postgresql/*/bin/postgres"], "postgresql"),
];

/// What only the benchmarks start, beside [`PROGRAMS`].
const BENCHED: &[(&str, &[&str], &str)] = &[("jq", &["--version"], "jq")];

/// Installs the programs that are missing, where that is possible, and says so where it is not.
pub(crate) fn programs(shell: &Shell) -> Result<(), String> {
    packages(shell, PROGRAMS)
}

/// As [`programs`], for what the benchmarks start.
pub(crate) fn benched_programs(shell: &Shell) -> Result<(), String> {
    packages(shell, &[PROGRAMS, BENCHED].concat())
}

/// As [`programs`], for any list.
pub(crate) fn packages(shell: &Shell, programs: &[(&str, &[&str], &str)]) -> Result<(), String> {
    let missing: Vec<&str> = programs
        .iter()
        .filter(|(program, proof, _)| !shell.succeeds(program, proof))
        .map(|(_, _, package)| *package)
        .collect();
    if missing.is_empty() {
        println!("all programs are here");
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() || !shell.succeeds("apt-get", &["--version"]) {
        println!("missing, and to be installed by hand: {}", missing.join(" "));
        return Ok(());
    }
    let apt = |arguments: &[&str]| {
        run(shell.command("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
    };
    // Lists that cannot be renewed may still be good enough.
    if let Err(message) = apt(&["update", "-qq"]) {
        println!("{message}");
    }
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], missing.as_slice()].concat())
}

/// Builds a cargo subcommand into the cache, unless it is there.
pub(crate) fn cargo_tool(shell: &Shell, name: &str, arguments: &[&str]) -> Result<(), String> {
    let subcommand = name.trim_start_matches("cargo-");
    if shell.succeeds("cargo", &[subcommand, "--version"]) {
        println!("{name} is here");
        return Ok(());
    }
    cargo_install(shell, name, arguments)
}

/// The server of Vault's API that can be built here, where the tests look for it.
pub(crate) fn vault_server(shell: &Shell) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let built = shell.cache.join("tools/bin/rvault");
    if !shell.prints(&built, &["--version"], &format!("rusty_vault {RUSTY_VAULT}")) {
        cargo_install(shell, "rusty_vault", &["--version", RUSTY_VAULT])?;
    }
    let folder = shell.target.join("backends/bin");
    fs::create_dir_all(&folder).map_err(text)?;
    let link = folder.join("rvault");
    if fs::canonicalize(&link).ok() == fs::canonicalize(&built).ok() {
        println!("rusty_vault is here");
        return Ok(());
    }
    drop(fs::remove_file(&link));
    // It is large, and the same for every build folder.
    std::os::unix::fs::symlink(&built, &link).map_err(text)
}

const RUSTY_VAULT: &str = "0.2.1";

fn cargo_install(shell: &Shell, name: &str, arguments: &[&str]) -> Result<(), String> {
    let mut command = shell.command("cargo");
    // Its own build folder: the tool is built once, with features that nothing else shares.
    command.env("CARGO_TARGET_DIR", shell.cache.join("tools/build"));
    command.args(["install", "--debug", "--locked", name]).args(arguments);
    run(command.arg("--root").arg(shell.cache.join("tools")))?;
    fs::remove_dir_all(shell.cache.join("tools/build")).map_err(|error| error.to_string())
}

/// The clients and servers from npm, as `tests/clients/package-lock.json` pins them.
pub(crate) fn node_clients(shell: &Shell) -> Result<(), String> {
    from_npm(shell, CLIENTS, &shell.target.join("clients/node"))
}

/// What the benchmarks measure beside us, as `bench/tools/package-lock.json` pins it.
pub(crate) fn benched_tools(shell: &Shell) -> Result<(), String> {
    from_npm(shell, "bench/tools", &shell.target.join("bench-tools"))
}

/// What the lock file in `from` pins, in `folder`.
fn from_npm(shell: &Shell, from: &str, folder: &Path) -> Result<(), String> {
    let files =
        ["package.json", "package-lock.json", ".npmrc"].map(|file| Path::new(from).join(file));
    if is_current(shell, &files, folder)? {
        println!("what {from} wants of npm is here");
        return Ok(());
    }
    copy(shell, &files, folder)?;
    let mut npm = shell.command("npm");
    run(npm
        .args(["ci", "--ignore-scripts", "--no-progress", "--loglevel=error"])
        .current_dir(folder))?;
    stamp(shell, &files, folder)
}

/// The clients and servers from `PyPI`, as `tests/clients/requirements.txt` pins them.
pub(crate) fn python_clients(shell: &Shell) -> Result<(), String> {
    from_pypi(shell, CLIENTS, &shell.target.join("clients/python"))
}

/// The backends of providers from `PyPI`, as `tests/backends/requirements.txt` pins them.
pub(crate) fn python_backends(shell: &Shell) -> Result<(), String> {
    from_pypi(shell, "tests/backends", &shell.target.join("backends/python"))
}

/// Another implementation of the keychain's layout from `PyPI`, as `tests/keychains/requirements.txt`
/// pins it.
pub(crate) fn python_keyring(shell: &Shell) -> Result<(), String> {
    from_pypi(shell, "tests/keychains", &shell.target.join("keychains/python"))
}

/// What tries the document of a team's interface, as `tests/openapi/requirements.txt` pins it.
pub(crate) fn openapi_client(shell: &Shell) -> Result<(), String> {
    from_pypi(shell, "tests/openapi", &shell.target.join("openapi/python"))
}

/// What builds and checks the Python package, as `bindings/python/requirements.txt` pins it; where it is.
pub(crate) fn python_tools(shell: &Shell) -> Result<PathBuf, String> {
    let folder = shell.target.join("packages/python-tools");
    from_pypi(shell, "bindings/python", &folder)?;
    Ok(folder)
}

/// The wheel among the `packages` in a virtual environment that has nothing else in it, but sees the
/// frameworks that [`python_clients`] installs.
pub(crate) fn python_package(shell: &Shell, packages: &[PathBuf]) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let wheel = packages.iter().find(|file| file.extension().is_some_and(|end| end == "whl"));
    let wheel = wheel.ok_or("there is no wheel among the packages")?;
    let folder = shell.target.join("packages/python");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(text)?;
    }
    run(shell.command("python3").args(["-m", "venv"]).arg(&folder))?;
    let mut pip = shell.command(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]);
    run(pip.arg(wheel))?;
    let mut ask = shell.command(folder.join("bin/python"));
    let ask = ask.args(["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]);
    let packages = String::from_utf8(ask.output().map_err(text)?.stdout);
    let packages = PathBuf::from(packages.map_err(|error| error.to_string())?.trim());
    let inside = packages.strip_prefix(&folder).map_err(|error| error.to_string())?;
    let frameworks = shell.target.join("clients/python").join(inside);
    fs::write(packages.join("frameworks.pth"), frameworks.display().to_string()).map_err(text)
}

/// What the requirements in `from` pin, in an environment of its own.
fn from_pypi(shell: &Shell, from: &str, folder: &Path) -> Result<(), String> {
    let files = [Path::new(from).join("requirements.txt")];
    if is_current(shell, &files, folder)? {
        println!("what {from} wants of PyPI is here");
        return Ok(());
    }
    run(shell.command("python3").args(["-m", "venv"]).arg(folder))?;
    let mut pip = shell.command(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--no-deps", "--disable-pip-version-check", "-r"]);
    run(pip.arg(shell.root.join(&files[0])))?;
    stamp(shell, &files, folder)
}

const CLIENTS: &str = "tests/clients";

/// Whether what is installed in `folder` was installed for the files as they are.
fn is_current(shell: &Shell, files: &[PathBuf], folder: &Path) -> Result<bool, String> {
    let wanted = wanted(shell, files)?;
    Ok(fs::read_to_string(folder.join("installed")).is_ok_and(|stamp| stamp == wanted))
}

fn stamp(shell: &Shell, files: &[PathBuf], folder: &Path) -> Result<(), String> {
    fs::write(folder.join("installed"), wanted(shell, files)?).map_err(|error| error.to_string())
}

fn wanted(shell: &Shell, files: &[PathBuf]) -> Result<String, String> {
    files.iter().map(|file| shell.read(file)).collect()
}

fn copy(shell: &Shell, files: &[PathBuf], folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    for file in files {
        let name = file.file_name().ok_or("a file without a name")?;
        fs::write(folder.join(name), shell.read(file)?).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Whether this runs where nobody watches.
pub(crate) fn unattended() -> bool {
    env::var_os("CI").is_some_and(|value| value == "true")
}
