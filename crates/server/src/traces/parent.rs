//! The caller's place in a trace: `traceparent` (W3C Trace Context, section 3.2).

use http::HeaderMap;

use crate::credential::single;

/// The name of the header.
const TRACEPARENT: http::HeaderName = http::HeaderName::from_static("traceparent");

/// Where a span of the caller stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    pub(super) sampled: bool,
}

/// The header, where it is there once and well formed. One that is not is passed over, as if there were
/// none.
pub(crate) fn text(headers: &HeaderMap) -> Option<&str> {
    let text = single(headers, &TRACEPARENT).ok()??;
    Parent::read(text).map(|_| text)
}

impl Parent {
    /// Reads `00-<trace>-<span>-<flags>`. A later version may have more behind it.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let [version] = octets(parts.next()?)?;
        let (trace, span) = (octets(parts.next()?)?, octets(parts.next()?)?);
        let [flags] = octets(parts.next()?)?;
        let more = parts.next().is_some();
        if version == 0xff || version == 0 && more || trace == [0; 16] || span == [0; 8] {
            return None;
        }
        Some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

fn octets<const N: usize>(text: &str) -> Option<[u8; N]> {
    strongroom_model::audit::checkpoint::Octets::from_hex(text).map(|octets| octets.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_as_the_recommendation_writes_it() {
        let parent = Parent::read(GOOD).unwrap();
        assert_eq!(parent.trace[..2], [0x4b, 0xf9]);
        assert_eq!(parent.span[7], 0xb7);
        assert!(parent.sampled);
        assert!(!Parent::read(&GOOD.replace("-01", "-00")).unwrap().sampled);
        assert!(Parent::read(&format!("{}-more", GOOD.replacen("00", "cc", 1))).is_some());
        for bad in [
            "",
            "x",
            &GOOD[..54],
            &format!("{GOOD}-more"),
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
        ] {
            assert_eq!(Parent::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_header_that_is_there_twice_or_malformed_is_passed_over() {
        let mut headers = HeaderMap::new();
        assert_eq!(text(&headers), None);
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert_eq!(text(&headers), Some(GOOD));
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert_eq!(text(&headers), None);
    }
}
