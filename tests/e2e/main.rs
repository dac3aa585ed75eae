//! Tests at the e2e level.
