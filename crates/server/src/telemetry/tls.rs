//! Metrics of the listeners' certificates.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listener {
    listener: &'static str,
}

/// See the module.
pub(crate) struct TlsMetrics {
    not_after: Family<Listener, Gauge>,
    /// New certificates that were taken.
    pub(crate) changed: Counter,
    /// Files that could not be.
    pub(crate) failed: Counter,
}

impl TlsMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let not_after = Family::default();
        registry.register(
            "tls_certificate_not_after_seconds",
            "When the certificate of a listener ends, since 1970",
            not_after.clone(),
        );
        let mut counter = |name: &str, help: &str| super::metrics::counter(registry, name, help);
        Self {
            not_after,
            changed: counter(
                "tls_reloads",
                "New certificates of listeners that were taken into use",
            ),
            failed: counter(
                "tls_reloads_failed",
                "Looks at certificates of listeners that found something wrong",
            ),
        }
    }

    /// Shows when a listener's certificate ends.
    pub(crate) fn show(&self, listener: &'static str, not_after: i64) {
        self.not_after
            .get_or_create(&Listener { listener })
            .set(not_after);
    }
}
