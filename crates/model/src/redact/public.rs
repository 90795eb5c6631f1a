//! What of a secret everybody knows: its issuer's prefix, the armour of a PEM file, the header of a
//! JWT. It stands in other secrets too, so that it alone is no leak (decision 30).

use std::ops::Range;

use memchr::memmem;

/// The stretches of `value` that are not public.
pub(super) fn private(value: &[u8]) -> Vec<Range<usize>> {
    let mut private = Vec::new();
    let mut at = 0;
    while let Some((armour, opens)) = next_armour(value, at) {
        private.push(at..armour.start);
        at = armour.end;
        if opens {
            at += key_heading(&value[at..]);
        }
    }
    if private.is_empty() {
        at = prefix(value);
    }
    private.push(at..value.len());
    private.retain(|stretch| !stretch.is_empty());
    private
}

const DASHES: &[u8] = b"-----";

/// The next `-----BEGIN X-----` or `-----END X-----` from `from` on, and whether it is the former.
fn next_armour(value: &[u8], from: usize) -> Option<(Range<usize>, bool)> {
    for found in memmem::find_iter(&value[from..], DASHES) {
        let start = from + found;
        let text = start + DASHES.len();
        let opens = value[text..].starts_with(b"BEGIN ");
        if opens || value[text..].starts_with(b"END ") {
            let end = text + memmem::find(&value[text..], DASHES)? + DASHES.len();
            return Some((start..end, opens));
        }
    }
    None
}

/// How much at the start of a key's PEM body says only what kind of key it is.
fn key_heading(body: &[u8]) -> usize {
    KEY_HEADINGS.iter().map(|heading| covered(body, heading.as_bytes())).max().unwrap_or(0)
}

/// How many bytes of `body` the whole of `heading` covers, line ends aside; none if it differs.
fn covered(body: &[u8], heading: &[u8]) -> usize {
    let mut heading = heading.iter().peekable();
    for (index, byte) in body.iter().enumerate() {
        match heading.peek() {
            None => return index,
            Some(_) if matches!(byte, b'\r' | b'\n') => {}
            Some(expected) if **expected == b'?' || *expected == byte => {
                heading.next();
            }
            Some(_) => return 0,
        }
    }
    0
}

/// DER before the first byte of a key, in base64; `?` is any character (lengths are in there). Public
/// keys and certificates share much of it.
const KEY_HEADINGS: [&str; 7] = [
    // RSA: PKCS #8 and PKCS #1
    "MII???IBADANBgkqhkiG9w0BAQEFAASC???wgg???gEAAoI??Q",
    "MII???IBAAKCA?EA",
    // P-256: PKCS #8 and SEC 1
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg",
    "MHcCAQEEI",
    // Ed25519: PKCS #8
    "MC4CAQAwBQYDK2VwBCIEI",
    // OpenSSH without a passphrase: Ed25519, RSA
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZWQyNTUxOQAAACA",
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAB?wAAAAdzc2gtcnNhAAAAAwEAAQAAA?EA",
];

/// How long the public start of a value is that is no PEM file.
fn prefix(value: &[u8]) -> usize {
    let mut length = 0;
    loop {
        let rest = &value[length..];
        let known = PREFIXES.iter().filter(|prefix| rest.starts_with(prefix.as_bytes()));
        let longest = known.map(|prefix| prefix.len()).max().unwrap_or(0);
        if longest == 0 {
            break;
        }
        length += longest;
    }
    length + jwt_header(&value[length..]).max(url_host(&value[length..]))
}

/// The header of a JWT and the dot behind it (RFC 7519 §3).
fn jwt_header(value: &[u8]) -> usize {
    if !value.starts_with(b"eyJ") {
        return 0;
    }
    let is_header = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let length = value.iter().take_while(is_header).count();
    if value.get(length) == Some(&b'.') { length + 1 } else { 0 }
}

