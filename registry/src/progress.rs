//! How far a transfer is.

use crate::RegistryError;

/// Whoever wants to know how far a transfer is. It is told from within the transfer, so it must not block.
pub trait Progress: Send + Sync {
    /// A transfer of so many bytes begins.
    fn begins(&self, total_bytes: u64);
    /// So many bytes of it are done. It may be fewer than before, when it had to begin again.
    fn is_at(&self, bytes: u64);
    /// It failed, and is tried again.
    fn again(&self, after: &RegistryError);
}

/// Nobody wants to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begins(&self, _: u64) {}
    fn is_at(&self, _: u64) {}
    fn again(&self, _: &RegistryError) {}
}
