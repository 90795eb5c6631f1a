//! A window program for tests: reads the template as the true one does, and does what the label of
//! its first field says, or answers a question of consent with the reason that stands in it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the answers, and why there are none"
)]
#![expect(clippy::disallowed_methods, reason = "it is a program of its own")]
#![expect(clippy::unwrap_used, reason = "a stand-in that cannot go on has failed")]

use std::io::{Read as _, stdin};
use std::process::ExitCode;

use serde_json::{Map, Value};

fn main() -> ExitCode {
    let mut text = String::new();
    stdin().read_to_string(&mut text).unwrap();
    let template: Value = serde_json::from_str(&text).unwrap();
    let place = std::env::var("XDG_RUNTIME_DIR").unwrap();
    std::fs::write(format!("{place}/template.json"), &text).unwrap();
    if template["kind"] == "consent" {
        let description = template["description"].as_str().unwrap();
        let reason = description.split("\nReason: ").nth(1).unwrap();
        println!("{}", serde_json::json!({ "answer": reason }));
        return ExitCode::SUCCESS;
    }
    let fields = template["fields"].as_array().unwrap();
    let names = fields.iter().map(|field| field["name"].as_str().unwrap().to_owned());
    match fields[0]["label"].as_str().unwrap() {
        "answer" => {
            let answer = |name: String| (name.clone(), Value::String(format!("value of {name}")));
            println!("{}", Value::Object(names.map(answer).collect::<Map<_, _>>()));
            ExitCode::SUCCESS
        }
        "other names" => {
            println!(r#"{{"canary": "x"}}"#);
            ExitCode::SUCCESS
        }
        "cancel" => ExitCode::from(1),
        "die" => std::process::abort(),
        "hang" => loop {
            std::thread::park();
        },
        _ => {
            eprintln!("there is no display");
            ExitCode::from(2)
        }
    }
}
