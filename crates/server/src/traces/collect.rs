//! From the spans of `tracing` to those of OpenTelemetry.

use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use strongroom_model::ports::Clock;
use strongroom_seal::random;
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::{Kind, Parent, Sampler, Span, SpanCounts, Value};

/// Collects the spans that are exported.
pub struct SpanLayer {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) sender: mpsc::Sender<Span>,
    pub(super) counts: Arc<SpanCounts>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) sampler: Sampler,
}

/// The name of the span of a request, which alone begins a trace.
const REQUEST: &str = "request";

/// The spans that go out, and of each the fields that do, with what they are called there. All else is
/// left out: a field that is added somewhere does not leave the machine before it is added here.
const EXPORTED: &[Exported] = &[
    Exported {
        name: REQUEST,
        kind: Kind::Server,
        fields: &[
            ("request_id", "strongroom.request.id"),
            ("method", "http.request.method"),
            ("route", "http.route"),
            ("status", "http.response.status_code"),
            ("code", "error.type"),
            ("tenant", "strongroom.tenant.id"),
        ],
    },
    Exported {
        name: "store",
        kind: Kind::Client,
        fields: &[("system", "db.system.name"), ("operation", "db.operation.name")],
    },
    Exported { name: "audit", kind: Kind::Internal, fields: &[] },
    Exported {
        name: "call",
        kind: Kind::Client,
        fields: &[
            ("service", "strongroom.service"),
            ("method", "http.request.method"),
            ("status", "http.response.status_code"),
        ],
    },
];

/// A span that goes out.
struct Exported {
    name: &'static str,
    kind: Kind,
    /// Its fields, and what they are called in the trace.
    fields: &'static [(&'static str, &'static str)],
}

/// A span that has not ended.
struct Open {
    trace: [u8; 16],
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    began: u64,
    fields: Vec<(&'static str, Value)>,
}

/// A span that is not sampled: its children are not either.
struct Unsampled;

impl SpanLayer {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// Whether a span or an event is one that this layer looks at: the filter that it is to be added with.
    pub fn looks_at(metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && exported(metadata).is_some()
    }
}

fn exported(metadata: &Metadata<'_>) -> Option<&'static Exported> {
    let ours = metadata.target().starts_with("strongroom");
    EXPORTED.iter().find(|one| ours && one.name == metadata.name())
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(Exported { name, fields: known, .. }) = exported(attributes.metadata()) else {
            return;
        };
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields { known, parent: None, read: Vec::new() };
        attributes.record(&mut fields);
        let above = span.parent().map(|above| {
            let above = above.extensions();
            above.get::<Open>().map(|open| (open.trace, open.id))
        });
        let place = match above {
            Some(Some((trace, parent))) => Some((trace, Some(parent))),
            None if *name == REQUEST => self.shared.root(fields.parent),
            // What is above it is not sampled; or nobody asked for it, as for the store's own work.
            Some(None) | None => None,
        };
        let own = place.and_then(|(trace, parent)| Some((trace, parent, new_id::<8>()?)));
        let mut extensions = span.extensions_mut();
        let Some((trace, parent, id)) = own else {
            extensions.insert(Unsampled);
            return;
        };
        let began = self.shared.now();
        extensions.insert(Open { trace, id, parent, began, fields: fields.read });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let Some(Exported { fields: known, .. }) = exported(span.metadata()) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            let mut fields = Fields { known, parent: None, read: Vec::new() };
            values.record(&mut fields);
            open.fields.append(&mut fields.read);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(Exported { name, kind, .. }) = exported(span.metadata()) else { return };
        let Some(Open { trace, id, parent, began, fields }) = span.extensions_mut().remove() else {
            return;
        };
        let text = |wanted: &str| {
            fields.iter().find_map(|(name, value)| match value {
                Value::Text(text) if *name == wanted => Some(text.as_str()),
                _ => None,
            })
        };
        let words = [text("http.request.method"), text("http.route"), text("db.operation.name")];
        let detail = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let name = match *name {
            REQUEST if !detail.is_empty() => detail,
            name => [name, &detail].join(" ").trim_end().to_owned(),
        };
        let failed = fields.iter().any(|(name, value)| {
            *name == "http.response.status_code"
                && matches!(value, Value::Number(status) if *status >= 500)
        });
        self.shared.put(Span {
            trace,
            id,
            parent,
            name,
            kind: *kind,
            began,
            ended: self.shared.now().max(began),
            attributes: fields,
            failed,
        });
    }
}

impl Shared {
    /// The trace that a request is in and the caller's span, where the request is sampled.
    fn root(&self, parent: Option<Parent>) -> Option<([u8; 16], Option<[u8; 8]>)> {
        let trace = parent.map_or_else(new_id::<16>, |parent| Some(parent.trace))?;
        let sampled = self.sampler.takes(&trace, parent.map(|parent| parent.sampled));
        sampled.then_some((trace, parent.map(|parent| parent.span)))
    }

