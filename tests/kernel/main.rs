//! Tests at the kernel level.
