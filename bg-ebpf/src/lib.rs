//! What happens to a packet, as ordinary code: it compiles for the host, where it is tested, and for
//! the kernel, where `main.rs` gives it real packets and real tables. It knows neither.
//!
//! In the order of a packet's way: [`view`] and [`tables`] are the two seams to the outside;
//! [`parse`] reads the headers, or, where they are rare, [`walk`] does; [`recent`] knows what was decided a moment ago; else
//! [`decide`] chooses where the packet belongs, or [`reply`] whom it answers, or [`rare`] either, asking [`fate`] whether
//! its flow may stay there; [`rewrite`] changes it and mends its checksums with [`checksum`], or [`reset`] makes the
//! answer of it that ends its connection. [`nat`] replaces the client, too, where the backend is to answer the gateway;
//! [`local`] decides for sockets of the gateway's own processes; [`icmp`] does all of
//! this for errors about other packets.

#![no_std]

pub mod checksum;
pub mod choose;
pub mod decide;
pub mod fate;
pub mod hash;
pub mod icmp;
pub mod local;
pub mod nat;
mod note;
pub mod packet;
pub mod parse;
pub mod rare;
pub mod recent;
pub mod reply;
pub mod reset;
pub mod rewrite;
pub mod tables;
pub mod view;
pub mod walk;

pub use decide::{Way, forward, zone};
pub use packet::Packet;
pub use parse::{Detour, parse};
pub use rare::{forward_rare, reply_rare, zone_rare};
pub use reply::reply;
pub use reset::reset;
pub use rewrite::{Hop, Rewrite};
pub use tables::{Nat, Pin, Sockets, Tables};
pub use view::View;
pub use walk::parse_rare;
