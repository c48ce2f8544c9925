//! What counts as an address of the public internet: one list for all who connect somewhere on a stranger's word. It
//! resolves nothing and connects to nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of the public internet's. Everything else (private, loopback, link-local, shared, multicast,
/// documentation, and IPv6 forms that carry an IPv4 address which is not public) is refused.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let refused = matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)             // this network, private, loopback
            | (100, 64..=127, _)         // shared (carrier-grade NAT)
            | (169, 254, _)              // link-local, cloud metadata
            | (172, 16..=31, _)          // private
            | (192, 0, 0)                // protocol assignments
            | (192, 0, 2)                // documentation
            | (192, 31, 196)             // AS112
            | (192, 52, 193)             // AMT
            | (192, 88, 99)              // 6to4 relays
            | (192, 168, _)              // private
            | (192, 175, 48)             // AS112
            | (198, 18..=19, _)          // benchmarks
            | (198, 51, 100)             // documentation
            | (203, 0, 113)              // documentation
            | (224..=255, _, _) // multicast, reserved, broadcast
    );
    !refused
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let last_v4 = || Ipv4Addr::from(((u32::from(s[6])) << 16) | u32::from(s[7]));
    match s {
        // Mapped: the connection is an IPv4 one.
        [0, 0, 0, 0, 0, 0xffff, _, _] => is_public_v4(last_v4()),
        // NAT64 carries an IPv4 address to the other side.
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => is_public_v4(last_v4()),
        // 6to4 too.
        [0x2002, hi, lo, ..] => is_public_v4(Ipv4Addr::from((u32::from(hi) << 16) | u32::from(lo))),
        // Protocol assignments (Teredo, ORCHID …), documentation, segment routing.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] | [0x5f00, ..] => false,
        // Only 2000::/3 is global unicast; loopback, link-local, unique local, multicast, local NAT64 are outside of it.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_public_are_refused() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:0a00:1::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "100::1",
            "5f00::1",
        ];
        for address in refused {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in
            ["1.1.1.1", "157.240.1.1", "100.63.0.1", "172.32.0.1", "2a03:2880::1", "::ffff:1.1.1.1", "64:ff9b::101:101"]
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }
}
