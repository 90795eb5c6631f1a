//! HMAC-SHA1 signatures of OAuth 1.0a (RFC 5849 §3.4).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom_model::secret::Secret;
use zeroize::Zeroizing;

use super::escape::{encode, encode_into, sorted};

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// Scheme, host in lower case, port where it is not the usual one, and the path as it is sent.
    pub uri: &'a str,
    /// The parameters of the protocol, the query and the form, decoded, in any order.
    pub parameters: &'a [(&'a [u8], &'a [u8])],
}

/// The value of `oauth_signature`, not encoded.
pub fn signature(
    request: &Request<'_>,
    client_secret: &Secret,
    token_secret: Option<&Secret>,
) -> String {
    let secrets = [Some(client_secret), token_secret];
    let room = secrets.iter().flatten().map(|secret| 3 * secret.len()).sum::<usize>() + 1;
    let mut key = Zeroizing::new(Vec::with_capacity(room));
    for (at, secret) in secrets.into_iter().enumerate() {
        if at > 0 {
            key.push(b'&');
        }
        if let Some(secret) = secret {
            encode_into(secret.expose(), &mut key);
        }
    }
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    STANDARD.encode(hmac::sign(&key, base_string(request).as_bytes()))
}

fn base_string(request: &Request<'_>) -> String {
    let parameters = sorted(request.parameters.iter().copied());
    let parts = [request.method, request.uri, &parameters];
    parts.map(|part| encode(part.as_bytes())).join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn with<T>(method: &str, uri: &str, given: Pairs<'_>, use_it: impl Fn(&Request<'_>) -> T) -> T {
        let parameters: Vec<_> =
            given.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        use_it(&Request { method, uri, parameters: &parameters })
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.into())
    }

    // RFC 5849 §1.2
    #[test]
    fn the_request_of_the_standard_for_a_photo_is_signed_as_it_says() {
        let parameters = [
            ("file", "vacation.jpg"),
            ("size", "original"),
            ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
            ("oauth_token", "nnch734d00sl2jdk"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131202"),
            ("oauth_nonce", "chapoH"),
        ];
        let signed = with("GET", "http://photos.example.net/photos", &parameters, |request| {
            signature(request, &secret("kd94hf93k423kf44"), Some(&secret("pfkkdhi9sl3r4s00")))
        });
        assert_eq!(signed, "MdpQcU8iPSUjWoN/UDMsK2sui9I=");
    }

    // RFC 5849 §3.4.1.1: names that stand twice, empty values, and what is encoded already.
    #[test]
    fn the_base_string_of_the_standard_comes_out() {
        let parameters = [
            ("b5", "=%3D"),
            ("a3", "a"),
            ("c@", ""),
            ("a2", "r b"),
            ("oauth_consumer_key", "9djdj82h48djs9d2"),
            ("oauth_token", "kkk9d7dh3k39sjv7"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131201"),
            ("oauth_nonce", "7d8f3e4a"),
            ("c2", ""),
            ("a3", "2 q"),
        ];
        let base = with("POST", "http://example.com/request", &parameters, base_string);
        let expected = "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da\
            %26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2\
            %26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1\
            %26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7";
        assert_eq!(base, expected);
    }

    // The example in the documentation of X (Twitter), `Creating a signature`.
    #[test]
    fn the_example_of_twitter_comes_out() {
        let parameters = [
            ("include_entities", "true"),
            ("status", "Hello Ladies + Gentlemen, a signed OAuth request!"),
            ("oauth_consumer_key", "xvz1evFS4wEEPTGEFPHBog"),
            ("oauth_nonce", "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "1318622958"),
            ("oauth_token", "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb"),
            ("oauth_version", "1.0"),
        ];
        let uri = "https://api.twitter.com/1.1/statuses/update.json";
        let signed = with("POST", uri, &parameters, |request| {
            let client = secret("kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw");
            let token = secret("LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE");
            signature(request, &client, Some(&token))
        });
        assert_eq!(signed, "hCtSmYh+iHYCEqBWrE7C7hYmtUk=");
    }

    #[test]
    fn without_a_token_the_key_still_ends_in_its_separator() {
        // Computed with Python's hmac.
        let parameters = [
            ("oauth_callback", "http://printer.example.com/ready"),
            ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131200"),
            ("oauth_nonce", "wIjqoxSZ"),
        ];
        let uri = "https://photos.example.net/initiate";
        let signed = with("POST", uri, &parameters, |request| {
            signature(request, &secret("kd94hf93k423kf44"), None)
        });
        assert_eq!(signed, "/UvthHqLWsq3QBhDNNbCXRUcFvI=");
    }
}
