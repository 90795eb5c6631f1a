//! `strongroom doctor`: checks everything and says what to do.

use serde::Serialize;

use crate::doctor::{Finding, Level, examine};
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style};

/// Check everything, and say what to do
///
/// Looks at the home, the machine key, the vault, the audit, the configuration, every credential,
/// the clients and the limits of the system. Ends with 1 where something has to be put right.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  strongroom doctor")]
pub struct Args {}

/// Examines and reports.
pub fn run(_: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let findings = examine(host);
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Fine);
    output.report(&Examined { fine: worst < Level::Problem, findings })?;
    if worst < Level::Problem { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
}

#[derive(Serialize)]
struct Examined {
    fine: bool,
    findings: Vec<Finding>,
}

impl Report for Examined {
    fn text(&self, style: Style) -> String {
        let width = self.findings.iter().map(|finding| finding.about.chars().count()).max();
        let width = width.unwrap_or_default();
        let mut text = String::new();
        for Finding { level, about, found, fix } in &self.findings {
            let mark = match level {
                Level::Fine => style.green("ok      "),
                Level::Warning => style.yellow("warning "),
                Level::Problem => style.red("problem "),
            };
            text = format!("{text}{mark} {about:<width$}  {found}\n");
            if let Some(fix) = fix {
                text = format!("{text}{:9}{:width$}  {} {fix}\n", "", "", style.bold("do:"));
            }
        }
        let count = |wanted: Level| self.findings.iter().filter(|f| f.level == wanted).count();
        let (problems, warnings) = (count(Level::Problem), count(Level::Warning));
        let sum = match (problems, warnings) {
            (0, 0) => "Everything is as it should be.".to_owned(),
            (0, warnings) => format!("Nothing is broken; {}.", plural(warnings, "warning")),
            (problems, 0) => format!("{} to put right.", plural(problems, "problem")),
            (problems, warnings) => format!(
                "{} to put right; {}.",
                plural(problems, "problem"),
                plural(warnings, "warning")
            ),
        };
        format!("{text}\n{}\n", style.bold(&sum))
    }
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
