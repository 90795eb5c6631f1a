//! Traces by OpenTelemetry: a span for each request, and in it one for each use of the store and each
//! call to an upstream.
//!
//! What goes out is an allow-list, of spans and of their fields: routes, methods, statuses, ids. No path,
//! query, header, body or name of a key is among them. A span that ends is put into a queue of
//! [`QUEUE`] places, or dropped and counted where that is full: a collector that is slow or gone
//! holds nothing up. Where no endpoint is configured there is no layer, and a span costs what a
//! disabled log line does.

mod collect;
mod parent;
mod settings;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strongroom_model::ports::{BoxFuture, Clock};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

pub use collect::SpanLayer;
pub(crate) use parent::text as parent;
pub use settings::{Protocol, Sampler, SettingError, Settings};

use collect::Shared;
use parent::Parent;

/// Spans that wait to be sent.
const QUEUE: usize = 2048;
/// Spans of one request to the collector.
const BATCH: usize = 512;
/// How long the first of them waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// How long a shutdown waits for the collector.
const LAST: Duration = Duration::from_secs(2);

/// Carries a request to the collector.
pub trait Deliver: Send + Sync {
    /// Posts `body`, whose type is `kind`; whether it was taken. It gives up after a while.
    fn deliver(&self, kind: &'static str, body: Vec<u8>) -> BoxFuture<'_, bool>;
}

/// What became of spans.
#[derive(Debug, Default)]
pub struct SpanCounts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl SpanCounts {
    /// Those that the collector took.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Those that found no place in the queue, and those that the collector did not take.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn drop_some(&self, many: usize) {
        self.dropped.fetch_add(many as u64, Ordering::Relaxed);
    }
}

/// A span that has ended.
#[derive(Debug)]
struct Span {
    trace: [u8; 16],
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    name: String,
    kind: Kind,
    /// Nanoseconds since 1970.
    began: u64,
    ended: u64,
    attributes: Vec<(&'static str, Value)>,
    failed: bool,
}

/// What it is in OpenTelemetry's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    Number(i64),
}

/// Takes what the layer collects to the collector.
pub struct Exporter {
    spans: mpsc::Receiver<Span>,
    counts: Arc<SpanCounts>,
    settings: Settings,
}

/// A layer that collects spans, and what exports them.
pub fn traces(settings: Settings, clock: Arc<dyn Clock>) -> (SpanLayer, Exporter) {
    let (sender, spans) = mpsc::channel(QUEUE);
    let counts = Arc::new(SpanCounts::default());
    let shared = Shared { sender, counts: Arc::clone(&counts), clock, sampler: settings.sampler };
    (SpanLayer::new(shared), Exporter { spans, counts, settings })
}

impl Exporter {
    /// What became of spans, for the page of metrics.
    pub fn counts(&self) -> Arc<SpanCounts> {
        Arc::clone(&self.counts)
    }

    /// Exports until `stop` is gone, and then what is left, for a moment.
    pub async fn run(mut self, deliver: impl Deliver, mut stop: watch::Receiver<()>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                got = self.spans.recv_many(&mut batch, BATCH) => if got == 0 { return },
                _ = stop.changed() => break,
            }
            let until = Instant::now() + GATHER;
            while batch.len() < BATCH {
                let room = BATCH - batch.len();
                match timeout_at(until, self.spans.recv_many(&mut batch, room)).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
            }
            self.send(&deliver, &mut batch).await;
        }
        let rest = async {
            self.spans.close();
            while self.spans.recv_many(&mut batch, BATCH).await > 0 {
                self.send(&deliver, &mut batch).await;
            }
        };
        let _ = timeout(LAST, rest).await;
    }

    async fn send(&self, deliver: &impl Deliver, batch: &mut Vec<Span>) {
        let many = batch.len();
        let (kind, body) = match self.settings.protocol {
            Protocol::Json => ("application/json", wire::json(&self.settings.resource, batch)),
            Protocol::Protobuf => {
                ("application/x-protobuf", wire::protobuf(&self.settings.resource, batch))
            }
        };
        batch.clear();
        if deliver.deliver(kind, body).await {
            self.counts.sent.fetch_add(many as u64, Ordering::Relaxed);
        } else {
            self.counts.drop_some(many);
        }
    }
}
