//! Where on a ring a flow lands, and which share of all clients it is in.

use bg_common::{Addr, Port};

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
const OTHER_ODD: u64 = 0xc2b2_ae3d_27d4_eb4f;
const SALT: u64 = 0x5851_f42d_4c95_7f2d;

/// As the canary of a word counts.
const PARTS: u64 = bg_common::Word::ALL as u64;

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

/// Which of 1000 parts of all clients one is in, for shares of them. Which part that is tells nothing about the place on
/// a ring, so that a canary takes from all of a slice's backends and leads to all of the other's.
#[inline(always)]
#[must_use]
pub const fn part(addr: &Addr, port: Port) -> u16 {
    let mut mix = (client(addr, port) as u64 ^ SALT).wrapping_mul(OTHER_ODD);
    mix ^= mix >> 32;
    mix = mix.wrapping_mul(ODD);
    ((mix >> 32).wrapping_mul(PARTS) >> 32) as u16
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

    /// Whole clients, and ports of one.
    fn crowd() -> impl Iterator<Item = (Addr, Port)> {
        let clients = (0..=u16::MAX).map(|n| {
            let [high, low] = n.to_be_bytes();
            (Addr::from_v4([10, 0, high, low]), Port::default())
        });
        clients.chain((1024..=u16::MAX).map(|port| (Addr::from_v4([192, 0, 2, 7]), port.into())))
    }

    #[test]
    fn each_part_has_as_many_clients_as_the_others() {
        const EACH: usize = 1 << 16;
        for skipped in [0, EACH] {
            let mut counts = [0_u32; PARTS as usize];
            let mut total = 0_u32;
            for (addr, port) in crowd().skip(skipped).take(EACH) {
                counts[usize::from(part(&addr, port))] += 1;
                total += 1;
            }
            let mean = f64::from(total) / PARTS as f64;
            // A chi-square of 999 degrees has a mean of 999 and a standard deviation of 45.
            let chi: f64 = counts.iter().map(|count| (f64::from(*count) - mean).powi(2) / mean).sum();
            assert!((700.0..1300.0).contains(&chi), "{chi}");
        }
    }

    #[test]
    fn a_part_tells_nothing_about_the_place_on_a_ring() {
        const PLACES: usize = 16;
        const TENTHS: usize = 10;
        let mut counts = [[0_u32; TENTHS]; PLACES];
        let mut total = 0_u32;
        for (addr, port) in crowd() {
            let place = (u64::from(client(&addr, port)) * PLACES as u64) >> 32;
            counts[place as usize][usize::from(part(&addr, port)) * TENTHS / PARTS as usize] += 1;
            total += 1;
        }
        let mean = f64::from(total) / (PLACES * TENTHS) as f64;
        let chi: f64 = counts.iter().flatten().map(|count| (f64::from(*count) - mean).powi(2) / mean).sum();
        // 159 degrees: a standard deviation of 18.
        assert!(chi < 159.0 + 6.0 * 18.0, "{chi}");
    }
}
