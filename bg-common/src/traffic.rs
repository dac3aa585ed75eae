//! What one slice carries.

/// Counters of one slice on one CPU; user space adds the CPUs up. 64 bytes: one cache line.
///
/// Bytes are whole frames as the hook sees them, Ethernet header included; a segmentation-offloaded
/// packet counts once for each segment that it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Traffic {
    /// Packets to the slice.
    pub packets_in: u64,
    /// Bytes to the slice.
    pub bytes_in: u64,
    /// Packets from the slice.
    pub packets_out: u64,
    /// Bytes from the slice.
    pub bytes_out: u64,
    /// Flows that were given to the slice.
    pub flows: u64,
    /// Of these, flows that began with a TCP SYN.
    pub handshakes: u64,
    /// Flows to which the slice answered.
    pub answered: u64,
    /// TCP RST packets from the slice.
    pub resets: u64,
}
