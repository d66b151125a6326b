//! Logs and metrics. Metrics are typed handles; no id is ever a label.

mod log;
mod lwm2m;
mod metrics;
mod tls;

pub use log::init_log;
pub(crate) use metrics::{Metrics, PushOutcome, RefusalLabel, SweepLabel};
