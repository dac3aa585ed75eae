//! What one slice carries.

use crate::Word;

/// Counters of one slice on one CPU; user space adds the CPUs up ([`Traffic::add`]). 128 bytes: two cache
/// lines, of which packets of open flows touch the first.
///
/// Bytes are whole frames as the hook sees them, Ethernet header included; a segmentation-offloaded
/// packet counts once for each segment that it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Traffic {
    /// Packets to the slice.
    pub packets_in: u64,
    /// Bytes to the slice.
    pub bytes_in: u64,
    /// Packets from the slice.
    pub packets_out: u64,
    /// Bytes from the slice.
    pub bytes_out: u64,
    /// Flows that were given to the slice.
    pub flows: u64,
    /// Of these, flows that began with a TCP SYN.
    pub handshakes: u64,
    /// Flows to which the slice answered.
    pub answered: u64,
    /// TCP RST packets from the slice.
    pub resets: u64,
    /// Flows that began with a TCP SYN and were answered, by other than a RST.
    pub handshakes_answered: u64,
    /// Flows that began with a TCP SYN and got a RST as the first answer.
    pub refused: u64,
    /// `bpf_ktime_get_ns` of the newest flow that was given to the slice; 0 is none. TCP of no known flow
    /// is not new.
    pub last_new_ns: u64,
    /// The same of the oldest in the generation below; 0 is none.
    pub first_new_ns: u64,
    /// Generation of the word that gave the slice its newest flow.
    pub first_new_generation: u64,
    /// Of the flows, those of the gateway's own processes: whether their connections were answered is not known.
    pub local: u64,
    /// Always zero.
    pub zero: [u64; 2],
}

impl Traffic {
    /// Notes that the slice gets a new flow by a word of this generation.
    #[inline(always)]
    pub const fn begins(&mut self, now_ns: u64, generation: u16) {
        self.last_new_ns = now_ns;
        if self.first_new_ns == 0 || self.first_new_generation != generation as u64 {
            self.first_new_ns = now_ns;
            self.first_new_generation = generation as u64;
        }
    }

    /// Adds another CPU's counters.
    pub fn add(&mut self, cpu: &Self) {
        let Self {
            packets_in,
            bytes_in,
            packets_out,
            bytes_out,
            flows,
            handshakes,
            answered,
            resets,
            handshakes_answered,
            refused,
            last_new_ns,
            first_new_ns,
            first_new_generation,
            local,
            zero: _,
        } = cpu;
        self.packets_in += packets_in;
        self.bytes_in += bytes_in;
        self.packets_out += packets_out;
        self.bytes_out += bytes_out;
        self.flows += flows;
        self.handshakes += handshakes;
        self.answered += answered;
        self.resets += resets;
        self.handshakes_answered += handshakes_answered;
        self.refused += refused;
        self.local += local;
        self.last_new_ns = self.last_new_ns.max(*last_new_ns);
        if *first_new_ns == 0 {
            return;
        }
        let newer = is_newer(*first_new_generation, self.first_new_generation);
        if self.first_new_ns == 0 || newer {
            (self.first_new_ns, self.first_new_generation) = (*first_new_ns, *first_new_generation);
        } else if self.first_new_generation == *first_new_generation {
            self.first_new_ns = self.first_new_ns.min(*first_new_ns);
        }
    }
}

/// Whether a generation comes after another, of numbers that go round.
const fn is_newer(one: u64, other: u64) -> bool {
    let ahead = one.wrapping_sub(other) & (Word::GENERATIONS - 1);
    ahead != 0 && ahead < Word::GENERATIONS / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(generation: u64, first_new_ns: u64) -> Traffic {
        Traffic { first_new_ns, first_new_generation: generation, ..Traffic::default() }
    }

    fn sum(cpus: &[Traffic]) -> Traffic {
        let mut sum = Traffic::default();
        cpus.iter().for_each(|cpu| sum.add(cpu));
        sum
    }

    #[test]
    fn the_first_flow_of_a_generation_is_remembered_until_the_next_one() {
        let mut traffic = Traffic::default();
        traffic.begins(100, 0);
        traffic.begins(110, 0);
        assert_eq!((traffic.last_new_ns, traffic), (110, Traffic { last_new_ns: 110, ..first(0, 100) }));
        traffic.begins(120, 3);
        traffic.begins(130, 3);
        assert_eq!(traffic, Traffic { last_new_ns: 130, ..first(3, 120) });
    }

    #[test]
    fn the_first_flow_is_that_of_the_newest_generation_on_any_cpu() {
        let cpus = [first(6, 50), Traffic::default(), first(7, 120), first(7, 110), first(5, 20)];
        for turn in 0..cpus.len() {
            let mut cpus = cpus;
            cpus.rotate_left(turn);
            assert_eq!(sum(&cpus), first(7, 110), "from {turn}");
        }
        assert_eq!(sum(&[first(16_383, 90), first(1, 95)]), first(1, 95), "generations go round");
        assert_eq!(sum(&[first(0, 90), Traffic::default()]), first(0, 90));
    }

    #[test]
    fn counters_of_all_cpus_add_up_and_the_last_flow_is_the_newest() {
        let cpu =
            Traffic { packets_in: 1, refused: 2, handshakes_answered: 3, last_new_ns: 9, ..first(1, 4) };
        let other =
            Traffic { packets_in: 10, refused: 20, handshakes_answered: 30, last_new_ns: 7, ..first(1, 5) };
        let both =
            Traffic { packets_in: 11, refused: 22, handshakes_answered: 33, last_new_ns: 9, ..first(1, 4) };
        assert_eq!(sum(&[cpu, other]), both);
    }
}
