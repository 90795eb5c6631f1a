//! Which addresses may be dialled.
//!
//! A credential goes to public addresses only, but for the ranges that a service names in
//! `allow_ips`. Addresses of cloud metadata services are refused even then. One bad address spoils
//! the whole answer of a name server: whoever mixes them is up to something (SS-05).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::code::{Code, Refusal};

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

/// Checks every address that a name stands for, and returns them in the form to dial.
///
/// # Errors
///
/// `destination_denied` if one of them is special and not in `allow`, or a metadata address;
/// `upstream_error` where there is none.
pub fn vet(addresses: &[IpAddr], allow: &[Cidr]) -> Result<Vec<IpAddr>, Refusal> {
    if addresses.is_empty() {
        return Err(Refusal::new(Code::UpstreamError, "the host has no address"));
    }
    let vetted: Vec<IpAddr> = addresses.iter().map(IpAddr::to_canonical).collect();
    for &address in &vetted {
        let judged = embedded(address).unwrap_or(address);
        if is_metadata(judged) {
            return Err(denied("the host has the address of a metadata service"));
        }
        let allowed = allow.iter().any(|range| range.contains(address) || range.contains(judged));
        if is_special(judged) && !allowed {
            return Err(denied("the host has an address that is not public"));
        }
    }
    Ok(vetted)
}

/// Checks a host before it is looked up.
///
/// # Errors
///
/// `destination_denied` for the name of a metadata service, and for `localhost` and the names
/// below it unless `allow` covers loopback.
pub fn check_host(host: &str, allow: &[Cidr]) -> Result<(), Refusal> {
    if is_refused_host(host) {
        return Err(denied("the host is a metadata service"));
    }
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let covered = allow.iter().any(|range| loopback.iter().any(|&ip| range.contains(ip)));
    if is_below(host, "localhost") && !covered {
        return Err(denied("the host is this machine, which `allow_ips` does not cover"));
    }
    Ok(())
}

/// Whether `host` is the name of a metadata service.
pub fn is_refused_host(host: &str) -> bool {
    const NAMES: [&str; 5] = [
        "metadata.google.internal",
        "metadata.goog",
        "metadata",
        "instance-data",
        "instance-data.ec2.internal",
    ];
    NAMES.iter().any(|name| is_below(host, name))
}

impl Cidr {
    /// Whether `address` is in the range. An IPv4-mapped address counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => in_v4((net, self.prefix), address),
            (IpAddr::V6(net), IpAddr::V6(address)) => in_v6((net, self.prefix), address),
            _ => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// Takes canonical spellings only; bits behind the prefix have to be zero.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, digits) = text.split_once('/').ok_or(CidrError)?;
        let address: IpAddr = address.parse().map_err(|_| CidrError)?;
        let prefix: u8 = digits.parse().map_err(|_| CidrError)?;
        let zero = match address {
            IpAddr::V4(ip) => prefix <= 32 && ip.to_bits() & !mask_v4(prefix) == 0,
            IpAddr::V6(ip) => prefix <= 128 && ip.to_bits() & !mask_v6(prefix) == 0,
        };
        // An IPv4-mapped range would never match, since addresses are made canonical first.
        if zero && prefix.to_string() == digits && address == address.to_canonical() {
            Ok(Self { address, prefix })
        } else {
            Err(CidrError)
        }
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Refused whatever a service allows (SS-01): AWS, its ECS and EKS, Alibaba, Azure, Oracle,
/// `OpenStack`.
fn is_metadata(address: IpAddr) -> bool {
    const V4: [Ipv4Addr; 6] = [
        Ipv4Addr::new(169, 254, 169, 254),
        Ipv4Addr::new(169, 254, 170, 2),
        Ipv4Addr::new(169, 254, 170, 23),
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(192, 0, 0, 192),
    ];
    const V6: [Ipv6Addr; 3] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    ];
    match address {
        IpAddr::V4(ip) => V4.contains(&ip),
        IpAddr::V6(ip) => V6.contains(&ip),
    }
}

