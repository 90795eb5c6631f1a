//! Signed requests of kernels (decision 34): a signature is good for one request, and for minutes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use strongroom_model::secret::Secret;
use strongroom_model::team::KeyId;
use strongroom_seal::sign::hmac::{Algorithm, Encoding, sign};

use crate::problem::Problem;

/// How far the clocks of a kernel and of this server may be apart.
const SKEW: Duration = Duration::from_mins(5);

/// `X-Signature: t=<unix>,v1=<hex>`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    /// When it was made, in seconds since 1970.
    pub(crate) time: u64,
    /// HMAC-SHA256, as it was written: 64 hexadecimal digits.
    mac: [u8; 64],
}

impl Signature {
    /// Reads the header, which has one form.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        Self::read(text).ok_or_else(|| {
            let form = "`X-Signature` has the form `t=<seconds since 1970>,v1=<64 hex digits>`";
            Problem::invalid(form)
        })
    }

    fn read(text: &str) -> Option<Self> {
        let (time, mac) = text.strip_prefix("t=")?.split_once(",v1=")?;
        let seconds: u64 = time.parse().ok()?;
        let mac: [u8; 64] = mac.as_bytes().try_into().ok()?;
        let digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        // Years beyond reason would overflow when it is asked until when the signature is good.
        let exact = seconds.to_string() == time && seconds < 1 << 40 && mac.iter().all(digit);
        exact.then_some(Self { time: seconds, mac })
    }

    /// Whether it is neither too old nor from the future.
    pub(crate) fn is_fresh(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        now.abs_diff(self.time) <= SKEW.as_secs()
    }

    /// Whether `key` made it for this request. The signed text is
    /// `t "." method "." path with query "." hex(sha256(body))`.
    pub(crate) fn is_of(&self, key: &Secret, method: &str, target: &str, body: &[u8]) -> bool {
        let text = self.text(method, target, body);
        let made = sign(Algorithm::Sha256, Encoding::Hex, key, &[text.as_bytes()]);
        verify_slices_are_equal(made.as_bytes(), &self.mac).is_ok()
    }

    fn text(&self, method: &str, target: &str, body: &[u8]) -> String {
        let body = strongroom_seal::hex(&strongroom_seal::sha256(body));
        format!("{}.{method}.{target}.{body}", self.time)
    }

    /// What it is remembered by, so that it is good once: each key's signatures are its own.
    pub(crate) fn mark(&self, key: KeyId) -> [u8; 32] {
        strongroom_seal::sign::digest(&[key.as_str().as_bytes(), &self.mac])
    }

    /// From when on it is good for nothing, whichever clock is ahead.
    pub(crate) fn expires(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.time) + SKEW + SKEW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn the_header_has_one_form() {
        let good = Signature::parse(&format!("t=1700000000,v1={HEX}")).unwrap();
        assert_eq!((good.time, good.mac[0], good.mac[63]), (1_700_000_000, b'0', b'f'));
        for bad in [
            String::new(),
            format!("t=,v1={HEX}"),
            format!("t=01,v1={HEX}"),
            format!("t=+1,v1={HEX}"),
            format!("t=-1,v1={HEX}"),
            format!("t=99999999999999999999,v1={HEX}"),
            format!("v1={HEX},t=1"),
            format!("t=1, v1={HEX}"),
            format!("t=1,v1={}", HEX.to_uppercase()),
            format!("t=1,v1={}", &HEX[2..]),
            format!("t=1,v1={HEX}00"),
            format!("t=1,v1={HEX},v1={HEX}"),
        ] {
            assert!(Signature::parse(&bad).is_err(), "{bad}");
        }
    }

    // AU-07
    #[test]
    fn a_signature_is_good_for_five_minutes_either_way() {
        let signature = Signature { time: 10_000, mac: [0; 64] };
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        for (now, fresh) in [
            (9_699, false),
            (9_700, true),
            (10_000, true),
            (10_300, true),
            (10_301, false),
            (0, false),
        ] {
            assert_eq!(signature.is_fresh(at(now)), fresh, "{now}");
        }
    }

    #[test]
    fn what_is_signed_holds_the_time_the_method_the_target_and_the_body() {
        let signature = Signature { time: 7, mac: [0; 64] };
        let text = "7.GET./a?b=c.e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(signature.text("GET", "/a?b=c", b""), text);
        let key = Secret::new(b"signing key".to_vec());
        let made = sign(Algorithm::Sha256, Encoding::Hex, &key, &[text.as_bytes()]);
        let good = Signature::parse(&format!("t=7,v1={made}")).unwrap();
        assert!(good.is_of(&key, "GET", "/a?b=c", b""));
        for (method, target, body) in
            [("POST", "/a?b=c", &b""[..]), ("GET", "/a", b""), ("GET", "/a?b=c", b" ")]
        {
            assert!(!good.is_of(&key, method, target, body), "{method} {target}");
        }
        assert!(!Signature { time: 8, ..good }.is_of(&key, "GET", "/a?b=c", b""));
        assert!(!good.is_of(&Secret::new(b"another key".to_vec()), "GET", "/a?b=c", b""));
    }
}
