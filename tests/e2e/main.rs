//! End to end: real clients and real servers in namespaces, and `bgd` between them. Needs root.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
