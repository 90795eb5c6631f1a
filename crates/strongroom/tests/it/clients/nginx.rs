//! nginx with TLS by an authority of the test's own, writing down what it gets.

use std::{
    fs,
    net::TcpListener,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::{
    io::FdFlags,
    process::{Pid, Signal, kill_process},
};

/// A running nginx.
pub(super) struct Nginx {
    child: Child,
    folder: PathBuf,
    /// Where it listens, on 127.0.0.1.
    pub(super) port: u16,
    /// The same, where it has several sites.
    pub(super) ports: Vec<u16>,
}

/// A request as nginx read it from the wire.
#[derive(Debug)]
pub(super) struct Request {
    /// The request line.
    pub(super) line: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// Every value of a header, in the order of arrival.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let same = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }
}

impl Nginx {
    /// Starts nginx in a folder of its own.
    pub(super) fn start(folder: &Path) -> Self {
        Self::with(folder, "")
    }

    /// The same, for nobody who has no certificate of the authority: such as [`client`] makes.
    ///
    /// [`client`]: Self::client
    pub(super) fn start_for_clients(folder: &Path) -> Self {
        let authority = folder.join("ca.pem");
        let lines =
            format!("ssl_client_certificate {}; ssl_verify_client on;", authority.display());
        Self::with(folder, &lines)
    }

    /// A certificate for `name` by the authority, and its key, as PEM.
    pub(super) fn client(&self, name: &str) -> (String, String) {
        let subject = format!("/CN={name}");
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        openssl(
            &self.folder,
            &[
                &["req", "-x509", "-subj", &subject, "-keyout", &key, "-out", &certificate],
                NEW_KEY.as_slice(),
                BY_CA.as_slice(),
                &["-addext", "extendedKeyUsage=clientAuth"],
            ],
        );
        let read = |file: &str| fs::read_to_string(self.folder.join(file)).unwrap();
        (read(&certificate), read(&key))
    }

    fn with(folder: &Path, lines: &str) -> Self {
        Self::with_sites(folder, 1, |ports| configuration(folder, ports[0], lines))
    }

    /// nginx with so many sites, and a configuration that is told their ports. In its folder are
    /// `server.pem` and `server.key`, for 127.0.0.1 and localhost.
    pub(super) fn with_sites(
        folder: &Path,
        sites: usize,
        configuration: impl FnOnce(&[u16]) -> String,
    ) -> Self {
        fs::create_dir_all(folder.join("temp")).unwrap();
        certificates(folder);
        // The sockets are ours and nginx inherits them (as at an upgrade of its own), so that no other
        // process can take a port, and a client that comes before nginx is ready waits.
        let listeners: Vec<TcpListener> =
            (0..sites).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> =
            listeners.iter().map(|one| one.local_addr().unwrap().port()).collect();
        for listener in &listeners {
            rustix::io::fcntl_setfd(listener, FdFlags::empty()).unwrap();
        }
        let inherited: Vec<String> =
            listeners.iter().map(|one| format!("{};", one.as_raw_fd())).collect();
        fs::write(folder.join("nginx.conf"), configuration(&ports)).unwrap();
        let child = Command::new("nginx")
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .env("NGINX", inherited.concat())
            .stderr(fs::File::create(folder.join("stderr")).unwrap())
            .spawn()
            .expect("nginx is not installed: run `cargo xtask test`");
        Self { child, folder: folder.to_owned(), port: ports[0], ports }
    }

    /// The certificate of the authority that signed the server's.
    pub(super) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Everything that nginx wrote down, its view of the wire included.
    pub(super) fn log(&self) -> String {
        let access = fs::read_to_string(self.folder.join("access.log")).unwrap_or_default();
        access + &fs::read_to_string(self.folder.join("debug.log")).unwrap_or_default()
    }

    /// The requests that arrived, each with all of its headers, repeated ones too.
    pub(super) fn received(&self) -> Vec<Request> {
        let log = fs::read_to_string(self.folder.join("debug.log")).unwrap_or_default();
        let mut requests: Vec<Request> = Vec::new();
        for line in log.lines() {
            if let Some((_, text)) = line.split_once("http request line: \"") {
                let line = text.trim_end_matches('"').to_owned();
                requests.push(Request { line, headers: Vec::new() });
            } else if let Some((_, text)) = line.split_once("http header: \"")
                && let Some((name, value)) = text.trim_end_matches('"').split_once(": ")
                && let Some(request) = requests.last_mut()
            {
                request.headers.push((name.to_owned(), value.to_owned()));
            }
        }
        requests
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its worker; a killed one would leave it behind.
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
}

fn configuration(folder: &Path, port: u16, lines: &str) -> String {
    let folder = folder.display();
    // As root it would read what it serves as somebody else, who may not enter our folders.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    format!(
        r#"
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log {folder}/debug.log debug;
events {{ worker_connections 64; }}
http {{
    log_format headers '$request|host=$http_host|authorization=$http_authorization';
    access_log {folder}/access.log headers;
    client_body_temp_path {folder}/temp/body;
    proxy_temp_path {folder}/temp/proxy;
    fastcgi_temp_path {folder}/temp/fastcgi;
    uwsgi_temp_path {folder}/temp/uwsgi;
    scgi_temp_path {folder}/temp/scgi;
    default_type application/json;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        {lines}
        location = /v1/who {{ return 200 '{{"who":"$ssl_client_s_dn"}}'; }}
        location = /v1/echo {{ return 200 '{{"authorization":"$http_authorization"}}'; }}
        location / {{ return 200 '{{"path":"$request_uri"}}'; }}
    }}
}}
"#
    )
}

const NEW_KEY: [&str; 7] =
    ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];

const BY_CA: [&str; 6] =
    ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];

/// An authority, and a certificate of it for 127.0.0.1.
fn certificates(folder: &Path) {
    openssl(
        folder,
        &[
            &["req", "-x509", "-subj", "/CN=Test authority", "-keyout", "ca.key", "-out", "ca.pem"],
            NEW_KEY.as_slice(),
            &["-addext", "keyUsage=critical,keyCertSign"],
        ],
    );
    openssl(
        folder,
        &[
            &[
                "req",
                "-x509",
                "-subj",
                "/CN=127.0.0.1",
                "-keyout",
                "server.key",
                "-out",
                "server.pem",
            ],
            NEW_KEY.as_slice(),
            BY_CA.as_slice(),
            &["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
            &["-addext", "extendedKeyUsage=serverAuth"],
        ],
    );
}

fn openssl(folder: &Path, arguments: &[&[&str]]) {
    let output = Command::new("openssl")
        .current_dir(folder)
        .args(arguments.concat())
        .stdin(Stdio::null())
        .output()
        .expect("openssl is not installed: run `cargo xtask test`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
