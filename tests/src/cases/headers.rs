//! Tags, options and extension headers around packets that are decided like any other.

use super::{Case, Hook, begun, web_pin};
use crate::packet::{self, flag, tagged, with_extensions, with_options};
use crate::world::{Family, In, WEB_BLUE};
use bg_common::{Flow, Reason};

const VLAN: [u8; 2] = [0x81, 0x00];
const SERVICE_VLAN: [u8; 2] = [0x88, 0xa8];

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// An extension header of so many times eight bytes: padding (RFC 8200, section 4.2).
fn padding(number: u8, words: u8) -> (u8, Vec<u8>) {
    let mut bytes = vec![0; usize::from(words) * 8];
    bytes.splice(1..4, [words - 1, 1, words * 8 - 4]);
    (number, bytes)
}

fn routing(left: u8) -> (u8, Vec<u8>) {
    (ROUTING, [vec![0, 2, 4, left], vec![0; 20]].concat())
}

pub(super) fn headers(family: Family) -> Vec<Case> {
    let mut dressings: Vec<(String, Box<dyn Fn(Vec<u8>) -> Vec<u8>>)> = vec![
        ("a VLAN tag".to_owned(), Box::new(|frame| tagged(frame, &[VLAN]))),
        ("a service VLAN tag".to_owned(), Box::new(|frame| tagged(frame, &[SERVICE_VLAN]))),
        ("two tags".to_owned(), Box::new(|frame| tagged(frame, &[SERVICE_VLAN, VLAN]))),
    ];
    let mut rows = Vec::new();
    let (client, vip, blue) = (family.client(), family.vip(1, 80), family.backend(WEB_BLUE));
    let to = |at| packet::tcp(client, at, flag::SYN, b"");
    let untouched = |name: &str, packet, reason| Case::new(name, Hook::ToSlice, packet).because(reason);
    rows.push(untouched(
        "three tags are too many",
        tagged(to(vip), &[SERVICE_VLAN, VLAN, VLAN]),
        Reason::Vlan,
    ));
    match family {
        Family::V4 => {
            for len in [4, 8, 40] {
                dressings.push((
                    format!("{len} bytes of options"),
                    Box::new(move |frame| with_options(frame, len)),
                ));
            }
            dressings.push((
                "a tag and options".to_owned(),
                Box::new(|frame| tagged(with_options(frame, 12), &[VLAN])),
            ));
        }
        Family::V6 => {
            let eight = [
                padding(HOP_BY_HOP, 1),
                padding(DESTINATION, 2),
                routing(0),
                (FRAGMENT, vec![0; 8]),
                (AUTHENTICATION, [vec![0, 4], vec![0; 22]].concat()),
                padding(DESTINATION, 1),
                padding(DESTINATION, 3),
                padding(DESTINATION, 1),
            ];
            for header in &eight {
                let header = header.clone();
                let name = format!("{} bytes of the extension header {}", header.1.len(), header.0);
                dressings.push((name, Box::new(move |frame| with_extensions(frame, &[header.clone()]))));
            }
            let mut nine = eight.to_vec();
            nine.push(padding(DESTINATION, 1));
            let all = eight.clone();
            let all_of = move |frame| tagged(with_extensions(frame, &all), &[VLAN]);
            dressings.push(("eight extension headers and a tag".to_owned(), Box::new(all_of)));
            let cut = with_extensions(to(vip), &eight);
            rows.extend([
                untouched(
                    "nine extension headers are too many",
                    with_extensions(to(vip), &nine),
                    Reason::ExtensionHeader,
                ),
                untouched(
                    "extension headers are read so far and no further",
                    with_extensions(to(vip), &[padding(DESTINATION, 31), padding(DESTINATION, 31)]),
                    Reason::ExtensionHeader,
                ),
                untouched(
                    "a packet that is not at its last station is not translated",
                    with_extensions(to(vip), &[routing(1)]),
                    Reason::SourceRoute,
                ),
                untouched(
                    "extension headers past the end of the frame",
                    cut.get(..14 + 40 + 20).unwrap_or_default().to_vec(),
                    Reason::Truncated,
                ),
            ]);
        }
    }
    let from = |at| packet::tcp(at, client, flag::ACK, b"data");
    let pin = web_pin(family, In::Established, WEB_BLUE).state(Flow::ANSWERED);
    for (name, dress) in dressings {
        rows.push(
            Case::new(format!("{name}: a SYN"), Hook::ToSlice, dress(to(vip)))
                .becomes(dress(to(blue)))
                .after([begun(family, WEB_BLUE)]),
        );
        rows.push(
            Case::new(format!("{name}: a reply"), Hook::ToClient, dress(from(blue)))
                .before([pin])
                .becomes(dress(from(vip)))
                .after([pin]),
        );
        rows.push(
            Case::new(format!("{name}: a stranger's"), Hook::ToSlice, dress(from(blue)))
                .because(Reason::NotOurs),
        );
    }
    rows
}
