//! What is counted, in the text format of Prometheus. No label holds the name or the id of anybody:
//! routes, statuses and reasons are closed sets, so that memory is flat with the number of tenants.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::problem::Reason;
use crate::traces::SpanCounts;

/// Upper bounds of the durations, in seconds.
const BOUNDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// The counters of one server.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, &'static str, u16), u64>>,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    durations: Durations,
    connections: AtomicU64,
    open: AtomicU64,
    turned_away: AtomicU64,
}

#[derive(Default)]
struct Durations {
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Metrics {
    /// A request of `route` was answered.
    pub(crate) fn answered(
        &self,
        (method, route): (&'static str, &'static str),
        status: u16,
        reason: Option<Reason>,
        took: Duration,
    ) {
        *lock(&self.requests).entry((method, route, status)).or_default() += 1;
        if let Some(reason) = reason {
            *lock(&self.refusals).entry(reason.as_str()).or_default() += 1;
        }
        let seconds = took.as_secs_f64();
        let at = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.durations.counts[at].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.durations.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// A connection began.
    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection ended.
    pub(crate) fn disconnected(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// An address had too many connections.
    pub(crate) fn turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// All of them (text exposition format 0.0.4).
    pub(crate) fn text(&self, spans: Option<&SpanCounts>) -> String {
        let mut text = String::with_capacity(4096);
        let head = |text: &mut String, name: &str, kind: &str, help: &str| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        };
        let name = "strongroom_http_requests_total";
        head(&mut text, name, "counter", "Requests that were answered.");
        for ((method, route, status), count) in &*lock(&self.requests) {
            let _ = writeln!(
                text,
                "{name}{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}} {count}"
            );
        }
        let name = "strongroom_http_refusals_total";
        head(&mut text, name, "counter", "Requests that were not done, by their reason.");
        let refusals = lock(&self.refusals).clone();
        for reason in Reason::all().map(Reason::as_str) {
            let count = refusals.get(reason).copied().unwrap_or_default();
            let _ = writeln!(text, "{name}{{code=\"{reason}\"}} {count}");
        }
        let name = "strongroom_http_request_duration_seconds";
        head(&mut text, name, "histogram", "From the head of a request to its answer.");
        self.durations.write(&mut text, name);
        for (name, kind, help, value) in [
            (
                "strongroom_connections_total",
                "counter",
                "Connections that were taken.",
                &self.connections,
            ),
            ("strongroom_connections_open", "gauge", "Connections that are open.", &self.open),
            (
                "strongroom_connections_refused_total",
                "counter",
                "Connections beyond those that one address may have.",
                &self.turned_away,
            ),
        ] {
            head(&mut text, name, kind, help);
            let _ = writeln!(text, "{name} {}", value.load(Ordering::Relaxed));
        }
        if let Some(spans) = spans {
            for (name, help, value) in [
                ("strongroom_spans_sent_total", "Spans that the collector took.", spans.sent()),
                (
                    "strongroom_spans_dropped_total",
                    "Spans that found no place in the queue, or were not taken.",
                    spans.dropped(),
                ),
            ] {
                head(&mut text, name, "counter", help);
                let _ = writeln!(text, "{name} {value}");
            }
        }
        text
    }
}

impl Durations {
    fn write(&self, text: &mut String, name: &str) {
        let mut sum = 0;
        for (at, count) in self.counts.iter().enumerate() {
            sum += count.load(Ordering::Relaxed);
            let bound = BOUNDS.get(at).map_or_else(|| "+Inf".to_owned(), ToString::to_string);
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {sum}");
        }
        let micros = Duration::from_micros(self.micros.load(Ordering::Relaxed));
        let _ = writeln!(text, "{name}_sum {}", micros.as_secs_f64());
        let _ = writeln!(text, "{name}_count {sum}");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use strongroom_model::code::Code;

    use super::*;

    #[test]
    fn what_was_counted_is_told() {
        let metrics = Metrics::default();
        let route = ("GET", "/functions/v1/mcp-servers/list");
        metrics.answered(route, 200, None, Duration::from_micros(700));
        metrics.answered(route, 200, None, Duration::from_secs(9));
        let refused = Some(Reason::Code(Code::NotFound));
        metrics.answered(route, 404, refused, Duration::from_millis(1));
        metrics.connected();
        metrics.connected();
        metrics.disconnected();
        let text = metrics.text(None);
        for line in [
            r#"strongroom_http_requests_total{method="GET",route="/functions/v1/mcp-servers/list",status="200"} 2"#,
            r#"strongroom_http_refusals_total{code="not_found"} 1"#,
            r#"strongroom_http_refusals_total{code="locked"} 0"#,
            r#"strongroom_http_request_duration_seconds_bucket{le="0.0005"} 0"#,
            r#"strongroom_http_request_duration_seconds_bucket{le="0.001"} 2"#,
            r#"strongroom_http_request_duration_seconds_bucket{le="+Inf"} 3"#,
            "strongroom_http_request_duration_seconds_sum 9.0017",
            "strongroom_connections_total 2",
            "strongroom_connections_open 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
