//! What the server holds in memory while something goes on.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_local};

use crate::report::Run;
use crate::world::usage::Usage;

/// It is looked at so often.
const EVERY: Duration = Duration::from_millis(20);

/// Looks from its beginning to its end.
pub(crate) struct Memory {
    pid: u32,
    before: u64,
    peak: Rc<Cell<u64>>,
    looking: JoinHandle<()>,
}

impl Memory {
    pub(crate) fn watch(pid: u32) -> anyhow::Result<Self> {
        let before = Usage::of(pid)?.resident_kib;
        let peak = Rc::new(Cell::new(before));
        let seen = Rc::clone(&peak);
        let looking = spawn_local(async move {
            while let Ok(usage) = Usage::of(pid) {
                seen.set(seen.get().max(usage.resident_kib));
                tokio::time::sleep(EVERY).await;
            }
        });
        Ok(Self {
            pid,
            before,
            peak,
            looking,
        })
    }

    /// Ends it, with what it saw as figures.
    pub(crate) fn tell(self, run: &mut Run) -> anyhow::Result<()> {
        self.end("", run)
    }

    /// The same, of one of several.
    pub(crate) fn tell_as(self, name: &str, run: &mut Run) -> anyhow::Result<()> {
        self.end(&format!("{name}_"), run)
    }

    fn end(self, prefix: &str, run: &mut Run) -> anyhow::Result<()> {
        self.looking.abort();
        let after = Usage::of(self.pid)?.resident_kib;
        let peak = self.peak.get().max(after);
        run.add(format!("{prefix}mib_before"), mib(self.before));
        run.add(format!("{prefix}mib_peak"), mib(peak));
        run.add(format!("{prefix}mib_after"), mib(after));
        run.add(format!("{prefix}mib_grown"), mib(peak) - mib(self.before));
        Ok(())
    }
}

/// Of KiB.
pub(crate) fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
