//! The metrics, by name and help text; handles are held by the code that counts.

use std::sync::atomic::{AtomicU64, Ordering};

use downlink_core::Status;
use downlink_core::lifecycle::Refusal;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::fmt::Write as _;

use super::lwm2m::Lwm2mMetrics;
use super::tls::TlsMetrics;

/// A status as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StatusLabel(pub(crate) Status);

impl EncodeLabelValue for StatusLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        encoder.write_str(self.0.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TransitionLabels {
    from: StatusLabel,
    to: StatusLabel,
}

/// Why an input changed nothing, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum RefusalLabel {
    Duplicate,
    Stray,
    TooLate,
    NotSendable,
    NotCancelable,
    NotDue,
    Unaffected,
    /// There is no such open command, or it is not this device's.
    Unknown,
}

impl From<Refusal> for RefusalLabel {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Duplicate => Self::Duplicate,
            Refusal::Stray => Self::Stray,
            Refusal::TooLate => Self::TooLate,
            Refusal::NotSendable => Self::NotSendable,
            Refusal::NotCancelable => Self::NotCancelable,
            Refusal::NotDue => Self::NotDue,
            Refusal::Unaffected => Self::Unaffected,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RefusalLabels {
    reason: RefusalLabel,
}

/// How an attempt to push ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum PushOutcome {
    Accepted,
    Status,
    Timeout,
    Dns,
    Connect,
    Tls,
    NotAllowed,
    Broken,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PushLabels {
    outcome: PushOutcome,
}

/// Which sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum SweepLabel {
    Expiry,
    Queue,
    Open,
    Prune,
    Feed,
    CancelTask,
    BatchTask,
    BatchResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SweepLabels {
    sweep: SweepLabel,
}

/// What was found damaged in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum DamageLabel {
    Row,
    File,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DamageLabels {
    what: DamageLabel,
}

/// All metrics of a server.
pub(crate) struct Metrics {
    pub(crate) registry: Registry,
    pub(crate) created: Counter,
    pub(crate) create_refused: Counter,
    pub(crate) unfit_paras: Counter,
    transitions: Family<TransitionLabels, Counter>,
    refusals: Family<RefusalLabels, Counter>,
    pub(crate) hints_lost: Counter,
    pub(crate) deadlines: Gauge,
    sweep_found: Family<SweepLabels, Counter>,
    pub(crate) sessions: Gauge,
    pub(crate) lwm2m: Lwm2mMetrics,
    pub(crate) tls: TlsMetrics,
    pub(crate) mqtt_connections: Gauge,
    pub(crate) mqtt_refused: Counter,
    pub(crate) mqtt_protocol_errors: Counter,
    pub(crate) mqtt_unmatched: Counter,
    pub(crate) mqtt_child_reports_dropped: Counter,
    push_attempts: Family<PushLabels, Counter>,
    pub(crate) push_first_attempt_seconds: Histogram,
    pub(crate) push_backlog: Gauge,
    pub(crate) push_in_flight: Gauge,
    pub(crate) push_hosts_full: Gauge,
    pub(crate) push_look_ups: Gauge,
    pub(crate) push_look_ups_waiting: Gauge,
    pub(crate) push_stored: Gauge,
    pub(crate) push_dead: Gauge,
    pub(crate) push_oldest_due_seconds: Gauge,
    pub(crate) push_given_up: Counter,
    pub(crate) push_reports_dropped: Counter,
    pub(crate) push_dead_dropped: Counter,
    pub(crate) http_requests: Counter,
    pub(crate) http_throttled: Counter,
    pub(crate) http_shed: Counter,
    pub(crate) http_waiting: Gauge,
    pub(crate) http_connections_refused: Counter,
    pub(crate) logins_refused: Counter,
    pub(crate) http_connections: Gauge,
    pub(crate) open_commands: Gauge<i64>,
    pub(crate) store_commits: Gauge<u64, AtomicU64>,
    pub(crate) store_changes: Gauge<u64, AtomicU64>,
    pub(crate) store_queue: Gauge<u64, AtomicU64>,
    pub(crate) store_tail: Gauge<u64, AtomicU64>,
    store_damage: Family<DamageLabels, Counter>,
}

impl Metrics {
    #[allow(clippy::too_many_lines)] // one line a metric; splitting would hide the list
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("downlink");
        let r = &mut registry;
        let created = counter(r, "commands_created", "Commands accepted");
        let create_refused = counter(
            r,
            "commands_refused",
            "Create calls refused: queue full, unreachable, no device",
        );
        let unfit_paras = counter(
            r,
            "commands_unfit",
            "Commands created though their parameters do not fit the product of their device",
        );
        let transitions = Family::default();
        r.register(
            "command_transitions",
            "Changes of status, by the status before and after",
            transitions.clone(),
        );
        let refusals = Family::default();
        r.register(
            "command_refusals",
            "Inputs that changed nothing, by reason",
            refusals.clone(),
        );
        let hints_lost = counter(
            r,
            "hints_lost",
            "Wake-ups dropped because an inbox was full; sweeps make up for them",
        );
        let deadlines = gauge(r, "deadlines", "Deadlines held in memory");
        let sweep_found = Family::default();
        r.register(
            "sweep_found",
            "What sweeps found to do, by sweep",
            sweep_found.clone(),
        );
        let sessions = gauge(r, "sessions", "Devices connected");
        let lwm2m = Lwm2mMetrics::new(r);
        let tls = TlsMetrics::new(r);
        let mqtt_connections = gauge(
            r,
            "mqtt_connections",
            "MQTT connections open, authenticated or not",
        );
        let mqtt_refused = counter(r, "mqtt_refused", "MQTT connections refused: credentials, limits");
        let mqtt_protocol_errors = counter(
            r,
            "mqtt_protocol_errors",
            "MQTT connections closed for a protocol error",
        );
        let mqtt_unmatched = counter(
            r,
            "mqtt_unmatched",
            "Device answers that fit no open command of the device",
        );
        let mqtt_child_reports_dropped = counter(
            r,
            "mqtt_child_reports_dropped",
            "Reports of devices that are not registered behind the gateway that sent them",
        );
        let push_attempts = Family::default();
        r.register(
            "push_attempts",
            "Attempts to push, by outcome",
            push_attempts.clone(),
        );
        let push_first_attempt_seconds = Histogram::new(exponential_buckets(0.001, 2.0, 16));
        r.register_with_unit(
            "push_first_attempt",
            "From the change to the end of the first attempt to push it",
            Unit::Seconds,
            push_first_attempt_seconds.clone(),
        );
        let push_backlog = gauge(
            r,
            "push_backlog",
            "Commands held in memory: with pushes due, or with acceptances to be recorded",
        );
        let push_in_flight = gauge(r, "push_in_flight", "Attempts to push in flight");
        let push_hosts_full = gauge(
            r,
            "push_hosts_full",
            "Hosts that have as many attempts in flight as one may",
        );
        let push_look_ups = gauge(r, "push_look_ups", "Look-ups of receivers' names under way");
        let push_look_ups_waiting = gauge(
            r,
            "push_look_ups_waiting",
            "Attempts to push that wait for room for a look-up",
        );
        let push_stored = gauge(r, "push_stored", "Stored pushes that wait");
        let push_dead = gauge(r, "push_dead", "Stored pushes that were given up");
        let push_oldest_due_seconds = gauge(
            r,
            "push_oldest_due_seconds",
            "How long the oldest push is due that is not held; 0 if none is",
        );
        let push_given_up = counter(r, "push_given_up", "Pushes given up");
        let push_dead_dropped = counter(
            r,
            "push_dead_dropped",
            "Pushes that were given up and deleted before their time, as their application has too many",
        );
        let push_reports_dropped = counter(
            r,
            "push_reports_dropped",
            "Notices of reports that were not made, as too many pushes of their application wait",
        );
        let http_requests = counter(r, "http_requests", "Northbound requests");
        let http_throttled = counter(
            r,
            "http_throttled",
            "Northbound requests beyond the rate of their application",
        );
        let http_shed = counter(
            r,
            "http_shed",
            "Northbound requests refused because too many were being worked on, or waited",
        );
        let http_waiting = gauge(
            r,
            "http_waiting",
            "Northbound requests that wait for their turn or for a place",
        );
        let http_connections_refused = counter(
            r,
            "http_connections_refused",
            "Northbound connections refused because too many were open",
        );
        let logins_refused = counter(
            r,
            "logins_refused",
            "Logins that were not checked because there were too many",
        );
        let http_connections = gauge(r, "http_connections", "Northbound connections open");
        let open_commands = gauge(
            r,
            "open_commands",
            "Commands that are not final or not fully told",
        );
        let (store_commits, store_changes) = (Gauge::default(), Gauge::default());
        let (store_queue, store_tail) = (Gauge::default(), Gauge::default());
        r.register("store_commits", "Commits since start", store_commits.clone());
        r.register(
            "store_changes",
            "Changes committed since start",
            store_changes.clone(),
        );
        r.register(
            "store_queue",
            "Requests waiting for the writer",
            store_queue.clone(),
        );
        r.register(
            "store_tail",
            "Newest commands kept by device in memory, not in the tables by device yet",
            store_tail.clone(),
        );
        let store_damage = Family::default();
        r.register(
            "store_damage",
            "Times a damaged row, or a damaged page of the file, was met since start",
            store_damage.clone(),
        );
        Self {
            registry,
            created,
            create_refused,
            unfit_paras,
            transitions,
            refusals,
            hints_lost,
            deadlines,
            sweep_found,
            sessions,
            lwm2m,
            tls,
            mqtt_connections,
            mqtt_refused,
            mqtt_protocol_errors,
            mqtt_unmatched,
            mqtt_child_reports_dropped,
            push_attempts,
            push_first_attempt_seconds,
            push_backlog,
            push_in_flight,
            push_hosts_full,
            push_look_ups,
            push_look_ups_waiting,
            push_stored,
            push_dead,
            push_oldest_due_seconds,
            push_given_up,
            push_reports_dropped,
            push_dead_dropped,
            http_requests,
            http_throttled,
            http_shed,
            http_waiting,
            http_connections_refused,
            logins_refused,
            http_connections,
            open_commands,
            store_commits,
            store_changes,
            store_queue,
            store_tail,
            store_damage,
        }
    }

    pub(crate) fn transition(&self, from: Status, to: Status) {
        let labels = TransitionLabels {
            from: StatusLabel(from),
            to: StatusLabel(to),
        };
        self.transitions.get_or_create(&labels).inc();
    }

    pub(crate) fn refused(&self, reason: RefusalLabel) {
        self.refusals.get_or_create(&RefusalLabels { reason }).inc();
    }

    pub(crate) fn push_attempt(&self, outcome: PushOutcome) {
        self.push_attempts.get_or_create(&PushLabels { outcome }).inc();
    }

    pub(crate) fn swept(&self, sweep: SweepLabel, found: u64) {
        self.sweep_found
            .get_or_create(&SweepLabels { sweep })
            .inc_by(found);
    }

    /// What the store has met so far.
    pub(crate) fn store_damage(&self, rows: u64, file: u64) {
        for (what, met) in [(DamageLabel::Row, rows), (DamageLabel::File, file)] {
            let counter = self.store_damage.get_or_create(&DamageLabels { what });
            counter.inner().store(met, Ordering::Relaxed);
        }
    }

    /// The text that `/metrics` answers with.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(std::fmt::Error) => String::from("# EOF\n"),
        }
    }
}

pub(super) fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

pub(super) fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}
