//! The programs: one entry function per hook, the only places that turn an outcome into an action.
//! For the host this is an empty program, so that the workspace builds as a whole.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod kernel;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
