//! The programs that agents may run: whether each is still the one that was approved.

use strongroom_proxy::exec::fingerprint;

use super::Finding;
use crate::config::Config;

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for command in config.commands.values() {
        let about = format!("service {}", command.name);
        let path = &command.program.path;
        let again = format!("strongroom edit {} --command {}", command.name, path.display());
        let before = findings.len();
        match fingerprint(path) {
            Err(error) => findings.push(Finding::problem(&about, error.to_string(), Some(again))),
            Ok(found) if found.path != *path || found.sha256 != command.program.sha256 => {
                let problem = format!("`{}` is not what was approved", path.display());
                findings.push(Finding::problem(&about, problem, Some(again)));
            }
            Ok(_) => {}
        }
        if command.policy.allows_everything() {
            let word = &command.program.word;
            findings.push(Finding::warning(
                &about,
                "its policy allows every command line",
                format!("strongroom edit {} --remove-rule '{word} **'", command.name),
            ));
        }
        if let Some(folder) = command.workdir.as_ref().filter(|folder| !folder.is_dir()) {
            findings.push(Finding::problem(
                &about,
                format!("`{}` is not a folder", folder.display()),
                Some(format!("strongroom edit {} --workdir FOLDER", command.name)),
            ));
        }
        if findings.len() == before {
            findings.push(Finding::fine(&about, format!("runs {}", path.display())));
        }
    }
    findings
}