/// The scheme of a URL, and its host where nothing stands before that.
fn url_host(value: &[u8]) -> usize {
    let Some(scheme) = memmem::find(value, b"://") else { return 0 };
    if scheme == 0
        || !value[..scheme].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'+')
    {
        return 0;
    }
    let start = scheme + 3;
    let ends = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
    match value[start..].iter().position(ends) {
        Some(length) if !value[start..start + length].contains(&b'@') => start + length + 1,
        _ => start,
    }
}

/// What issuers put in front of every key, and what stands before keys in headers.
const PREFIXES: &[&str] = &[
    "AIza",
    "AKIA",
    "ASIA",
    "Basic ",
    "Bearer ",
    "CFPAT-",
    "GOCSPX-",
    "PMAK-",
    "SG.",
    "Token ",
    "dckr_pat_",
    "dop_v1_",
    "figd_",
    "figo_",
    "github_pat_",
    "gho_",
    "ghp_",
    "ghr_",
    "ghs_",
    "ghu_",
    "gldt-",
    "gloas-",
    "glpat-",
    "glptt-",
    "glrt-",
    "gsk_",
    "hf_",
    "https://discord.com/api/webhooks/",
    "https://hooks.slack.com/services/",
    "hvb.",
    "hvs.",
    "key-",
    "lin_api_",
    "lin_oauth_",
    "npm_",
    "ntn_",
    "nvapi-",
    "ops_eyJ",
    "phc_",
    "phx_",
    "pk_live_",
    "pk_test_",
    "pplx-",
    "pypi-AgEIcHlwaS5vcmc",
    "r8_",
    "rk_live_",
    "rk_test_",
    "rnd_",
    "sbp_",
    "secret_",
    "shpat_",
    "shpss_",
    "sk-",
    "sk-ant-",
    "sk-ant-admin01-",
    "sk-ant-api03-",
    "sk-ant-oat01-",
    "sk-or-v1-",
    "sk-proj-",
    "sk-svcacct-",
    "sk_live_",
    "sk_test_",
    "sntrys_",
    "sntryu_",
    "sq0atp-",
    "sq0csp-",
    "sr_",
    "token ",
    "tskey-",
    "tskey-api-",
    "tskey-auth-",
    "vercel_",
    "whsec_",
    "xai-",
    "xapp-",
    "xapp-1-",
    "xoxa-",
    "xoxb-",
    "xoxe.xoxp-",
    "xoxp-",
    "ya29.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_public_of_a_secret_is_known() {
        for (value, public) in [
            ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", "sk_live_"),
            ("sk-ant-api03-abcdefghijkl", "sk-ant-api03-"),
            ("sk-abcdefghijkl", "sk-"),
            ("github_pat_11ABCDEFG0", "github_pat_"),
            ("Bearer ghp_abcdefghijkl", "Bearer ghp_"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJhbGciOiJIUzI1NiJ9."),
            ("eyJhbGciOiJIUzI1NiJ9", ""),
            ("https://api.example.com/hook/abc", "https://api.example.com/"),
            ("postgres://user:password@host/db", "postgres://"),
            ("q8Zt1Lw5Vb9Nm3Kj7", ""),
            ("a----b", ""),
        ] {
            let private = private(value.as_bytes());
            let private: Vec<&str> = private.into_iter().map(|stretch| &value[stretch]).collect();
            assert_eq!(private, [value.strip_prefix(public).unwrap()], "{value}");
        }
    }

    #[test]
    fn the_armour_of_a_pem_file_and_the_kind_of_its_key_are_public() {
        let heading = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\nAgEAAoIBAQ";
        let value = format!(
            "-----BEGIN PRIVATE KEY-----\n{heading}C7b\nsecret\n-----END PRIVATE KEY-----\n\
             -----BEGIN CERTIFICATE-----\ncert\n-----END CERTIFICATE-----"
        );
        let private: Vec<&str> =
            private(value.as_bytes()).into_iter().map(|stretch| &value[stretch]).collect();
        assert_eq!(private, ["C7b\nsecret\n", "\n", "\ncert\n"]);
    }
}
