//! What the kernel's network configuration says, and the little that bg changes in it: the VIPs and an
//! interface of its own. The only user of netlink. Everything acts in the network namespace of the calling process. Knows
//! neither configuration nor tables; what follows from what is seen here is decided in `wiring`.

pub mod addresses;
pub mod announce;
pub mod links;
pub mod neighbours;
pub mod offload;
pub mod routes;
pub mod survey;
pub mod sysctl;
pub mod tap;
pub mod watch;

use crate::refusal::Refusal;
use futures_util::{Stream, StreamExt};
use nix::errno::Errno;
use rtnetlink::{Error, Handle};
use std::io;
use std::time::Duration;

pub use addresses::{Address, Owned, VipHome};
pub use links::{Link, LinkKind, PeerEnd, Xdp, XdpMode};
pub use neighbours::{Neighbour, NeighbourState};
pub use routes::{Route, RouteTo};
pub use survey::Survey;
pub use tap::Tap;
pub use watch::{Changed, Watch};

/// The kernel answers from memory; one that has not after this long never will.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// An open conversation with the kernel. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Net {
    handle: Handle,
}

impl Net {
    /// Opens a route netlink socket in the current network namespace and serves it by a task of the
    /// current tokio runtime.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the socket.
    pub fn open() -> Result<Self, Refusal> {
        let (connection, handle, _multicast) =
            rtnetlink::new_connection().map_err(|why| no_socket("a route netlink socket", &why))?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }
}

/// The refusal for a socket that cannot be opened.
fn no_socket(what: &str, why: &io::Error) -> Refusal {
    Refusal::new(
        "no-netlink",
        format_args!("cannot open {what}: {why}"),
        "this process's network namespace",
        "run as root, and allow AF_NETLINK and AF_PACKET in the unit (`RestrictAddressFamilies=`)",
    )
}

/// The kernel's error number, if it is the kernel that said no.
fn errno(error: &Error) -> Option<i32> {
    match error {
        Error::NetlinkError(message) => message.to_io().raw_os_error(),
        Error::UnexpectedMessage(_)
        | Error::RequestFailed
        | Error::NamespaceError(_)
        | Error::InvalidHardwareAddress(_)
        | Error::InvalidIp(_)
        | Error::InvalidAddress(..)
        | Error::InvalidNla(_) => None,
    }
}

/// The error as a person reads it.
fn reason(error: &Error) -> String {
    match errno(error) {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

/// Waits for an answer, within bounds: a message that the decoder cannot read is dropped by it, and
/// its request would wait forever.
async fn answer<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(ANSWER_WITHIN, answer).await.unwrap_or(Err(Error::RequestFailed))
}

/// All parts of an answer.
async fn collect<T>(parts: impl Stream<Item = Result<T, Error>>) -> Result<Vec<T>, Error> {
    answer(async {
        let mut parts = std::pin::pin!(parts);
        let mut all = Vec::new();
        while let Some(part) = parts.next().await {
            all.push(part?);
        }
        Ok(all)
    })
    .await
}

/// The refusal for a list that the kernel does not hand out.
fn unreadable(what: &str, command: &str, error: &Error) -> Refusal {
    Refusal::new(
        "netlink-unreadable",
        format_args!("the kernel does not list its {what}: {}", reason(error)),
        "route netlink",
        format_args!("try `{command}`; if that works, restart bgd"),
    )
}
