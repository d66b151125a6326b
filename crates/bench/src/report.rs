//! What a run gave, for people and as JSON.

use std::time::Duration;

/// The value at `share` of sorted times.
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last as f64 * share).round() as usize)
        .copied()
        .unwrap_or_default()
}

/// One run.
pub(crate) struct Report {
    pub(crate) cycles: usize,
    pub(crate) in_flight: usize,
    pub(crate) devices: usize,
    pub(crate) wall: Duration,
    pub(crate) server_cpu: Duration,
    pub(crate) written: u64,
    pub(crate) resident_kib: u64,
    pub(crate) create: Vec<Duration>,
    pub(crate) whole: Vec<Duration>,
    pub(crate) lost: usize,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
    pub(crate) sync_p50: Duration,
}

impl Report {
    /// Sorts the times and prints the run.
    pub(crate) fn print(mut self, json: bool) {
        self.create.sort();
        self.whole.sort();
        let cpu_us = self.server_cpu.as_secs_f64() * 1e6 / self.cycles as f64;
        let ms = |times: &[Duration], share| percentile(times, share).as_secs_f64() * 1e3;
        let value = serde_json::json!({
            "cycles": self.cycles, "in_flight": self.in_flight, "devices": self.devices,
            "cycles_per_s": self.cycles as f64 / self.wall.as_secs_f64(),
            "server_cpu_us_per_cycle": cpu_us,
            "cycles_per_s_per_core": 1e6 / cpu_us,
            "bytes_written_per_cycle": self.written as f64 / self.cycles as f64,
            "resident_kib": self.resident_kib,
            "create_ms": {"p50": ms(&self.create, 0.5), "p99": ms(&self.create, 0.99), "p999": ms(&self.create, 0.999)},
            "result_push_ms": {"p50": ms(&self.whole, 0.5), "p99": ms(&self.whole, 0.99), "p999": ms(&self.whole, 0.999)},
            "sync_ms_p50": self.sync_p50.as_secs_f64() * 1e3,
            "lost": self.lost, "duplicates": self.duplicates, "out_of_order": self.out_of_order,
        });
        if json {
            println!("{value}");
            return;
        }
        for (name, figure) in value.as_object().into_iter().flatten() {
            println!("{name:>24}  {figure}");
        }
    }
}
