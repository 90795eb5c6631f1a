//! What `cargo xtask bench team` measures, with few tenants: it runs, and every answer is right.

use std::path::Path;

use strongroom_bench::team::{Plan, measure};

use crate::sandbox::PROGRAM;

#[test]
fn the_benchmark_of_a_team_runs_on_both_databases() {
    let measured = measure(Path::new(PROGRAM), &Plan::QUICK).unwrap();
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
