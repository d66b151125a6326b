//! The guard over free disk space: looks at the most once a second.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::StoreError;

const FRESH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct DiskGuard {
    dir: PathBuf,
    min_bytes: u64,
    min_percent: u8,
    seen: Mutex<Option<(Instant, bool)>>,
}

impl DiskGuard {
    pub(super) fn new(dir: PathBuf, min_bytes: u64, min_percent: u8) -> Self {
        Self {
            dir,
            min_bytes,
            min_percent,
            seen: Mutex::new(None),
        }
    }

    /// Refuses what adds to the store while there is too little space. Space that cannot be known is enough.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let mut seen = self
            .seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let low = match *seen {
            Some((at, low)) if at.elapsed() < FRESH => low,
            Some(_) | None => {
                let low = space(&self.dir).is_some_and(|space| self.is_low(space));
                *seen = Some((Instant::now(), low));
                low
            }
        };
        if low { Err(StoreError::DiskLow) } else { Ok(()) }
    }

    fn is_low(&self, space: Space) -> bool {
        let share = u128::from(space.total) * u128::from(self.min_percent) / 100;
        u128::from(space.free) < share.max(self.min_bytes.into())
    }
}

/// Bytes of a file system.
#[derive(Debug, Clone, Copy)]
struct Space {
    free: u64,
    total: u64,
}

#[cfg(unix)]
fn space(dir: &std::path::Path) -> Option<Space> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Some(Space {
        free: bytes(stat.f_bavail),
        total: bytes(stat.f_blocks),
    })
}

#[cfg(not(unix))]
fn space(_: &std::path::Path) -> Option<Space> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_reserve_counts() {
        let guard = DiskGuard::new(PathBuf::new(), 50, 10);
        let low = |free, total| guard.is_low(Space { free, total });
        assert!(low(49, 100) && !low(50, 100), "bytes");
        assert!(low(99, 1000) && !low(100, 1000), "per cent");
    }
}
