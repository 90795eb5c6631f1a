//! HMAC (RFC 2104) over a text that a service lays down.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom_model::secret::Secret;

use crate::hex;

/// The hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-1, which old services insist on.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How the signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lower-case hexadecimal.
    Hex,
    /// Base64 with its padding.
    Base64,
}

/// The signature of a text, given in `pieces`, under `key`.
pub fn sign(algorithm: Algorithm, encoding: Encoding, key: &Secret, pieces: &[&[u8]]) -> String {
    let algorithm = match algorithm {
        Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Algorithm::Sha256 => hmac::HMAC_SHA256,
        Algorithm::Sha512 => hmac::HMAC_SHA512,
    };
    let mut signing = hmac::Context::with_key(&hmac::Key::new(algorithm, key.expose()));
    for piece in pieces {
        signing.update(piece);
    }
    let tag = signing.sign();
    match encoding {
        Encoding::Hex => hex(tag.as_ref()),
        Encoding::Base64 => STANDARD.encode(tag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(algorithm: Algorithm, encoding: Encoding, key: &[u8], text: &[u8]) -> String {
        let (one, other) = text.split_at(text.len() / 2);
        sign(algorithm, encoding, &Secret::new(key.to_vec()), &[one, &[], other])
    }

    // RFC 2202 §3 (test case 2), RFC 4231 §4.3.
    #[test]
    fn the_examples_of_the_standards_come_out() {
        let text = b"what do ya want for nothing?";
        for (algorithm, expected) in [
            (Algorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (Algorithm::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (
                Algorithm::Sha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a\
                 6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            assert_eq!(of(algorithm, Encoding::Hex, b"Jefe", text), expected);
        }
        let base64 = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=";
        assert_eq!(of(Algorithm::Sha256, Encoding::Base64, b"Jefe", text), base64);
    }

    // The examples in the documentation of MEXC (`SIGNED`).
    #[test]
    fn the_examples_of_mexc_come_out() {
        let key = b"45d0b3c26f2644f19bfb98b07741b2f5";
        for (text, expected) in [
            (
                "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=11&recvWindow=5000&timestamp=1644489390087",
                "fd3e4e8543c5188531eb7279d68ae7d26a573d0fc5ab0d18eb692451654d837a",
            ),
            (
                "symbol=BTCUSDT&side=BUY&type=LIMITquantity=1&price=11&recvWindow=5000&timestamp=1644489390087",
                "d1a676610ceb39174c8039b3f548357994b2a34139a8addd33baadba65684592",
            ),
        ] {
            assert_eq!(of(Algorithm::Sha256, Encoding::Hex, key, text.as_bytes()), expected);
        }
    }
}
