//! Which addresses are public: the rest lies on the host, in its network, or nowhere.
//!
//! Pure. After IANA's special-purpose registries (RFC 6890 and what updated it) and the fixed addresses
//! of cloud metadata services. It must never take an address for public because of how it is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is if it is not a public one; absent if it is.
pub(super) fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    }
}

/// Whether a *name* that a human gave a session may lead to an address of this kind: one of the host's or of its
/// network's. What else is not public is given by its address or not at all.
pub(super) fn may_be_named(kind: &str) -> bool {
    matches!(kind, "loopback" | "private" | "shared by a carrier")
}

fn v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("this network"),
        [127, ..] => Some("loopback"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some("private"),
        [100, 64..=127, ..] => Some("shared by a carrier"),
        [169, 254, 169, 254] | [168, 63, 129, 16] => Some("cloud metadata"),
        [169, 254, ..] => Some("link-local"),
        [192, 0, 0, _] | [192, 88, 99, _] => Some("reserved"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some("documentation"),
        [198, 18..=19, ..] => Some("benchmarking"),
        [224..=239, ..] => Some("multicast"),
        [240..=255, ..] => Some("reserved"),
        _ => None,
    }
}

fn v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(inner) = carried(address) {
        return v4(inner).or(Some("an IPv4 address in IPv6"));
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [0xfc00..=0xfdff, ..] => Some("private"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Some("documentation"),
        // Protocol assignments, Teredo among them.
        [0x2001, 0..=0x01ff, ..] => Some("reserved"),
        // Global unicast; what lies outside is not in use, or is for one site.
        [0x2000..=0x3fff, ..] => None,
        _ => Some("reserved"),
    }
}

/// The IPv4 address in an IPv6 one: mapped, compatible, NAT64 (RFC 6052) or 6to4. No name has to be
/// resolved to one of those.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        // Unspecified and loopback are named as such.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(of(high, low)),
        [0x0064, 0xff9b, 0 | 1, _, _, _, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_name_never_leads_to_a_metadata_service() {
        let named = |text: &str| not_public(text.parse().unwrap()).is_some_and(may_be_named);
        for ours in [
            "127.0.0.1",
            "::1",
            "10.0.0.1",
            "192.168.1.1",
            "fd12::1",
            "100.64.0.1",
        ] {
            assert!(named(ours), "{ours}");
        }
        for never in [
            "169.254.169.254",
            "169.254.0.1",
            "168.63.129.16",
            "fe80::1",
            "198.18.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ] {
            assert!(!named(never), "{never}");
        }
    }

    #[test]
    fn only_public_addresses_are_public() {
        for public in [
            "1.1.1.1",
            "140.82.121.4",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert_eq!(not_public(public.parse().unwrap()), None, "{public}");
        }
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "169.254.1.1",
            "100.64.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "198.18.0.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "203.0.113.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "100::1",
            "5f00::1",
        ] {
            assert!(not_public(private.parse().unwrap()).is_some(), "{private}");
        }
    }
}
