//! What `cargo xtask bench team` measures, with few tenants: it runs, and every answer is right.

use std::path::Path;

use strongroom_bench::team::{Plan, measure};
use strongroom_testkit::fixture;

use crate::sandbox::PROGRAM;

#[test]
fn the_benchmark_of_a_team_runs_on_both_databases() {
    let echo = [fixture::program().display().to_string(), "echo".to_owned()];
    let measured = measure(Path::new(PROGRAM), &echo, &Plan::QUICK).unwrap();
    for name in ["one", "one_at_a_time", "all", "all_at_a_time"] {
        assert!(measured["mounted"][name]["per_second"].as_f64().unwrap() > 0.0, "{measured}");
    }
    for database in ["sqlite", "postgres"] {
        let sizes = measured[database].as_array().unwrap();
        assert_eq!(sizes.len(), 2, "{measured}");
        for size in sizes {
            for name in ["healthz", "select", "list_one", "list", "authorize", "retrieve"] {
                assert!(size[name]["per_second"].is_number(), "{name}: {measured}");
            }
            assert!(size["resident_kib"].as_u64().unwrap() > 0, "{measured}");
        }
    }
}
