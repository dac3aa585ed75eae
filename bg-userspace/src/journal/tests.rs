//! The journal as its users know it.
