//! What the standard variables of OpenTelemetry say of traces.

/// How traces are exported.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The address that spans are posted to.
    pub endpoint: String,
    /// Headers of that request. Their values may be secret.
    pub headers: Vec<(String, String)>,
    /// A file with the certificate of an authority beside those that are built in.
    pub certificate: Option<String>,
    /// Milliseconds that a request may take.
    pub timeout_ms: u64,
    /// How they are written.
    pub protocol: Protocol,
    /// Which of them.
    pub sampler: Sampler,
    /// Attributes of this service, `service.name` among them.
    pub resource: Vec<(String, String)>,
}

/// How spans are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// `http/json`.
    Json,
    /// `http/protobuf`, which is the standard's default.
    #[default]
    Protobuf,
}

/// Which requests are traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Whether the caller's decision counts, where there is one.
    pub by_parent: bool,
    /// The part of the others, from 0 to 1.
    pub ratio: f64,
}

/// A variable that is not as the standard writes it. What it holds is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{variable}`: {problem}")]
pub struct SettingError {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const PROTOCOL: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const CERTIFICATE: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
const TIMEOUT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
const SERVICE: &str = "OTEL_SERVICE_NAME";

impl Settings {
    /// Reads the variables that `get` knows. `None`: there is no endpoint, or it is all off.
    ///
    /// # Errors
    ///
    /// A variable is not as the standard writes it. The standard would pass over it; then nobody would
    /// know why there are no traces.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, SettingError> {
        // One that is empty is as good as none.
        let get = |name: &str| get(name).filter(|text| !text.trim().is_empty());
        let first =
            |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, get(name)?)));
        let disabled = get(DISABLED).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"));
        let exported = match get(EXPORTER).as_deref().map(str::trim) {
            None | Some("otlp") => true,
            Some("none") => false,
            Some(_) => return Err(wrong(EXPORTER, "it is `otlp` or `none`")),
        };
        let Some((variable, endpoint)) = first(ENDPOINT).filter(|_| exported && !disabled) else {
            return Ok(None);
        };
        let mut endpoint = endpoint.trim().to_owned();
        if variable == ENDPOINT[1] {
            endpoint = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        }
        let headers = first(HEADERS).map_or(Ok(Vec::new()), |(name, text)| pairs(name, &text))?;
        let protocol = match first(PROTOCOL) {
            None => Protocol::default(),
            Some((name, text)) => match text.trim() {
                "http/protobuf" => Protocol::Protobuf,
                "http/json" => Protocol::Json,
                _ => return Err(wrong(name, "it is `http/protobuf` or `http/json`")),
            },
        };
        let timeout_ms = match first(TIMEOUT) {
            None => 10_000,
            Some((name, text)) => {
                text.trim().parse().map_err(|_| wrong(name, "it is a number of milliseconds"))?
            }
        };
        let mut resource = get(RESOURCE).map_or(Ok(Vec::new()), |text| pairs(RESOURCE, &text))?;
        let name = get(SERVICE).or_else(|| {
            let named = resource.iter().find(|(name, _)| name == "service.name");
            named.map(|(_, value)| value.clone())
        });
        resource.retain(|(name, _)| name != "service.name" && name != "service.version");
        let name = name.unwrap_or_else(|| "strongroom".to_owned());
        resource.push(("service.name".to_owned(), name));
        resource.push(("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
        let certificate = first(CERTIFICATE).map(|(_, path)| path);
        let sampler = sampler(get(SAMPLER).as_deref(), get(SAMPLER_ARG).as_deref())?;
        Ok(Some(Self { endpoint, headers, certificate, timeout_ms, protocol, sampler, resource }))
    }
}

impl Default for Sampler {
    fn default() -> Self {
        Self { by_parent: true, ratio: 1.0 }
    }
}

impl Sampler {
    /// Whether a request of `trace` is traced, where the caller `parent` decided so or otherwise. All
    /// services decide alike on one trace.
    pub(super) fn takes(self, trace: &[u8; 16], parent: Option<bool>) -> bool {
        if let Some(sampled) = parent.filter(|_| self.by_parent) {
            return sampled;
        }
        let place = trace[8..].iter().fold(0, |place, byte| place << 8 | u64::from(*byte)) >> 11;
        // Both have 53 bits, which is what a float can tell apart.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let place = place as f64 / (1_u64 << 53) as f64;
        place < self.ratio
    }
}

fn sampler(name: Option<&str>, ratio: Option<&str>) -> Result<Sampler, SettingError> {
    let name = name.unwrap_or_default();
    let (by_parent, base) = match name.trim().strip_prefix("parentbased_") {
        Some(base) => (true, base),
        None if name.is_empty() => (true, "always_on"),
        None => (false, name.trim()),
    };
    let ratio = match base {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => match ratio.map(|text| text.trim().parse::<f64>()) {
            None => 1.0,
            Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
            Some(_) => return Err(wrong(SAMPLER_ARG, "it is a number from 0 to 1")),
        },
        _ => {
            let known = "it is `always_on`, `always_off` or `traceidratio`, or `parentbased_` and \
                         one of them";
            return Err(wrong(SAMPLER, known));
        }
    };
    Ok(Sampler { by_parent, ratio })
}

