//! What holds for all ICMP errors, whatever they quote.

use bg_common::{Colour, Flow, Proto, Reason, Via, Word};
use bg_tests::capture::{Checksum, Packet};
use bg_tests::cases::{Case, Hook, Outcome};
use bg_tests::host::{Fake, Frame, run};
use bg_tests::packet::{self, flag};
use bg_tests::world::{Family, In, PinRow, WEB, WEB_BLUE, World};
use proptest::prelude::*;
use std::net::IpAddr;

/// Offsets of what depends on addresses and ports, in the order of the headers: the error's own header checksum and
/// addresses, its checksum, then those of the quoted packet, its ports, and its TCP checksum.
fn may_change(family: Family) -> Vec<std::ops::Range<usize>> {
    match family {
        Family::V4 => vec![24..34, 36..38, 52..54, 54..62, 62..66, 78..80],
        Family::V6 => vec![22..54, 56..58, 70..102, 102..106, 118..120],
    }
}

fn case(family: Family, hook: Hook, packet: Vec<u8>) -> Case {
    Case {
        name: String::new(),
        hook,
        word: Word::initial(Colour::Blue),
        before: vec![
            PinRow::new(In::Established, family, Proto::TCP, WEB, WEB_BLUE).state(Flow::ANSWERED).age(20),
        ],
        packet,
        outcome: Outcome::Untouched,
        reasons: Vec::new(),
        after: Vec::new(),
        earlier: Vec::new(),
        whole: false,
    }
}

proptest! {
    #[test]
    fn every_translated_error_has_right_checksums_and_leaves_the_pin_alone(
        v6 in any::<bool>(),
        to_slice in any::<bool>(),
        from_backend in any::<bool>(),
        kind in 0..5_usize,
        word in any::<[u8; 4]>(),
        transport in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let (client, vip, blue) = (family.client(), family.vip(1, 80), family.backend(WEB_BLUE));
        let (from, to, hook) =
            if to_slice { (vip, client, Hook::ToSlice) } else { (client, blue, Hook::ToClient) };
        let header = if v6 { 40 } else { 20 };
        let whole = packet::tcp(from, to, flag::ACK, b"");
        let mut quote = whole[14..14 + header + transport.len().min(4)].to_vec();
        quote.extend(transport.iter().skip(4));
        let router: IpAddr = if v6 { "fd00:77::1".parse().unwrap() } else { [172, 16, 0, 1].into() };
        let sender = if from_backend { blue.ip() } else { router };
        let kinds = if v6 { [1, 1, 2, 3, 4] } else { [3, 3, 3, 11, 12] };
        let error = packet::icmp_error(sender, from.ip(), (kinds[kind], 0, word), &quote);

        let case = case(family, hook, error.clone());
        let fake = Fake::new(&World::new(Via::Stack, 0), case.word, &case.before);
        let mut frame = Frame(error.clone());
        match run(&fake, hook, &mut frame) {
            Outcome::Untouched => {
                prop_assert_eq!(fake.reasons(), [Reason::IcmpQuote]);
                prop_assert_eq!(&frame.0, &error);
            }
            Outcome::Becomes(after) => {
                prop_assert_eq!(fake.reasons(), [Reason::IcmpError]);
                let seen = Packet::parse("", false, &after, false);
                prop_assert_eq!(seen.checksum, Checksum::Good);
                prop_assert_eq!(after.len(), error.len());
                let mut allowed = may_change(family).into_iter().flatten();
                for (at, (new, old)) in after.iter().zip(&error).enumerate() {
                    prop_assert!(new == old || allowed.any(|allowed| allowed == at), "offset {}", at);
                }
            }
            other @ (Outcome::Dropped | Outcome::Answered(_)) => prop_assert!(false, "{other:?}"),
        }
        prop_assert_eq!(bg_tests::engine::pins_differ(&case.before, &fake.pins()), "");
    }
}
