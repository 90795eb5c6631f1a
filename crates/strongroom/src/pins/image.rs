//! Container images: their digest is all there is to remember, because the engine checks it.

use super::install::{InstallError, Installed, Job};

/// Pulls the image and takes down its digest.
pub(super) fn install(job: &Job<'_>) -> Result<Installed, InstallError> {
    let engine = job.program("docker").or_else(|_| job.program("podman"))?;
    let name = &job.package.name;
    let spec = match job.wanted() {
        Some(digest) if digest.starts_with("sha256:") => format!("{name}@{digest}"),
        Some(tag) => format!("{name}:{tag}"),
        None => format!("{name}:latest"),
    };
    job.run(&format!("docker pull {spec}"), &engine, &["pull", "--quiet", "--", &spec])?;
    let format = "{{range .RepoDigests}}{{println .}}{{end}}";
    let inspect = ["image", "inspect", "--format", format, "--", &spec];
    let digests = job.run(&format!("docker image inspect {spec}"), &engine, &inspect)?;
    let exact = digest(name, &String::from_utf8_lossy(&digests));
    let exact = exact.ok_or_else(|| job.refuse("the engine does not say its digest"))?;
    Ok(Installed { exact, program: engine, args: Vec::new(), watched: Vec::new() })
}

/// The digest of the image of that name; short names stand for those of Docker's own registry.
fn digest(name: &str, lines: &str) -> Option<String> {
    let full = |name: &str| {
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        name.strip_prefix("library/").unwrap_or(name).to_owned()
    };
    lines.lines().find_map(|line| {
        let (found, digest) = line.trim().split_once('@')?;
        let hex = digest.strip_prefix("sha256:")?;
        let whole = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        (full(found) == full(name) && whole).then(|| digest.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_image_that_was_asked_for() {
        let hex = "0".repeat(64);
        let lines = format!("other@sha256:{}\ndocker.io/mcp/x@sha256:{hex}\n", "1".repeat(64));
        assert_eq!(digest("mcp/x", &lines), Some(format!("sha256:{hex}")));
        assert_eq!(digest("mcp/y", &lines), None);
        assert_eq!(digest("x", "x@sha256:short\n"), None);
    }
}
