//! Traces of a team, by the standard variables of OpenTelemetry.

use std::path::PathBuf;
use std::time::Duration;

use strongroom_model::ports::BoxFuture;
use strongroom_secrets::{Poster, Target};
use strongroom_server::traces::{Deliver, Exporter, Settings, SpanLayer, traces};

use crate::environment::Host;
use crate::failure::Failure;

/// What exports the traces of a server, and where to.
pub(super) struct Traces {
    pub(super) exporter: Exporter,
    pub(super) collector: Collector,
}

/// Where traces are collected.
pub(super) struct Collector(Poster);

/// What the environment wants; `None` where it names no collector.
pub(super) fn wanted(host: &Host) -> Result<Option<(SpanLayer, Traces)>, Failure> {
    let get = |name: &str| host.environment.get(name)?.to_str().map(str::to_owned);
    let Some(settings) = Settings::read(get).map_err(Failure::usage)? else { return Ok(None) };
    let target = Target {
        url: settings.endpoint.clone(),
        headers: settings.headers.clone(),
        ca_file: settings.certificate.clone().map(PathBuf::from),
        timeout: Duration::from_millis(settings.timeout_ms),
    };
    let poster = Poster::new(&target).map_err(|error| {
        Failure::usage(format!("traces: {error}"))
            .hint("correct `OTEL_EXPORTER_OTLP_ENDPOINT` and its fellows, or unset them")
    })?;
    let (layer, exporter) = traces(settings, host.clock.clone());
    Ok(Some((layer, Traces { exporter, collector: Collector(poster) })))
}

impl Deliver for Collector {
    fn deliver(&self, kind: &'static str, body: Vec<u8>) -> BoxFuture<'_, bool> {
        Box::pin(self.0.post(kind, body))
    }
}
