//! What a well-behaved upstream answers.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc::UnboundedReceiver;

use super::Shared;

/// What a well-behaved upstream answers.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: ReplyBody,
}

impl Reply {
    /// A status without a body.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: ReplyBody::of(Bytes::new(), 0) }
    }

    /// 200 with a body.
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self::status(200).body(body)
    }

    /// With this body.
    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        Self { body: ReplyBody::of(body.into(), 1), ..self }
    }

    /// With a body of `piece`, `times` over, whose length is stated where `sized` is set.
    #[must_use]
    pub fn repeat(self, piece: impl Into<Bytes>, times: u64, sized: bool) -> Self {
        Self { body: ReplyBody { sized, ..ReplyBody::of(piece.into(), times) }, ..self }
    }

    /// With a body of these pieces, and no length.
    #[must_use]
    pub fn pieces<T: Into<Bytes>>(self, pieces: impl IntoIterator<Item = T>) -> Self {
        let mut pieces: Vec<Bytes> = pieces.into_iter().map(Into::into).collect();
        pieces.reverse();
        Self { body: ReplyBody { pieces, sized: false, ..ReplyBody::of(Bytes::new(), 0) }, ..self }
    }

    /// With a body that does not end where it seems to: nothing more comes.
    #[must_use]
    pub fn and_no_end(mut self) -> Self {
        self.body.endless = true;
        self.body.sized = false;
        self
    }

    /// With a body that is what comes by `from`, up to its end.
    #[must_use]
    pub fn fed(mut self, from: UnboundedReceiver<Bytes>) -> Self {
        self.body.fed = Some(Arc::new(Mutex::new(from)));
        self.body.sized = false;
        self
    }

    /// With a trailer behind the body.
    #[must_use]
    pub fn trailer(mut self, name: &'static str, value: &str) -> Self {
        let value = value.parse().expect("a test's trailers are trailers");
        self.body.trailers.get_or_insert_default().append(name, value);
        self.body.sized = false;
        self
    }

    /// With another header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }
}

/// Pieces, the last one first; then `piece`, `times` over; then trailers, or nothing more and no end.
#[derive(Clone, Debug)]
pub(super) struct ReplyBody {
    pieces: Vec<Bytes>,
    piece: Bytes,
    times: u64,
    trailers: Option<HeaderMap>,
    sized: bool,
    endless: bool,
    fed: Option<Arc<Mutex<UnboundedReceiver<Bytes>>>>,
}

impl ReplyBody {
    fn of(piece: Bytes, times: u64) -> Self {
        Self {
            pieces: Vec::new(),
            piece,
            times,
            trailers: None,
            sized: true,
            endless: false,
            fed: None,
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(piece) = this.pieces.pop() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(left) = this.times.checked_sub(1) {
            this.times = left;
            return Poll::Ready(Some(Ok(Frame::data(this.piece.clone()))));
        }
        if let Some(fed) = &this.fed {
            let mut fed = fed.lock().unwrap_or_else(PoisonError::into_inner);
            return fed.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))));
        }
        if this.endless {
            return Poll::Pending;
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
            && self.times == 0
            && self.trailers.is_none()
            && !self.endless
            && self.fed.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized {
            SizeHint::with_exact(self.times.saturating_mul(self.piece.len() as u64))
        } else {
            SizeHint::default()
        }
    }
}

/// A body that is under way, until it is dropped.
pub(super) struct UnderWay {
    body: ReplyBody,
    shared: Arc<Shared>,
}

impl UnderWay {
    pub(super) fn new(body: ReplyBody, shared: Arc<Shared>) -> Self {
        shared.answers.send_modify(|answers| *answers += 1);
        Self { body, shared }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.shared.answers.send_modify(|answers| *answers -= 1);
    }
}

impl Body for UnderWay {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
