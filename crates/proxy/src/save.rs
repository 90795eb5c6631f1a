//! A body on its way into a file: redacted piece by piece, in constant memory.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use strongroom_model::call::Saved;
use strongroom_model::ports::Credentials;
use strongroom_model::redact::{Clean, Redactor, Stream};
use strongroom_seal::hex;
use tokio::task::spawn_blocking;

use crate::decode::{Sink, Stop};
use crate::exchange::{Unfinished, shown};
use crate::fields;

/// Bytes that are written at once.
const BLOCK: usize = 256 << 10;

/// Redactors that one body goes through at the most.
const STAGES: usize = 16;

/// What was found in a body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Markers {
    /// Markers in it.
    pub(crate) redacted: u64,
    /// Handles in it.
    pub(crate) sealed: u64,
}

/// Redacts and writes.
pub(crate) struct Save<'a> {
    credentials: &'a dyn Credentials,
    sealing: Option<fields::Sealing<'a>>,
    fields: Option<fields::Stream<'a>>,
    /// The secrets that were loaded when the body began, and one more for each time that others were
    /// loaded since: an upstream that has just been sent a new one may echo it here.
    stages: Vec<Stream>,
    newest: Arc<Redactor>,
    block: Clean<Vec<u8>>,
    /// Taken while a thread writes.
    file: Option<Unfinished>,
    digest: Context,
    /// Bytes that came.
    read: u64,
    /// Bytes that were written or will be next.
    bytes: u64,
    cap: u64,
}

impl<'a> Save<'a> {
    /// Into `file`. `cap`: bytes before redaction; markers may make them a quarter more.
    pub(crate) fn new(
        credentials: &'a dyn Credentials,
        names: &'a [String],
        marker: &'a str,
        file: Unfinished,
        cap: u64,
    ) -> Self {
        let newest = credentials.redactor();
        Self {
            credentials,
            sealing: None,
            fields: fields::Stream::new(names, marker),
            stages: vec![Arc::clone(&newest).into_stream()],
            newest,
            block: Clean::default(),
            file: Some(file),
            digest: Context::new(&SHA256),
            read: 0,
            bytes: 0,
            cap,
        }
    }

    /// Keeps what the body mints.
    pub(crate) fn seal(&mut self, sealing: Option<fields::Sealing<'a>>) {
        self.sealing = sealing;
    }

    /// Bytes of the body so far.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    /// Writes the rest and gives the file its name; says what is in it, too.
    pub(crate) async fn finish(mut self) -> Result<(Saved, Markers), Stop> {
        let mut markers = Markers::default();
        if let Some(sealing) = self.sealing.take() {
            let (rest, sealed, redacted) = sealing.finish();
            markers = Markers { redacted, sealed };
            self.pass(&rest)?;
        }
        if let Some(fields) = self.fields.take() {
            let (rest, count) = fields.finish();
            markers.redacted += count;
            self.redact(&rest);
        }
        let mut rest = Clean::<Vec<u8>>::default();
        for mut stage in std::mem::take(&mut self.stages) {
            let mut out = Clean::default();
            stage.push(rest.get(), &mut out);
            markers.redacted += stage.finish(&mut out);
            rest = out;
        }
        self.block.append(&mut rest);
        self.flush().await?;
        let sha256 = hex(self.digest.finish().as_ref());
        let file = self.file.ok_or(Stop::Unkept)?;
        let path = file.finish().map_err(|_| Stop::Unkept)?;
        Ok((Saved { path: shown(&path), bytes: self.bytes, sha256 }, markers))
    }

    /// Takes a piece that holds nothing newly minted any more, through everything else.
    fn pass(&mut self, piece: &[u8]) -> Result<(), Stop> {
        let newest = self.credentials.redactor();
        if !Arc::ptr_eq(&newest, &self.newest) {
            if self.stages.len() >= STAGES {
                return Err(Stop::Broken);
            }
            self.newest = Arc::clone(&newest);
            self.stages.push(newest.into_stream());
        }
        if let Some(fields) = &mut self.fields {
            let decided = fields.push(piece).ok_or(Stop::Broken)?;
            self.redact(&decided);
        } else {
            self.redact(piece);
        }
        Ok(())
    }

    fn redact(&mut self, piece: &[u8]) {
        let mut stages = self.stages.iter_mut();
        let Some(first) = stages.next() else { return };
        let mut out = Clean::default();
        first.push(piece, &mut out);
        for stage in stages {
            let before = std::mem::take(&mut out);
            stage.push(before.get(), &mut out);
        }
        self.block.append(&mut out);
    }

    async fn flush(&mut self) -> Result<(), Stop> {
        let block = std::mem::take(&mut self.block);
        self.digest.update(block.get());
        self.bytes += block.get().len() as u64;
        if self.bytes > self.cap.saturating_add(self.cap / 4) {
            return Err(Stop::TooLarge);
        }
        let mut file = self.file.take().ok_or(Stop::Unkept)?;
        // The thread has the file: where nobody waits any more it is removed when the write is done.
        let written = spawn_blocking(move || file.write(&block).map(|()| file)).await;
        self.file = Some(written.map_err(|_| Stop::Unkept)?.map_err(|_| Stop::Unkept)?);
        Ok(())
    }
}

impl Sink for Save<'_> {
    async fn take(&mut self, piece: &[u8]) -> Result<(), Stop> {
        self.read += piece.len() as u64;
        if self.read > self.cap {
            return Err(Stop::TooLarge);
        }
        match &mut self.sealing {
            Some(sealing) => {
                let decided = sealing.push(piece).ok_or(Stop::Broken)?;
                self.pass(&decided)?;
            }
            None => self.pass(piece)?,
        }
        if self.block.get().len() >= BLOCK { self.flush().await } else { Ok(()) }
    }
}
