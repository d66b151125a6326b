//! Instants of the machine: milliseconds on a clock that never goes back. Protocol timers live and die with the process.

/// An instant in milliseconds since a moment that the caller chose once. The caller's clock must be monotonic; the
/// machine takes an earlier instant than the last one for the last one's past and does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// The instant `ms` milliseconds later; the end of time at the most.
    #[must_use]
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The instant `secs` seconds later; the end of time at the most.
    #[must_use]
    pub const fn after_secs(self, secs: u32) -> Self {
        self.after(secs as u64 * 1000)
    }

    /// Milliseconds from `earlier` to `self`; zero if `earlier` is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
