//! Signs requests to clouds. Pure: what is signed, and when, is given.

pub mod jwt;
pub mod sigv4;
