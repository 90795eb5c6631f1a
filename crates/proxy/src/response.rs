//! What an upstream answers, read within its caps, decoded, and redacted.
//!
//! Nothing of a response reaches the agent but its status, the headers on a list, and the body
//! after its content codings are off: redaction sees plaintext or the body is withheld (RR-05).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use async_compression::zstd::DParameter;
use bytes::{Buf as _, Bytes};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::redact::{Clean, Redactor};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader, ReadBuf,
};

use crate::link::{Inbound, Link};

/// Content codings of one response at the most.
const CODINGS: usize = 2;

/// Largest window of zstd, 8 MiB (RFC 9659 §3).
const ZSTD_WINDOW_LOG: u32 = 23;

/// Reads `body` to its end and takes its codings off. `cap`: decoded bytes.
///
/// At most `cap` decoded bytes are held, and one chunk of what is encoded.
///
/// # Errors
///
/// `response_too_large`, or `upstream_error` where the body breaks off, has a coding that we do not
/// know or cannot decode, or seems to have one that it does not name.
pub(crate) async fn read(
    link: &mut Link,
    headers: &HeaderMap,
    body: Inbound,
    cap: usize,
) -> Result<Vec<u8>, Refusal> {
    let expected = body.expected();
    let mut raw = Raw { link, body, chunk: Bytes::new(), left: encoded_cap(cap) };
    let codings = codings(headers)?;
    let decoded = if codings.is_empty() {
        if expected > cap {
            return Err(too_large());
        }
        plain(&mut raw, expected, cap).await
    } else {
        decoded(&mut raw, &codings, cap).await
    };
    let decoded = match decoded {
        Ok(decoded) => decoded,
        Err(Stop::TooLarge) => return Err(too_large()),
        Err(Stop::Broken) => {
            return Err(withheld("the upstream's answer broke off or does not decode"));
        }
    };
    if is_text(headers) && seems_compressed(&decoded) {
        return Err(withheld("the upstream's answer is compressed and does not say so"));
    }
    Ok(decoded)
}

/// The headers that an agent may see, redacted, and the number of markers. One with a secret in its
/// name is left out, and counts.
pub(crate) fn visible(
    headers: &HeaderMap,
    redactor: &Redactor,
) -> (Vec<(String, Clean<String>)>, u64) {
    let mut markers = 0;
    let mut visible = Vec::with_capacity(headers.len());
    for (name, value) in headers.iter().filter(|(name, _)| is_visible(name)) {
        // The upstream may end the name of a family as it likes.
        let (_, in_name) = redactor.clean_text(name.as_str());
        markers += in_name;
        if in_name > 0 {
            continue;
        }
        let (value, found) = redactor.clean_text(&String::from_utf8_lossy(value.as_bytes()));
        markers += found;
        visible.push((name.as_str().to_owned(), value));
    }
    (visible, markers)
}

/// Lower-case names. What is missing on purpose: `set-cookie` and `www-authenticate` (credentials
/// and where to send them), `alt-svc` and `refresh` (other destinations), framing and codings (ours
/// now).
const VISIBLE: [&str; 32] = [
    "accept-patch",
    "accept-ranges",
    "age",
    "allow",
    "cache-control",
    "content-disposition",
    "content-language",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "deprecation",
    "etag",
    "expires",
    "idempotency-key",
    "last-modified",
    "link",
    "location",
    "pragma",
    "preference-applied",
    "request-id",
    "retry-after",
    "sunset",
    "vary",
    "warning",
    "x-github-request-id",
    "x-next-page",
    "x-page",
    "x-per-page",
    "x-request-id",
    "x-total-count",
    "x-total-pages",
];

/// Beginnings of further names: the families of rate limits.
const VISIBLE_FAMILIES: [&str; 4] =
    ["x-ratelimit-", "x-rate-limit-", "ratelimit-", "anthropic-ratelimit-"];

fn is_visible(name: &HeaderName) -> bool {
    let name = name.as_str();
    VISIBLE.binary_search(&name).is_ok()
        || name == "ratelimit"
        || VISIBLE_FAMILIES.iter().any(|family| name.starts_with(family))
}

