//! Which addresses may be dialled.

use std::net::IpAddr;
use std::str::FromStr;

/// An address range, `10.0.0.0/8` or `::1/128`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// Not an address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address range is written `ADDRESS/PREFIX`, as in `127.0.0.1/32`")]
pub struct CidrError;

impl FromStr for Cidr {
    type Err = CidrError;
    fn from_str(_text: &str) -> Result<Self, CidrError> {
        todo!("network")
    }
}
