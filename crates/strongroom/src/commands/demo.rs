//! `strongroom demo`: see it work, with nothing configured.

use serde::Serialize;

use crate::demo::page::{Ink, Story};
use crate::demo::{self, DemoError};
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style};

/// See it work, with nothing configured
///
/// Starts a small API and the real broker on this machine, lets an agent call the one through the
/// other, and shows what everybody sees. Takes less than a second and leaves nothing behind.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  strongroom demo")]
pub struct Args {}

/// Runs the demo and prints the page.
pub fn run(_: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let story = match demo::run(host) {
        Ok(story) => story,
        Err(error @ DemoError::Interrupted) => return Err(Failure::failed(error)),
        Err(error) => {
            return Err(Failure::failed(error).hint("run `strongroom doctor` to see what is wrong"));
        }
    };
    let holds = story.holds();
    output.report(&Shown { holds, story })?;
    if holds {
        Ok(())
    } else {
        Err(Failure::new(Exit::Failed, "the demo did not go as it should: this is a bug"))
    }
}

#[derive(Serialize)]
struct Shown {
    /// Whether every call ended as it should, and the key reached nobody but the API.
    holds: bool,
    #[serde(flatten)]
    story: Story,
}

impl Report for Shown {
    fn text(&self, style: Style) -> String {
        self.story.page(&|ink, text| match ink {
            Ink::Title | Ink::Heading | Ink::Command => style.bold(text),
            Ink::Fine => style.green(text),
            Ink::Refused => style.red(text),
            Ink::Secret => style.yellow(text),
        })
    }
}
