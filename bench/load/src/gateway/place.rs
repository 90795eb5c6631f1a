//! A home with servers in it, and the gateway before these.

use std::{
    error::Error,
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// A home, and the servers `s0`, `s1` and so on in it.
pub(super) struct Place {
    home: TempDir,
    strongroom: PathBuf,
    echo: Vec<String>,
    tools: String,
    token: String,
}

/// What starts a process.
pub(super) struct Words {
    words: Vec<String>,
    home: PathBuf,
}

/// A process over HTTP, until this is dropped.
pub(super) struct Serving {
    child: Child,
    url: String,
    token: String,
}

impl Place {
    /// `servers` servers of `tools` tools each, that have `secrets` secrets.
    pub(super) fn new(
        strongroom: &Path,
        echo: &[String],
        servers: usize,
        secrets: usize,
        tools: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let home = tempfile::Builder::new().prefix("strongroom-gateway").tempdir()?;
        let mut place = Self {
            home,
            strongroom: strongroom.to_owned(),
            echo: echo.to_vec(),
            tools: tools.to_owned(),
            token: String::new(),
        };
        place.ask(&["init", "--headless"], "")?;
        for number in 0..secrets {
            // None of them is what the server says.
            let (name, value) =
                (format!("bench/key{number}"), format!("Key-{number:02}-Of-The-Bench-XYZ"));
            place.ask(&["secrets", "set", &name, "--for", "launch:s0", "--key-stdin"], &value)?;
        }
        place.write(servers, secrets)?;
        let created = place.ask(&["principal", "create", "bench", "--json"], "")?;
        let created: Value = serde_json::from_str(&created)?;
        created["token"].as_str().ok_or("no token")?.clone_into(&mut place.token);
        Ok(place)
    }

    /// The servers, whose limit of calls is out of the way.
    fn write(&self, servers: usize, secrets: usize) -> Result<(), Box<dyn Error>> {
        let file = self.home.path().join("config/strongroom/strongroom.toml");
        let names: Vec<String> = (0..servers).map(|number| format!("s{number}")).collect();
        let mut config = format!("enable = {names:?}\n{}\n", fs::read_to_string(&file)?);
        let mut command = self.echo.clone();
        command.extend(["stdio".to_owned(), self.tools.clone()]);
        let secrets: Vec<String> = (0..secrets)
            .map(|number| format!("KEY{number} = \"local://bench/key{number}\""))
            .collect();
        for name in &names {
            write!(
                config,
                "\n[servers.{name}]\ncommand = {command:?}\nsecrets = {{ {} }}\n\
                 calls_per_minute = 10000000\n",
                secrets.join(", ")
            )?;
        }
        Ok(fs::write(file, config)?)
    }

    /// The server itself.
    pub(super) fn echo(&self, how: &str) -> Words {
        let mut words = self.echo.clone();
        words.extend([how.to_owned(), self.tools.clone()]);
        Words { words, home: self.home.path().to_owned() }
    }

    /// The gateway for one client on its pipes.
    pub(super) fn serve_stdio(&self) -> Words {
        let words = vec![self.strongroom.display().to_string(), "serve".to_owned()];
        Words { words, home: self.home.path().to_owned() }
    }

    /// The server itself over HTTP.
    pub(super) fn echo_http(&self) -> Result<Serving, Box<dyn Error>> {
        let mut child = self.echo("http").command().stdout(Stdio::piped()).spawn()?;
        let mut url = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut url)?;
        Ok(Serving { child, url: url.trim().to_owned(), token: String::new() })
    }

    /// The gateway over HTTP.
    pub(super) fn serve(&self) -> Result<Serving, Box<dyn Error>> {
        let log = self.home.path().join("log");
        let mut command = self.serve_stdio().command();
        command.args(["--http", "--listen", "127.0.0.1:0"]).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(File::create(&log)?).spawn()?;
        let mut serving = Serving { child, url: String::new(), token: self.token.clone() };
        let start = Instant::now();
        while start.elapsed() < super::PATIENCE {
            let said = fs::read_to_string(&log)?;
            if let Some(at) = said.find("http://")
                && let Some((url, _)) = said[at..].split_once('\n')
            {
                url.clone_into(&mut serving.url);
                return Ok(serving);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(format!("the gateway does not start: {}", fs::read_to_string(&log)?).into())
    }

    fn ask(&self, words: &[&str], input: &str) -> Result<String, Box<dyn Error>> {
        let mut command = Command::new(&self.strongroom);
        command.args(words).env("STRONGROOM_HOME", self.home.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        child.stdin.take().ok_or("no stdin")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        if output.status.success() {
            Ok(String::from_utf8(output.stdout)?)
        } else {
            Err(format!("{words:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
        }
    }
}

impl Words {
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).env("STRONGROOM_HOME", &self.home);
        // Where nothing of a project is.
        command.current_dir(&self.home);
        command
    }
}

impl Serving {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // One that has ended already needs no ending.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