/// The IPv4 address within the well-known NAT64 prefix, `64:ff9b::/96` (RFC 6052, decision 36).
fn embedded(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V6(ip) if in_v6((Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96), ip) => {
            let [.., a, b, c, d] = ip.octets();
            Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        }
        _ => None,
    }
}

/// The special-purpose registries of IANA (RFC 6890 and its successors).
///
/// Of IPv6, only `2000::/3` is handed out as global unicast: everything else is special, which
/// covers `::`, `::1`, the IPv4-compatible addresses, `64:ff9b:1::/48`, `100::/64`, `5f00::/16`,
/// `fc00::/7`, `fe80::/10`, `fec0::/10` and `ff00::/8`.
fn is_special(address: IpAddr) -> bool {
    const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> (Ipv4Addr, u8) {
        (Ipv4Addr::new(a, b, c, 0), prefix)
    }
    const fn v6(a: u16, b: u16, prefix: u8) -> (Ipv6Addr, u8) {
        (Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
    }
    const V4: [(Ipv4Addr, u8); 15] = [
        v4(0, 0, 0, 8),
        v4(10, 0, 0, 8),
        v4(100, 64, 0, 10),
        v4(127, 0, 0, 8),
        v4(169, 254, 0, 16),
        v4(172, 16, 0, 12),
        v4(192, 0, 0, 24),
        v4(192, 0, 2, 24),
        v4(192, 88, 99, 24),
        v4(192, 168, 0, 16),
        v4(198, 18, 0, 15),
        v4(198, 51, 100, 24),
        v4(203, 0, 113, 24),
        v4(224, 0, 0, 4),
        v4(240, 0, 0, 4), // up to 255.255.255.255
    ];
    const GLOBAL: (Ipv6Addr, u8) = v6(0x2000, 0, 3);
    const V6: [(Ipv6Addr, u8); 4] = [
        v6(0x2001, 0, 23),
        v6(0x2001, 0xdb8, 32),
        v6(0x2002, 0, 16), // 6to4
        v6(0x3fff, 0, 20),
    ];
    match address {
        IpAddr::V4(ip) => V4.iter().any(|&range| in_v4(range, ip)),
        IpAddr::V6(ip) => !in_v6(GLOBAL, ip) || V6.iter().any(|&range| in_v6(range, ip)),
    }
}

fn in_v4((net, prefix): (Ipv4Addr, u8), address: Ipv4Addr) -> bool {
    (net.to_bits() ^ address.to_bits()) & mask_v4(prefix) == 0
}

fn in_v6((net, prefix): (Ipv6Addr, u8), address: Ipv6Addr) -> bool {
    (net.to_bits() ^ address.to_bits()) & mask_v6(prefix) == 0
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

/// Whether `host` is `name` or ends in `.name`.
fn is_below(host: &str, name: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn denied(message: &'static str) -> Refusal {
    Refusal::new(Code::DestinationDenied, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vetted(addresses: &[&str], allow: &[&str]) -> Result<Vec<IpAddr>, Code> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        let allow: Vec<Cidr> = allow.iter().map(|range| range.parse().unwrap()).collect();
        vet(&addresses, &allow).map_err(|refusal| refusal.code)
    }

    #[test]
    fn no_special_address_is_dialled_and_its_public_neighbours_are() {
        // First and last of each range, and what lies on either side of it.
        #[rustfmt::skip]
        let special = [
            "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0",
            "100.127.255.255", "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.255.255",
            "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.255", "192.0.2.1", "192.88.99.1",
            "192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.7",
            "203.0.113.5", "224.0.0.1", "239.255.255.255", "240.0.0.0", "255.255.255.255",
            "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.1.2.3",
            "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1", "100:0:0:1::1",
            "2001::1", "2001:1ff:ffff::1", "2001:db8::1", "2002::1", "2002:7f00:1::", "3fff::1",
            "3fff:fff::1", "5f00::1", "fc00::1", "fd12::1", "fe80::1", "febf::1", "fec0::1",
            "ff02::1", "4000::1",
        ];
        for address in special {
            assert_eq!(vetted(&[address], &[]), Err(Code::DestinationDenied), "{address}");
        }
        #[rustfmt::skip]
        let public = [
            "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
            "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255",
            "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0",
            "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.112.255",
            "203.0.114.0", "223.255.255.255", "2001:200::1", "2001:db7::1", "2001:db9::1",
            "2003::1", "2606:4700::1111", "3ffe::1", "3fff:1000::1", "64:ff9b::8.8.8.8",
        ];
        for address in public {
            assert!(vetted(&[address], &[]).is_ok(), "{address}");
        }
    }

    // SS-05
    #[test]
    fn one_bad_address_denies_the_whole_answer_in_any_order() {
        for answer in [["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], ["8.8.8.8", "::1"]] {
            assert_eq!(vetted(&answer, &[]), Err(Code::DestinationDenied), "{answer:?}");
        }
        assert_eq!(vetted(&["8.8.8.8", "2606:4700::1111"], &[]).unwrap().len(), 2);
        assert_eq!(vetted(&[], &[]), Err(Code::UpstreamError));
    }

    // SS-10
    #[test]
    fn an_exception_covers_its_range_and_nothing_else() {
        assert!(vetted(&["127.0.0.1"], &["127.0.0.1/32"]).is_ok());
        assert!(vetted(&["::ffff:127.0.0.1"], &["127.0.0.1/32"]).is_ok());
        assert!(vetted(&["fd12::1"], &["fd12::/64"]).is_ok());
        assert!(vetted(&["64:ff9b::10.0.0.1"], &["10.0.0.0/8"]).is_ok());
        for address in ["127.0.0.2", "10.0.0.1", "::1"] {
            assert!(vetted(&[address], &["127.0.0.1/32"]).is_err(), "{address}");
        }
    }

    // SS-01
    #[test]
    fn metadata_services_are_refused_whatever_is_allowed() {
        #[rustfmt::skip]
        let metadata = [
            "169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254",
            "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192",
        ];
        for address in metadata {
            assert_eq!(vetted(&[address], &["0.0.0.0/0", "::/0"]), Err(Code::DestinationDenied));
        }
        assert!(vetted(&["169.254.169.253"], &["0.0.0.0/0"]).is_ok());
        for host in ["metadata.google.internal", "METADATA.google.internal.", "metadata"] {
            assert!(is_refused_host(host), "{host}");
            assert!(check_host(host, &["0.0.0.0/0".parse().unwrap()]).is_err(), "{host}");
        }
        for host in ["api.test", "mymetadata.goog", "google.internal"] {
            assert!(check_host(host, &[]).is_ok(), "{host}");
        }
    }

    // SS-03
    #[test]
    fn localhost_is_accepted_only_where_loopback_is() {
        let loopback = ["127.0.0.1/32".parse().unwrap()];
        let other = ["10.0.0.0/8".parse().unwrap()];
        for host in ["localhost", "localhost.", "a.localhost", "LOCALHOST"] {
            assert!(check_host(host, &loopback).is_ok(), "{host}");
            assert!(check_host(host, &other).is_err(), "{host}");
        }
        assert!(check_host("notlocalhost", &[]).is_ok());
    }

    #[test]
    fn a_range_is_written_in_one_way() {
        for good in ["127.0.0.1/32", "10.0.0.0/8", "0.0.0.0/0", "::1/128", "fd00::/8", "::/0"] {
            assert_eq!(good.parse::<Cidr>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "127.0.0.1",
            "127.0.0.1/",
            "127.0.0.1/33",
            "127.0.0.1/+8",
            "127.0.0.1/032",
            "10.0.0.1/8",
            "0x7f.1/32",
            "127.1/32",
            "::1/129",
            "::ffff:10.0.0.0/104",
            "localhost/32",
            "10.0.0.0/8 ",
        ] {
            assert_eq!(bad.parse::<Cidr>(), Err(CidrError), "{bad:?}");
        }
    }
}