/// Bytes that may stand for `cap` bytes: what is encoded may be a little larger.
fn encoded_cap(cap: usize) -> usize {
    cap.saturating_add(cap / 8).saturating_add(64 << 10)
}

enum Stop {
    TooLarge,
    Broken,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::FileTooLarge { Self::TooLarge } else { Self::Broken }
    }
}

async fn plain(raw: &mut Raw<'_>, expected: usize, cap: usize) -> Result<Vec<u8>, Stop> {
    let mut out = Vec::with_capacity(expected);
    loop {
        let chunk = raw.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(out);
        }
        if chunk.len() > cap - out.len() {
            return Err(Stop::TooLarge);
        }
        out.extend_from_slice(chunk);
        let read = chunk.len();
        raw.consume(read);
    }
}

async fn decoded(raw: &mut Raw<'_>, codings: &[Coding], cap: usize) -> Result<Vec<u8>, Stop> {
    // A response to HEAD, a 204 and a 304 name codings of a body that is not there.
    if raw.fill_buf().await?.is_empty() {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    {
        let mut reader: Pin<Box<dyn AsyncRead + Send + '_>> = Box::pin(&mut *raw);
        // The coding that was applied last stands last and comes off first (RFC 9110 §8.4).
        for coding in codings.iter().rev() {
            let paced = Paced { reader, left: encoded_cap(cap), run: 0 };
            reader = coding.decoder(BufReader::new(paced)).await?;
        }
        // One byte above the cap tells a body that fits from one that does not.
        let cap = u64::try_from(cap).unwrap_or(u64::MAX).saturating_add(1);
        reader.take(cap).read_to_end(&mut out).await?;
    }
    if out.len() > cap {
        return Err(Stop::TooLarge);
    }
    if raw.fill_buf().await?.is_empty() { Ok(out) } else { Err(Stop::Broken) }
}

/// A content coding (RFC 9110 §8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    async fn decoder<'a>(
        self,
        mut reader: BufReader<Paced<'a>>,
    ) -> Result<Pin<Box<dyn AsyncRead + Send + 'a>>, Stop> {
        // Each goes on behind an end, as gzip and zstd are allowed to: what stands there decodes, and
        // is redacted, or the body is withheld.
        Ok(match self {
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(reader);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
            // "deflate" is the zlib format; some send the bare stream (RFC 9110 §8.4.1.2).
            Self::Deflate => {
                let start = reader.fill_buf().await?;
                if is_zlib(start) {
                    let mut decoder = ZlibDecoder::new(reader);
                    decoder.multiple_members(true);
                    Box::pin(decoder)
                } else {
                    let mut decoder = DeflateDecoder::new(reader);
                    decoder.multiple_members(true);
                    Box::pin(decoder)
                }
            }
            Self::Brotli => {
                let mut decoder = BrotliDecoder::new(reader);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
            Self::Zstd => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG)];
                let mut decoder = ZstdDecoder::with_params(reader, &window);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
        })
    }
}

/// The header of RFC 1950 §2.2: method 8, and a check that makes it a multiple of 31.
fn is_zlib(start: &[u8]) -> bool {
    match start {
        [cmf, flg, ..] => {
            cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flg)).is_multiple_of(31)
        }
        // A first chunk of one byte: of the two formats only zlib is the rule.
        [cmf] => cmf & 0x0f == 8,
        [] => true,
    }
}

/// The codings, in the order in which they were applied.
fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, Refusal> {
    let unknown = || withheld("the upstream's answer has a content coding that is not known");
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = value.to_str().map_err(|_| unknown())?;
        for token in value.split(',').map(str::trim).filter(|token| !token.is_empty()) {
            let coding = match token.to_ascii_lowercase().as_str() {
                "identity" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                "zstd" => Coding::Zstd,
                _ => return Err(unknown()),
            };
            codings.push(coding);
        }
    }
    if codings.len() > CODINGS { Err(unknown()) } else { Ok(codings) }
}

