//! The harness of the tests and of the demo: networks made of namespaces, servers that stamp their
//! answers, clients that record what they see, and what passes on the wire.

pub mod clock;
pub mod netns;
pub mod process;
pub mod run;
pub mod servers;
pub mod topology;
pub mod traffic;
pub mod wait;
