//! A body as it comes off the wire, with its codings taken off, in pieces.
//!
//! Redaction sees plaintext or the body is withheld (RR-05). Of a body, whatever its length, one chunk
//! of what is encoded and one piece of what is decoded are held; what is done with the pieces is a
//! matter of the [`Sink`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use async_compression::zstd::DParameter;
use bytes::{Buf as _, Bytes};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use strongroom_model::code::{Code, Refusal};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader, ReadBuf,
};

use crate::link::{Inbound, Link};
use crate::watch::Pulse;

/// Content codings of one response at the most.
const CODINGS: usize = 2;

/// Largest window of zstd, 8 MiB (RFC 9659 §3).
const ZSTD_WINDOW_LOG: u32 = 23;

/// Bytes of a decoded piece at the most.
const PIECE: usize = 32 << 10;

/// Takes the pieces of a body, in order.
pub(crate) trait Sink: Send {
    /// Takes a piece, or says why it takes no more.
    fn take(&mut self, piece: &[u8]) -> impl Future<Output = Result<(), Stop>> + Send;
}

/// Why a body was not read to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The sink has what it wants.
    Enough,
    /// It is larger than is allowed.
    TooLarge,
    /// It breaks off, or does not decode.
    Broken,
    /// It has a coding that it does not name.
    Unlabelled,
    /// It cannot be kept here.
    Unkept,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::FileTooLarge { Self::TooLarge } else { Self::Broken }
    }
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::TooLarge => Self::new(
                Code::ResponseTooLarge,
                "the upstream's answer is larger than this service allows",
            ),
            Stop::Enough | Stop::Broken => {
                withheld("the upstream's answer broke off or does not decode")
            }
            Stop::Unlabelled => withheld("the upstream's answer is compressed and does not say so"),
            Stop::Unkept => Self::new(
                Code::UpstreamError,
                "the upstream's answer could not be written to a file here",
            ),
        }
    }
}

/// A body that is about to be read.
pub(crate) struct Coded<'a> {
    raw: Raw<'a>,
    codings: Vec<Coding>,
    is_text: bool,
    cap: u64,
}

impl<'a> Coded<'a> {
    /// The body of the response with `headers`. `cap`: decoded bytes.
    ///
    /// # Errors
    ///
    /// `upstream_error` where it has a coding that we do not know.
    pub(crate) fn new(
        link: &'a mut Link,
        headers: &HeaderMap,
        body: Inbound,
        cap: u64,
        pulse: Pulse,
    ) -> Result<Self, Refusal> {
        let codings = codings(headers)?;
        let raw = Raw { link, body, chunk: Bytes::new(), left: encoded_cap(cap), pulse };
        Ok(Self { raw, codings, is_text: is_text(headers), cap })
    }

    /// The same, if it does not say that it is larger than the cap.
    ///
    /// # Errors
    ///
    /// `response_too_large`.
    pub(crate) fn fitting(self) -> Result<Self, Refusal> {
        if self.expected() as u64 > self.cap { Err(Stop::TooLarge.into()) } else { Ok(self) }
    }

    /// Decoded bytes that are to come at the least, as far as is known.
    pub(crate) fn expected(&self) -> usize {
        if self.codings.is_empty() { self.raw.body.expected() } else { 0 }
    }

    /// Hands the whole body to `sink`.
    pub(crate) async fn read(mut self, sink: &mut impl Sink) -> Result<(), Stop> {
        let mut start = Start::new(self.is_text);
        let pulse = self.raw.pulse.clone();
        // A response to HEAD, a 204 and a 304 name codings of a body that is not there.
        if self.codings.is_empty() || self.raw.fill_buf().await?.is_empty() {
            loop {
                let chunk = self.raw.fill_buf().await?;
                if chunk.is_empty() {
                    return Ok(());
                }
                start.look(chunk)?;
                sink.take(chunk).await?;
                let read = chunk.len();
                self.raw.consume(read);
            }
        }
        {
            let mut reader: Pin<Box<dyn AsyncRead + Send + '_>> = Box::pin(&mut self.raw);
            // The coding that was applied last stands last and comes off first (RFC 9110 §8.4).
            for coding in self.codings.iter().rev() {
                let paced = Paced { reader, left: encoded_cap(self.cap), run: 0 };
                reader = coding.decoder(BufReader::new(paced)).await?;
            }
            let mut piece = vec![0; PIECE];
            loop {
                let read = reader.read(&mut piece).await?;
                if read == 0 {
                    break;
                }
                start.look(&piece[..read])?;
                sink.take(&piece[..read]).await?;
                // It is us who take the time.
                pulse.beat();
            }
        }
        if self.raw.fill_buf().await?.is_empty() { Ok(()) } else { Err(Stop::Broken) }
    }
}

/// The first bytes of a body that claims to be text: whether they are.
struct Start {
    seen: Vec<u8>,
    is_text: bool,
}

impl Start {
    /// As many as the longest beginning has that is looked for.
    const LENGTH: usize = 4;

    fn new(is_text: bool) -> Self {
        Self { seen: Vec::with_capacity(Self::LENGTH), is_text }
    }

    fn look(&mut self, piece: &[u8]) -> Result<(), Stop> {
        let missing = Self::LENGTH - self.seen.len();
        if self.is_text && missing > 0 {
            self.seen.extend_from_slice(&piece[..piece.len().min(missing)]);
            if seems_compressed(&self.seen) {
                return Err(Stop::Unlabelled);
            }
        }
        Ok(())
    }
}

/// Bytes that may stand for `cap` bytes: what is encoded may be a little larger.
fn encoded_cap(cap: u64) -> u64 {
    cap.saturating_add(cap / 8).saturating_add(64 << 10)
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

fn withheld(text: &'static str) -> Refusal {
    Refusal::new(Code::UpstreamError, text)
}

/// The body as it comes off the wire, no more of it than is allowed.
struct Raw<'a> {
    link: &'a mut Link,
    body: Inbound,
    chunk: Bytes,
    left: u64,
    pulse: Pulse,
}

impl AsyncBufRead for Raw<'_> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.chunk.is_empty() {
            let Some(chunk) = ready!(this.link.poll_data(&mut this.body, cx)) else { break };
            let chunk = chunk?;
            let Some(left) = this.left.checked_sub(chunk.len() as u64) else {
                return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
            };
            this.left = left;
            this.chunk = chunk;
            this.pulse.beat();
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
    left: u64,
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
        match self.left.checked_sub(read as u64) {
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
