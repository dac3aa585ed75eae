//! What a command touches besides the daemon: where it prints, and the kernel. Tests bring their own.

use crate::dataplane::{self, Dataplane, Detached};
use crate::refusal::Refusal;
use std::io::Write;

/// The surroundings of a command.
pub struct Env<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// Whether to colour what is printed.
    pub colour: bool,
    /// The kernel's pinned tables.
    pub kernel: &'a dyn Kernel,
}

/// The way to the data plane without the daemon.
pub trait Kernel {
    /// Opens what is pinned of `instance`.
    ///
    /// # Errors
    ///
    /// When there is nothing, or it is of another version.
    fn open(&self, instance: &str) -> Result<Box<dyn Dataplane>, Refusal>;

    /// Takes down what is pinned of `instance`.
    ///
    /// # Errors
    ///
    /// When a daemon runs the instance, or a pin cannot be removed.
    fn remove(&self, instance: &str) -> Result<Detached, Refusal>;
}

/// This machine's kernel.
pub struct ThisKernel;

impl Kernel for ThisKernel {
    fn open(&self, instance: &str) -> Result<Box<dyn Dataplane>, Refusal> {
        Ok(Box::new(dataplane::kernel::Kernel::open_pinned(instance)?))
    }

    fn remove(&self, instance: &str) -> Result<Detached, Refusal> {
        dataplane::kernel::Kernel::remove(instance)
    }
}
