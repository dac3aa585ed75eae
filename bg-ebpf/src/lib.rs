//! What happens to a packet, as ordinary code: it compiles for the host, where it is tested, and for
//! the kernel, where `main.rs` gives it real packets and real tables. It knows neither.
//!
//! In the order of a packet's way: [`view`] and [`tables`] are the two seams to the outside;
//! [`parse`] reads the headers; [`recent`] knows what was decided a moment ago; else [`decide`] chooses where the
//! packet belongs, asking [`fate`] whether its flow may stay there; [`rewrite`] changes it and mends its checksums
//! with [`checksum`], or [`reset`] makes the answer of it that ends its connection.

#![no_std]

pub mod checksum;
pub mod choose;
pub mod decide;
pub mod fate;
pub mod hash;
mod note;
pub mod packet;
pub mod parse;
pub mod recent;
pub mod reset;
pub mod rewrite;
pub mod tables;
pub mod view;

pub use decide::{Way, forward, reply, zone};
pub use packet::Packet;
pub use parse::parse;
pub use reset::reset;
pub use rewrite::{Hop, Rewrite};
pub use tables::{Pin, Tables};
pub use view::View;