/// `name=value,name=value`, each value percent-encoded (W3C Baggage).
fn pairs(variable: &'static str, text: &str) -> Result<Vec<(String, String)>, SettingError> {
    let bad = || wrong(variable, "it is `name=value,name=value`, with values percent-encoded");
    let mut pairs = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(bad)?;
        let name = name.trim();
        if name.is_empty() {
            return Err(bad());
        }
        pairs.push((name.to_owned(), decoded(value.trim()).ok_or_else(bad)?));
    }
    Ok(pairs)
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte == b'%' {
            let (digits, behind) = rest.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn wrong(variable: &'static str, problem: &'static str) -> SettingError {
    SettingError { variable, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Settings>, SettingError> {
        Settings::read(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    const AT: (&str, &str) = (ENDPOINT[1], "http://127.0.0.1:4318/");

    #[test]
    fn without_an_endpoint_or_switched_off_there_are_no_traces() {
        for off in
            [&[][..], &[(ENDPOINT[0], " ")], &[AT, (DISABLED, "TRUE")], &[AT, (EXPORTER, "none")]]
        {
            assert_eq!(read(off), Ok(None), "{off:?}");
        }
        assert!(read(&[AT, (DISABLED, "false"), (EXPORTER, "otlp")]).unwrap().is_some());
    }

    #[test]
    fn the_variables_of_traces_win_over_those_of_all_signals() {
        let settings = read(&[AT]).unwrap().unwrap();
        assert_eq!(settings.endpoint, "http://127.0.0.1:4318/v1/traces");
        assert_eq!(settings.protocol, Protocol::Protobuf);
        assert_eq!(settings.resource[0], ("service.name".into(), "strongroom".into()));
        let settings = read(&[
            AT,
            (ENDPOINT[0], "https://collector.test/x"),
            (HEADERS[1], "a=b"),
            (HEADERS[0], "api-key=a%20b%3D, x = y"),
            (PROTOCOL[1], "http/json"),
            (RESOURCE, "service.name=other,deployment.environment.name=test"),
            (SERVICE, "named"),
            (TIMEOUT[1], "250"),
        ]);
        let settings = settings.unwrap().unwrap();
        assert_eq!(settings.endpoint, "https://collector.test/x");
        assert_eq!(settings.headers[0], ("api-key".into(), "a b=".into()));
        assert_eq!(settings.headers[1], ("x".into(), "y".into()));
        assert_eq!((settings.protocol, settings.timeout_ms), (Protocol::Json, 250));
        let of = |name: &str| settings.resource.iter().filter(|(it, _)| it == name).count();
        assert_eq!((of("service.name"), of("deployment.environment.name")), (1, 1));
        assert!(settings.resource.contains(&("service.name".into(), "named".into())));
    }

    #[test]
    fn a_variable_that_is_malformed_is_named_and_not_repeated() {
        for (variable, value) in [
            (PROTOCOL[1], "grpc-canary"),
            (HEADERS[1], "canary"),
            (HEADERS[1], "=canary"),
            (HEADERS[1], "a=%zz-canary"),
            (SAMPLER, "canary"),
            (TIMEOUT[1], "canary"),
            (EXPORTER, "canary"),
        ] {
            let error = read(&[AT, (variable, value)]).unwrap_err();
            assert_eq!(error.variable, variable);
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        let ratio = [AT, (SAMPLER, "traceidratio"), (SAMPLER_ARG, "2")];
        assert_eq!(read(&ratio).unwrap_err().variable, SAMPLER_ARG);
    }

    #[test]
    fn a_sampler_goes_by_the_caller_or_by_the_id_of_the_trace() {
        let of = |name: &str, ratio: &str| sampler(Some(name), Some(ratio)).unwrap();
        let (low, high) = ([0; 16], [0xff; 16]);
        for (sampler, trace, parent, expected) in [
            (Sampler::default(), high, None, true),
            (Sampler::default(), high, Some(false), false),
            (of("always_on", ""), high, Some(false), true),
            (of("parentbased_always_off", ""), low, Some(true), true),
            (of("parentbased_always_off", ""), low, None, false),
            (of("traceidratio", "0.5"), low, None, true),
            (of("traceidratio", "0.5"), high, Some(true), false),
            (of("parentbased_traceidratio", "0.5"), high, Some(true), true),
            (of("traceidratio", "1"), high, None, true),
            (of("traceidratio", "0"), low, None, false),
        ] {
            assert_eq!(sampler.takes(&trace, parent), expected, "{sampler:?} {parent:?}");
        }
    }
}
