//! `strongroom-dialog`: shows one question in a window and prints the answers.

fn main() -> std::process::ExitCode {
    eprintln!("strongroom-dialog: there is no window for this platform");
    std::process::ExitCode::from(2)
}
