//! An API that answers at once: it does nothing but say back the path that it was asked for.

use std::{
    convert::Infallible,
    error::Error,
    io::Write as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, runtime};

/// Serves until the process is killed. Answers only who brings the key.
pub(crate) fn serve(key: &str) -> Result<Value, Box<dyn Error>> {
    let expected: Arc<str> = format!("Bearer {key}").into();
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", listener.local_addr()?.port());
        std::io::stdout().flush()?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let expected = expected.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let response = answer(&request, &expected);
                    async { Ok::<_, Infallible>(response) }
                });
                let connection = http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service);
                // The client has gone away: so does the connection.
                drop(connection.await);
            });
        }
    })
}

fn answer(request: &Request<Incoming>, expected: &str) -> Response<Said> {
    let mut keys = request.headers().get_all(AUTHORIZATION).iter();
    let mut response = Response::default();
    if keys.next().is_none_or(|key| key != expected) || keys.next().is_some() {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        return response;
    }
    let path = request.uri().path();
    let size = |prefix: &str| path.strip_prefix(prefix).and_then(|size| size.parse().ok());
    if let Some(left) = size("/large/") {
        *response.body_mut() = Said::Pieces { left, told: true };
    } else if let Some(left) = size("/stream/") {
        *response.body_mut() = Said::Pieces { left, told: false };
    } else {
        *response.body_mut() = Said::Whole(Some(format!("{{\"path\":\"{path}\"}}").into()));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
    }
    response
}

/// The body of an answer.
enum Said {
    /// All there is.
    Whole(Option<Bytes>),
    /// Many pieces of the same letter.
    Pieces {
        /// Bytes that are still to come.
        left: u64,
        /// Whether the length is told beforehand.
        told: bool,
    },
}

impl Default for Said {
    fn default() -> Self {
        Self::Whole(None)
    }
}

static PIECE: [u8; 1 << 14] = [b'a'; 1 << 14];

impl Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.get_mut() {
            Self::Whole(text) => text.take(),
            Self::Pieces { left: 0, .. } => None,
            Self::Pieces { left, .. } => {
                let length = usize::try_from(*left).unwrap_or(PIECE.len()).min(PIECE.len());
                let piece = &PIECE[..length];
                *left = left.saturating_sub(PIECE.len() as u64);
                Some(Bytes::from_static(piece))
            }
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
            Self::Pieces { left, told: true } => SizeHint::with_exact(*left),
            Self::Pieces { .. } => SizeHint::default(),
        }
    }
}
