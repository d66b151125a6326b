//! Metrics of the gateway for LwM2M.

use downlink_lwm2m::Counters;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The word of a count, and where it stands.
type Counted = (&'static str, fn(&Counters) -> u64);

/// What the protocol machine counts, by the word that stands in the metric.
const COUNTED: &[Counted] = &[
    ("received", |counters| counters.received),
    ("sent", |counters| counters.sent),
    ("garbage", |counters| counters.garbage),
    ("malformed", |counters| counters.malformed),
    ("bad_requests", |counters| counters.bad_requests),
    ("unknown_token", |counters| counters.unknown_token),
    ("unknown_location", |counters| counters.unknown_location),
    ("stray_acks", |counters| counters.stray_acks),
    ("wrong_peer", |counters| counters.wrong_peer),
    ("duplicates", |counters| counters.duplicates),
    ("reordered", |counters| counters.reordered),
    ("retransmits", |counters| counters.retransmits),
    ("timeouts", |counters| counters.timeouts),
    ("observe_refused", |counters| counters.observe_refused),
    ("answers_withheld", |counters| counters.answers_withheld),
    ("dropped_datagrams", |counters| counters.dropped_datagrams),
    ("dropped_exchanges", |counters| counters.dropped_exchanges),
    ("unanswered", |counters| counters.unanswered),
    ("registrations_full", |counters| counters.registrations_full),
    ("reports_lost", |counters| counters.reports_lost),
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct What {
    what: &'static str,
}

/// See the module.
pub(crate) struct Lwm2mMetrics {
    registrations: Gauge,
    awake: Gauge,
    scripts_waiting: Gauge,
    scripts_lost: Gauge,
    unkept: Gauge,
    messages: Family<What, Counter>,
    dtls: Family<What, Counter>,
    dtls_sessions: Gauge,
    dtls_handshakes: Gauge,
    /// Registrations that were turned away.
    pub(crate) refused: Counter,
    /// Reports beyond what one device may have waiting.
    pub(crate) reports_refused: Counter,
    /// Reports that no codec could read.
    pub(crate) unread: Counter,
    /// Results that no command waits for.
    pub(crate) unmatched: Counter,
    /// Datagrams that the socket did not take.
    pub(crate) unsent: Counter,
}

impl Lwm2mMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let messages = Family::default();
        registry.register(
            "lwm2m_messages",
            "CoAP messages of devices and what became of them",
            messages.clone(),
        );
        let dtls = Family::default();
        registry.register(
            "lwm2m_dtls",
            "DTLS handshakes and datagrams and what became of them",
            dtls.clone(),
        );
        let mut gauge = |name: &str, help: &str| super::metrics::gauge(registry, name, help);
        let dtls_sessions = gauge("lwm2m_dtls_sessions", "DTLS sessions that are open");
        let dtls_handshakes = gauge("lwm2m_dtls_handshakes", "DTLS handshakes that are under way");
        let mut counter = |name: &str, help: &str| super::metrics::counter(registry, name, help);
        Self {
            refused: counter("lwm2m_refused", "Registrations over LwM2M that were turned away"),
            reports_refused: counter(
                "lwm2m_reports_refused",
                "Reports over LwM2M beyond what one device may have waiting",
            ),
            unread: counter("lwm2m_unread", "Reports over LwM2M that no codec could read"),
            unmatched: counter("lwm2m_unmatched", "Results over LwM2M that no command waits for"),
            unsent: counter(
                "lwm2m_unsent",
                "Datagrams to devices that the socket did not take",
            ),
            registrations: super::metrics::gauge(
                registry,
                "lwm2m_registrations",
                "Devices registered over LwM2M",
            ),
            awake: super::metrics::gauge(
                registry,
                "lwm2m_awake",
                "Devices over LwM2M that can be written to now",
            ),
            unkept: super::metrics::gauge(
                registry,
                "lwm2m_unkept",
                "Registrations over LwM2M that changed and are not written yet",
            ),
            scripts_waiting: super::metrics::gauge(
                registry,
                "lwm2m_scripts_waiting",
                "Calls of codecs that are scripts which wait for a thread",
            ),
            scripts_lost: super::metrics::gauge(
                registry,
                "lwm2m_scripts_lost",
                "Threads that have not come back from a script",
            ),
            messages,
            dtls,
            dtls_sessions,
            dtls_handshakes,
        }
    }

    /// Shows what the machine has counted.
    pub(crate) fn show(&self, counters: &Counters) {
        let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.registrations.set(gauge(counters.registrations));
        self.awake.set(gauge(counters.awake));
        for (what, count) in COUNTED {
            catch_up(&self.messages, what, count(counters));
        }
    }

    /// Shows how many registrations are still to be written.
    pub(crate) fn show_unkept(&self, unkept: usize) {
        self.unkept.set(i64::try_from(unkept).unwrap_or(i64::MAX));
    }

    /// Shows what the threads for scripts have before them.
    pub(crate) fn show_scripts(&self, (waiting, lost): (usize, usize)) {
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.scripts_waiting.set(gauge(waiting));
        self.scripts_lost.set(gauge(lost));
    }

    /// Shows what the DTLS sessions have counted, and how many there are.
    pub(crate) fn show_dtls(&self, counted: &[(&'static str, u64)], sessions: usize, handshakes: usize) {
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.dtls_sessions.set(gauge(sessions));
        self.dtls_handshakes.set(gauge(handshakes));
        for (what, count) in counted {
            catch_up(&self.dtls, what, *count);
        }
    }
}

fn catch_up(family: &Family<What, Counter>, what: &'static str, count: u64) {
    let counter = family.get_or_create(&What { what });
    counter.inc_by(count.saturating_sub(counter.get()));
}
