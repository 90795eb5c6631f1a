//! Signs requests to clouds and exchanges. Pure: what is signed, and when, is given.

pub mod escape;
pub mod hmac;
pub mod jwt;
pub mod oauth1;
pub mod sigv4;