/// Whether the body claims to be text, or claims nothing.
fn is_text(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return true };
    let Ok(value) = value.to_str() else { return true };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.is_empty()
        || essence.starts_with("text/")
        || ["json", "xml", "javascript", "x-www-form-urlencoded", "graphql", "yaml"]
            .iter()
            .any(|kind| essence.ends_with(kind))
}

/// The beginnings of gzip, zlib and zstd, none of which begins a text.
fn seems_compressed(bytes: &[u8]) -> bool {
    let magics: [&[u8]; 5] =
        [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd], &[0x78, 0x01], &[0x78, 0x9c], &[0x78, 0xda]];
    magics.iter().any(|magic| bytes.starts_with(magic))
}

fn too_large() -> Refusal {
    Refusal::new(Code::ResponseTooLarge, "the upstream's answer is larger than this service allows")
}

fn withheld(text: &'static str) -> Refusal {
    Refusal::new(Code::UpstreamError, text)
}

/// The body as it comes off the wire, no more of it than is allowed.
struct Raw<'a> {
    link: &'a mut Link,
    body: Inbound,
    chunk: Bytes,
    left: usize,
}

impl AsyncBufRead for Raw<'_> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.chunk.is_empty() {
            let Some(chunk) = ready!(this.link.poll_data(&mut this.body, cx)) else { break };
            let chunk = chunk?;
            let Some(left) = this.left.checked_sub(chunk.len()) else {
                return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
            };
            this.left = left;
            this.chunk = chunk;
        }
        Poll::Ready(Ok(&this.chunk))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.chunk.advance(amount);
    }
}

impl AsyncRead for Raw<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let chunk = ready!(self.as_mut().poll_fill_buf(cx))?;
        let amount = chunk.len().min(buffer.remaining());
        buffer.put_slice(&chunk[..amount]);
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}

/// What one decoder reads: not more than may stand for a body, and not so much at once that the
/// deadline and the other calls have to wait. Encodings of nothing, one after another, keep a decoder
/// busy that has no output to stop at.
struct Paced<'a> {
    reader: Pin<Box<dyn AsyncRead + Send + 'a>>,
    left: usize,
    /// Bytes since the last pause.
    run: usize,
}

/// Bytes that are decoded without a pause.
const PACE: usize = 16 << 10;

impl AsyncRead for Paced<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.run >= PACE {
            self.run = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(self.reader.as_mut().poll_read(cx, buffer))?;
        let read = buffer.filled().len() - before;
        self.run += read;
        match self.left.checked_sub(read) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into())),
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_visible_headers_are_sorted_and_hold_none_that_lead_elsewhere() {
        assert!(VISIBLE.is_sorted());
        for (name, expected) in [
            ("content-type", true),
            ("x-ratelimit-remaining", true),
            ("ratelimit", true),
            ("ratelimit-policy", true),
            ("set-cookie", false),
            ("www-authenticate", false),
            ("alt-svc", false),
            ("refresh", false),
            ("content-encoding", false),
            ("content-length", false),
            ("transfer-encoding", false),
            ("x-ratelimit", false),
        ] {
            assert_eq!(is_visible(&HeaderName::from_static(name)), expected, "{name}");
        }
    }

    #[test]
    fn a_coding_that_is_not_known_withholds_the_body() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, value.parse().unwrap());
            }
            codings(&headers).map_err(|refusal| refusal.code)
        };
        assert_eq!(of(&[]), Ok(vec![]));
        assert_eq!(of(&["identity"]), Ok(vec![]));
        assert_eq!(of(&["identity, GZip"]), Ok(vec![Coding::Gzip]));
        assert_eq!(of(&["deflate", "br"]), Ok(vec![Coding::Deflate, Coding::Brotli]));
        assert_eq!(of(&["gzip, gzip, gzip"]), Err(Code::UpstreamError));
        assert_eq!(of(&["compress"]), Err(Code::UpstreamError));
        assert_eq!(of(&["gzip;q=1"]), Err(Code::UpstreamError));
    }
}
