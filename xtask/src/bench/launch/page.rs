//! What the page says of starts.

use std::fmt::Write as _;

use serde_json::Value;

use super::{CROWD, FEW_STARTS, LATENCY, Launched, STARTS};

/// The section.
pub(in crate::bench) fn section(launched: &Launched) -> Result<String, String> {
    let mut page = format!(
        "\n## Starting servers\n\n\
         `strongroom run t`, where `t` is `true` with 10 secrets of a stand-in for 1Password's `op`, \
         which are in the cache. What is compared is started in turn by `posix_spawn`: {STARTS} \
         times, the slow ones {FEW_STARTS} times.\n\n\
         | what | goal | without | `strongroom run` | |\n| --- | --- | --- | --- | --- |\n",
    );
    for row in rows(launched) {
        writeln!(page, "| {} |", row.join(" | ")).map_err(|error| error.to_string())?;
    }
    Ok(page)
}

fn rows(launched: &Launched) -> Vec<[String; 5]> {
    let Launched { fast, many, keychain, slow, cold, processes, ready, refreshes } = launched;
    let run = &fast[1];
    let over = |what: &str, goal: &str, pair: &Value, name: &str| {
        let (without, with) = (at(&pair[0], name), at(&pair[1], name));
        let over = format!("{:.2} ms over", (with - without) / 1e3);
        [what.to_owned(), goal.to_owned(), ms(without), ms(with), over]
    };
    let beside = |what: &str, goal: &str, other: &Value| {
        let (without, with) = (at(other, "p50_us"), at(run, "p50_us"));
        [what.to_owned(), goal.to_owned(), ms(without), ms(with), times(without / with)]
    };
    let latency = LATENCY.as_millis();
    vec![
        over("beside `env A=.. true`, p50", "1.5 ms over", fast, "p50_us"),
        over("the same, p99", "5 ms over", fast, "p99_us"),
        over("with the machine key in gnome-keyring, p50", "15 ms over", keychain, "p50_us"),
        over("the same, p99", "stated", keychain, "p99_us"),
        over("with 1,000 references in the cache, p50", "3 ms over", many, "p50_us"),
        over("the same, p99", "stated", many, "p99_us"),
        beside("beside `age -d` and `sh`, p50", "below", &fast[2]),
        beside("beside `dotenvx run` of an encrypted file, p50", "stated", &slow[0]),
        beside("beside a shell with `jq` and `age`, p50", "stated", &slow[1]),
        [
            format!(
                "5 servers with 2 secrets, nothing cached, {latency} ms for each process of `op` (without: one such process)"
            ),
            "1.2 times, 1 process".to_owned(),
            ms(cold[0]),
            ms(cold[1]),
            format!("{} of {latency} ms, processes: {processes}", times(cold[1] / 1e3 / millis())),
        ],
        [
            "5 true servers, cached, all of them ready (`initialize` answered)".to_owned(),
            "1.1 times".to_owned(),
            ms(ready[0]),
            ms(ready[1]),
            times(ready[1] / ready[0]),
        ],
        [
            format!("{CROWD} starts at once when the cache has expired: refreshes"),
            "1".to_owned(),
            String::new(),
            refreshes.to_string(),
            String::new(),
        ],
    ]
}

fn millis() -> f64 {
    LATENCY.as_secs_f64() * 1e3
}

fn at(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or(f64::NAN)
}

fn ms(micros: f64) -> String {
    format!("{:.2} ms", micros / 1e3)
}

fn times(ratio: f64) -> String {
    format!("{ratio:.2} times")
}
