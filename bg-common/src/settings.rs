//! What programs have to know of the configuration as a whole.

/// Bits that all programs read. 8 bytes, replaced by one store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Settings(u64);

impl Settings {
    const WHOLE_ADDRESSES: u64 = 1 << 0;

    /// With or without frontends that own a whole address. Without them no program looks for one.
    #[must_use]
    pub const fn with_whole_addresses(self, any: bool) -> Self {
        if any { Self(self.0 | Self::WHOLE_ADDRESSES) } else { Self(self.0 & !Self::WHOLE_ADDRESSES) }
    }

    /// Whether a frontend owns a whole address.
    #[inline(always)]
    #[must_use]
    pub const fn whole_addresses(self) -> bool {
        self.0 & Self::WHOLE_ADDRESSES != 0
    }

    /// The bits as stored.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}
