//! A process that asks, for the tests to kill: by the window program in a folder, or at its terminal.
//!
//! `asker window FOLDER HOME TITLE SCRIPT DISPLAY`, `asker terminal HOME KIND`

use std::process::ExitCode;
use std::time::Duration;

use strongroom_dialog::{Answers, Asking, Ended, Places, Terminal, Window, ask, ask_at};
use strongroom_model::form::{Field, FieldType, Form, Kind};
use strongroom_model::paths::{Environment, Os};

const PATIENCE: Duration = Duration::from_mins(1);

#[expect(clippy::print_stdout, reason = "the tests read what became of it")]
fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let asking = match words[..] {
        ["window", folder, home, title, script, display] => {
            let form = Form {
                title: title.to_owned(),
                description: script.to_owned(),
                fields: vec![field("a", FieldType::Text)],
                ..Form::default()
            };
            let window = Window::find(&Places::within(folder, &environment(home, display)));
            window.map(|window| ask(&window, &form, PATIENCE)).map_err(|error| error.to_string())
        }
        ["terminal", home, kind] => at_terminal(home, kind),
        _ => Err("wrong words".to_owned()),
    };
    let outcome = match asking {
        Ok(asking) => wait(asking),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(answers) => {
            let shown: Vec<_> = answers
                .into_iter()
                .map(|(name, answer)| {
                    format!("{name}={}", String::from_utf8_lossy(answer.expose()))
                })
                .collect();
            println!("[{}]", shown.join(" "));
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("[{error}]");
            ExitCode::FAILURE
        }
    }
}

fn at_terminal(home: &str, kind: &str) -> Result<Asking, String> {
    let places = Places::within("/", &environment(home, ""));
    let terminal = Terminal::find(&places).map_err(|error| error.to_string())?;
    let consent = kind == "consent";
    let form = Form {
        title: "A question\u{1b}[2J".into(),
        description: "with a\u{202e} text".into(),
        kind: if consent { Kind::Consent } else { Kind::Fields },
        fields: if consent {
            Vec::new()
        } else {
            vec![field("name", FieldType::Text), field("key", FieldType::Password)]
        },
    };
    Ok(ask_at(&terminal, &form, PATIENCE))
}

fn field(name: &str, field_type: FieldType) -> Field {
    Field { name: name.to_owned(), field_type, ..Field::default() }
}

fn environment(home: &str, display: &str) -> Environment {
    let variables = [("HOME", home), ("DISPLAY", display), ("LOCALAPPDATA", home)];
    Environment::new(Os::CURRENT, variables)
}

fn wait(mut asking: Asking) -> Result<Answers, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(asking.answers()).map_err(|error: Ended| error.to_string())
}