    fn now(&self) -> u64 {
        let since = self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn put(&self, span: Span) {
        if self.sender.try_send(span).is_err() {
            self.counts.drop_some(1);
        }
    }
}

/// A random id, which is never all zeros.
fn new_id<const N: usize>() -> Option<[u8; N]> {
    let mut id = [0; N];
    random(&mut id).ok().filter(|()| id != [0; N]).map(|()| id)
}

/// Reads the fields that go out.
struct Fields {
    known: &'static [(&'static str, &'static str)],
    parent: Option<Parent>,
    read: Vec<(&'static str, Value)>,
}

impl Fields {
    fn take(&mut self, field: &Field, value: impl FnOnce() -> Value) {
        if let Some((_, name)) = self.known.iter().find(|(known, _)| *known == field.name()) {
            self.read.push((name, value()));
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "traceparent" {
            self.parent = Parent::read(value);
        }
        self.take(field, || Value::Text(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, || Value::Number(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, || Value::Number(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, || Value::Text(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use strongroom_testkit::fakes::FakeClock;
    use tracing::{field, info_span};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// What is collected of what `act` does.
    fn collected(sampler: Sampler, places: usize, act: impl FnOnce()) -> (Vec<Span>, u64) {
        let (sender, mut spans) = mpsc::channel(places);
        let counts = Arc::new(SpanCounts::default());
        let clock = Arc::new(FakeClock::default());
        let shared = Shared { sender, counts: Arc::clone(&counts), clock, sampler };
        let layer = SpanLayer::new(shared);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, act);
        let mut all = Vec::new();
        while let Ok(span) = spans.try_recv() {
            all.push(span);
        }
        (all, counts.dropped())
    }

    fn request(parent: Option<&str>) -> tracing::Span {
        info_span!(
            "request",
            request_id = "r-1",
            traceparent = parent,
            canary = "canary",
            method = field::Empty,
            route = field::Empty,
            status = field::Empty,
        )
    }

    #[test]
    fn a_request_and_what_it_did_are_one_trace_of_known_fields_alone() {
        let (spans, _) = collected(Sampler::default(), 9, || {
            let span = request(Some(CALLER));
            span.in_scope(|| {
                drop(info_span!("store", operation = "read", statement = "canary"));
                let call = info_span!("call", service = "acme", path = "/canary", method = "GET");
                call.in_scope(|| drop(info_span!("unknown", service = "canary")));
            });
            span.record("method", "POST");
            span.record("route", "/mcp");
            span.record("status", 503);
        });
        let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["store read", "call GET", "POST /mcp"]);
        assert!(!format!("{spans:?}").contains("canary"), "{spans:?}");
        let root = &spans[2];
        assert_eq!(root.trace, Parent::read(CALLER).unwrap().trace);
        assert_eq!(root.parent, Some(Parent::read(CALLER).unwrap().span));
        assert!(root.failed && root.kind == Kind::Server);
        assert!(spans[..2].iter().all(|span| span.parent == Some(root.id)));
        assert!(spans.iter().all(|span| span.trace == root.trace));
        assert!(root.attributes.contains(&("http.response.status_code", Value::Number(503))));
    }

    #[test]
    fn what_is_not_sampled_or_nobodys_request_leaves_nothing() {
        let unsampled = CALLER.replace("-01", "-00");
        let (spans, dropped) = collected(Sampler::default(), 9, || {
            request(Some(&unsampled)).in_scope(|| drop(info_span!("store", operation = "read")));
            drop(info_span!("store", operation = "write"));
        });
        assert_eq!((spans.len(), dropped), (0, 0));
        let (spans, _) = collected(Sampler::default(), 9, || drop(request(Some("malformed"))));
        assert_eq!((spans.len(), spans[0].parent), (1, None));
    }

    #[test]
    fn what_finds_no_place_in_the_queue_is_counted_and_nobody_waits() {
        let (spans, dropped) = collected(Sampler::default(), 2, || {
            (0..7).for_each(|_| drop(request(None)));
        });
        assert_eq!((spans.len(), dropped), (2, 5));
    }
}
