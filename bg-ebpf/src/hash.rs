//! Where on a ring a flow lands.

use bg_common::{Addr, Port};

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads clients evenly over 32 bits. Only address and port go in: a packet whose pin is gone lands
/// where its flow's first packet did, as long as word and ring are the same.
#[inline(always)]
#[must_use]
pub const fn client(addr: &Addr, port: Port) -> u32 {
    let [high, low] = addr.longs();
    let mut mix = low ^ high.rotate_left(23) ^ u16::from_ne_bytes(port.to_wire()) as u64;
    mix = mix.wrapping_mul(ODD);
    mix ^= mix >> 32;
    mix = mix.wrapping_mul(ODD);
    (mix >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flows per bucket stay within 6 standard deviations of even.
    fn assert_even(flows: impl Iterator<Item = (Addr, u16)>) {
        const BUCKETS: usize = 7;
        let mut counts = [0_u64; BUCKETS];
        for (addr, port) in flows {
            let bucket = (u64::from(client(&addr, port.into())) * BUCKETS as u64) >> 32;
            counts[bucket as usize] += 1;
        }
        let total: u64 = counts.iter().sum();
        let mean = total as f64 / BUCKETS as f64;
        for count in counts {
            assert!((count as f64 - mean).abs() < 6.0 * mean.sqrt(), "{counts:?}");
        }
    }

    #[test]
    fn neighbouring_ports_of_one_client_spread_evenly() {
        assert_even((1024..=u16::MAX).map(|port| (Addr::from_v4([192, 0, 2, 7]), port)));
    }

    #[test]
    fn neighbouring_clients_with_one_port_spread_evenly() {
        assert_even((0..=u16::MAX).map(|n| {
            let [high, low] = n.to_be_bytes();
            (Addr::from_v4([10, 0, high, low]), 40_000)
        }));
        assert_even((0..=u16::MAX).map(|n| {
            let [high, low] = n.to_be_bytes();
            (Addr::from_v6([0x20, 1, 0xd, 0xb8, 0, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 1]), 40_000)
        }));
    }
}
