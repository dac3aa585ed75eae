//! The demo: a cut-over under load, drawn while it happens.

fn main() {}
