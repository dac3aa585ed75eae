//! The harness of the tests and of the demo.
