//! What `cargo xtask bench gateway` measures, with few calls: it runs, and every answer is right.

use std::path::Path;

use strongroom_bench::gateway::{Plan, measure};
use strongroom_testkit::fixture;

use crate::sandbox::PROGRAM;

#[test]
fn the_benchmark_of_the_gateway_runs() {
    let echo = [fixture::program().display().to_string(), "echo".to_owned()];
    let measured = measure(Path::new(PROGRAM), &echo, &Plan::QUICK).unwrap();
    for name in ["direct_stdio", "direct_http", "stdio", "http", "of_many", "list", "killed"] {
        assert!(measured[name]["p50_us"].as_f64().unwrap() > 0.0, "{name}: {measured}");
    }
    for name in ["direct_large", "large"] {
        assert!(measured[name]["mb_per_s"].as_f64().unwrap() > 0.0, "{name}: {measured}");
    }
    assert!(measured["many"]["per_second"].as_f64().unwrap() > 0.0, "{measured}");
}
