//! The workspace's own commands: `cargo xtask ci` is what the checks run, `cargo xtask test` is what
//! a developer runs.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this tool talks to a terminal")]

mod bench;
mod ci;
mod cross;
mod dist;
mod install;
mod shell;
mod tests;
mod tidy;
mod wheel;

use std::{env, process::ExitCode};

use shell::Shell;

const USAGE: &str = "usage: cargo xtask COMMAND

  tidy    the layers, sizes, comments and tables that no other tool checks
  test    installs what the tests need, then runs all of them
  ci      fmt, clippy, tidy, deny, test
  cross   type-checks for Windows and macOS; builds the window for Windows, and runs its
          tests where there is a Wine; `cross window` does only that
  bench   measures a release build and writes docs/reference/benchmarks.md;
          `bench starts` measures how servers start, and prints that;
          `bench loaded` measures calls with everything loaded, and prints that;
          `bench team` measures a team of 100 and of 100,000 tenants, and writes
          its part of the page;
          `bench gateway` measures calls of MCP servers through the gateway, and
          writes its part of the page;
          `bench asking` measures how long a person waits for the window, and the Python
          package, and writes its part of the page; `bench window` prints the first;
          `bench timing` measures how long refusals and comparisons take, and prints that
  order   writes down which functions a start goes through, for the linker: after changes
          to what `strongroom run` does
  soak    kills `serve` during writes 200 times, refreshes of the cache 500 times,
          a team's server 100 times on each database, and its Postgres 20 times, and loads
          the gateway for an hour
  demo    runs `strongroom demo`
  dist    builds the program, the window program with its manifest, and the packages that
          carry it, into `dist` below the build folder; `--profile dev` as the tests need
          them";

fn main() -> ExitCode {
    let command = env::args().nth(1).unwrap_or_default();
    let outcome = Shell::new().and_then(|shell| match command.as_str() {
        "tidy" => tidy::run(&shell),
        "test" => tests::run(&shell),
        "ci" => ci::run(&shell),
        "cross" if env::args().nth(2).is_some_and(|part| part == "window") => cross::window(&shell),
        "cross" => cross::run(&shell),
        "bench" if env::args().nth(2).is_some_and(|part| part == "starts") => bench::starts(&shell),
        "bench" if env::args().nth(2).is_some_and(|part| part == "loaded") => bench::loaded(&shell),
        "bench" if env::args().nth(2).is_some_and(|part| part == "team") => bench::team(&shell),
        "bench" if env::args().nth(2).is_some_and(|part| part == "gateway") => {
            bench::gateway(&shell)
        }
        "bench" if env::args().nth(2).is_some_and(|part| part == "asking") => bench::asking(&shell),
        "bench" if env::args().nth(2).is_some_and(|part| part == "window") => bench::window(&shell),
        "bench" if env::args().nth(2).is_some_and(|part| part == "timing") => tests::timing(&shell),
        "bench" => bench::run(&shell),
        "order" => bench::order(&shell),
        "soak" => tests::soak(&shell),
        "dist" => dist::run(&shell, &env::args().skip(2).collect::<Vec<_>>()),
        "demo" => shell.cargo(&["run", "--quiet", "-p", "strongroom", "--", "demo"]),
        _ => Err(USAGE.to_owned()),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
