//! Tests at the host level.
