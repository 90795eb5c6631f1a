//! What a request carries.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::upload::Upload;

/// Bytes of a file that are read at once.
const PIECE: usize = 128 << 10;

/// A request body, not yet sent.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// Bytes in memory; none once they are sent.
    Whole(Bytes),
    /// A file.
    File(FileBody),
}

/// What is still to be sent of a file.
#[derive(Debug)]
pub(crate) struct FileBody {
    upload: Upload,
    at: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    /// All of it.
    pub(crate) fn new(upload: Upload) -> Self {
        Self { upload, at: 0, reading: None }
    }

    fn left(&self) -> u64 {
        self.upload.bytes - self.at
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        let (file, at) = (&self.upload.file, self.at);
        let size = usize::try_from(self.left()).map_or(PIECE, |left| left.min(PIECE));
        let reading = self.reading.get_or_insert_with(|| {
            let file = Arc::clone(file);
            spawn_blocking(move || read_piece(&file, at, size))
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let read = read.map_err(io::Error::other).flatten();
        if let Ok(piece) = &read {
            self.at += piece.len() as u64;
        }
        Poll::Ready(Some(read))
    }
}

impl Clone for FileBody {
    fn clone(&self) -> Self {
        Self { upload: self.upload.clone(), at: self.at, reading: None }
    }
}

/// `size` bytes from `at` on, or as many as are read at once: at least one.
fn read_piece(file: &File, at: u64, size: usize) -> io::Result<Bytes> {
    let mut piece = vec![0; size];
    let read = read_at(file, &mut piece, at)?;
    if read == 0 {
        // It became shorter than it was.
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    piece.truncate(read);
    Ok(piece.into())
}

#[cfg(unix)]
fn read_at(file: &File, piece: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, piece, at)
}

#[cfg(windows)]
fn read_at(file: &File, piece: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, piece, at)
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::File(file) => file.poll_piece(cx).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().upper() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::File(file) => file.left(),
        })
    }
}
