//! Signs requests to clouds and exchanges. Pure: what is signed, and when, is given.

pub mod escape;
pub mod hmac;
pub mod jwt;
pub mod oauth1;
pub mod sigv4;

use aws_lc_rs::digest::{Context, SHA256};

/// The SHA-256 of `pieces`, each with its length, so that no two lists have the same.
pub fn digest(pieces: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for piece in pieces {
        context.update(&(piece.len() as u64).to_be_bytes());
        context.update(piece);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
