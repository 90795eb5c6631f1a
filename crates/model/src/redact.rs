//! Finds every loaded secret in what comes back, in the forms that an upstream may echo it in, and
//! puts a marker in its place.
//!
//! The result does not depend on how the bytes were cut into chunks.

use std::sync::Arc;

use bytes::Bytes;

use crate::secret::Secret;

/// Bytes that have passed the redactor. Only this module makes one, and what leaves towards an
/// agent is of this type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clean<T>(T);

impl<T> Clean<T> {
    /// The redacted value.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// Takes the redacted value out.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl From<Clean<Vec<u8>>> for Clean<Bytes> {
    fn from(clean: Clean<Vec<u8>>) -> Self {
        Self(clean.0.into())
    }
}

/// A secret and the name that stands in its marker: `[REDACTED:name]`.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// The service or server that the secret belongs to.
    pub label: String,
    /// The value.
    pub secret: Arc<Secret>,
}

/// Matches every secret it was built from, in every form that we know.
#[derive(Debug, Default)]
pub struct Redactor {
    // to be filled in
}

/// One pass over one stream of bytes.
pub struct Stream<'a> {
    redactor: &'a Redactor,
}

impl Redactor {
    /// Builds the matcher. Work is done here, off the call path, so that streams are cheap.
    pub fn new(secrets: &[Labelled]) -> Self {
        let _ = secrets;
        todo!("redact")
    }

    /// A pass over one stream.
    pub fn stream(&self) -> Stream<'_> {
        Stream { redactor: self }
    }

    /// Redacts a whole value; says how many markers were put.
    pub fn clean(&self, bytes: Vec<u8>) -> (Clean<Vec<u8>>, u64) {
        let _ = bytes;
        todo!("redact")
    }

    /// Redacts text; invalid UTF-8 cannot arise, because markers replace whole forms.
    pub fn clean_text(&self, text: &str) -> (Clean<String>, u64) {
        let _ = text;
        todo!("redact")
    }
}

impl Stream<'_> {
    /// Feeds `chunk`; appends to `out` what is decided.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let _ = (chunk, out, self.redactor);
        todo!("redact")
    }

    /// Ends the stream; appends the rest to `out` and says how many markers were put in all.
    pub fn finish(self, out: &mut Vec<u8>) -> u64 {
        let _ = out;
        todo!("redact")
    }
}
