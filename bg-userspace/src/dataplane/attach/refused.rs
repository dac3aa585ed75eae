//! What the kernel's refusals to attach mean, and what mends them.

use super::Wanted;
use crate::dataplane::AttachSpec;
use crate::dataplane::load::chain;
use crate::refusal::Refusal;
use aya::programs::ProgramError;

/// The refusal of an attachment.
pub(super) fn attach(wanted: &Wanted<'_>, error: &ProgramError) -> Refusal {
    let AttachSpec { name, .. } = wanted.link;
    let os = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source())
        .find_map(|error| error.downcast_ref::<std::io::Error>())
        .and_then(std::io::Error::raw_os_error);
    let at = format!("{name} ({})", wanted.hook);
    match os {
        Some(libc::EBUSY | libc::EEXIST) => Refusal::new(
            "foreign-program",
            "another XDP program is on this interface, and bg does not replace what is not its own",
            at,
            format!(
                "ip link show {name} names it; remove it with ip link set dev {name} xdp off, or use attach = \"tc\""
            ),
        ),
        Some(libc::ENODEV) => Refusal::new(
            "no-interface",
            "the interface is gone",
            at,
            "bring it back: bgd attaches as soon as it is there",
        ),
        Some(libc::EOPNOTSUPP) => Refusal::new(
            "no-native-xdp",
            "the interface's driver has no XDP",
            at,
            "use attach = \"tc\", or attach = \"xdp-generic\" for a test",
        ),
        Some(libc::ERANGE) => Refusal::new(
            "mtu-too-large",
            "the interface's MTU is larger than its driver takes with XDP",
            at,
            format!("ip link set dev {name} mtu 1500, or use attach = \"tc\""),
        ),
        Some(libc::ENOSPC) => Refusal::new(
            "too-few-queues",
            "the interface has fewer receive queues than its peer has transmit queues, which XDP needs",
            at,
            format!("raise them with ethtool -L {name}, or use attach = \"tc\""),
        ),
        _ => Refusal::new(
            "not-attached",
            format!("the kernel does not attach {}: {}", wanted.program, chain(error)),
            at,
            "bgctl doctor tells what is missing; attach = \"tc\" works on every Ethernet interface",
        ),
    }
}
