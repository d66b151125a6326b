//! Configuration: defaults, then file, then environment, then command line, resolved once at start.
//!
//! `config/default.toml` is the manual and the defaults. Unknown keys are errors. Nothing reads the environment later.

mod load;

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

pub use load::{ConfigError, Overrides, load};

/// The annotated defaults, as shipped.
pub const DEFAULTS: &str = include_str!("../../../config/default.toml");

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(missing_docs)] // each key is explained where the operator reads it: config/default.toml
        pub struct $name { $(pub $field: $type,)* }
    };
}

section! {
    /// All of it, resolved.
    Config {
        server: Server,
        northbound: Northbound,
        auth: Auth,
        admin: Admin,
        mqtt: Mqtt,
        lwm2m: Lwm2m,
        devices: Devices,
        shadow: Shadow,
        commands: Commands,
        batch: Batch,
        groups: Groups,
        engine: Engine,
        store: Store,
        push: Push,
        feed: Feed,
        log: Log,
    }
}

section! {
    /// `[server]`
    Server { data_dir: PathBuf, master_key: String, drain_secs: u64, threads: usize, tls_reload_secs: u64, }
}

section! {
    /// `[lwm2m]`
    Lwm2m {
        listen: String,
        listen_dtls: String,
        work_mode: WorkMode,
        awake_secs: u64,
        ack_first_low_secs: u64,
        ack_first_high_secs: u64,
        resends: u8,
        default_lifetime_secs: u32,
        max_registrations: usize,
        max_inflight: usize,
        max_calls: usize,
        script_threads: usize,
        script_threads_lost: usize,
        script_calls: usize,
        script_calls_each: usize,
        max_dtls_sessions: usize,
        max_handshakes: usize,
        max_handshakes_per_source: usize,
        hellos_per_source: u32,
        dtls_idle_secs: u64,
    }
}

/// How devices sleep of which neither they themselves, nor their product, nor their application says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkMode {
    /// They sleep, and hear for a while after they spoke.
    Psm,
    /// They hear at any time.
    Drx,
}

impl Lwm2m {
    /// The settings of the protocol machine.
    pub(crate) fn station(&self) -> downlink_lwm2m::Settings {
        downlink_lwm2m::Settings {
            schedule: downlink_lwm2m::AckSchedule {
                first_low_ms: self.ack_first_low_secs.max(1).saturating_mul(1000),
                first_high_ms: self
                    .ack_first_high_secs
                    .max(self.ack_first_low_secs)
                    .max(1)
                    .saturating_mul(1000),
                resends: self.resends,
            },
            awake_window_ms: self.awake_secs.saturating_mul(1000),
            default_lifetime_secs: self.default_lifetime_secs,
            max_registrations: self.max_registrations,
            // A report may be a command's result, which must not get lost for being late.
            reordered: downlink_lwm2m::Reordered::Deliver,
            ..downlink_lwm2m::Settings::default()
        }
    }

    /// The limits of the threads for scripts.
    pub(crate) fn scripts(&self) -> downlink_codec::PoolLimits {
        downlink_codec::PoolLimits {
            threads: self.script_threads,
            lost: self.script_threads_lost,
            waiting: self.script_calls,
            waiting_per_script: self.script_calls_each,
            ..downlink_codec::PoolLimits::default()
        }
    }

    /// The limits of the DTLS sessions.
    pub(crate) fn dtls(&self) -> crate::gateway::lwm2m::DtlsSettings {
        crate::gateway::lwm2m::DtlsSettings {
            max_sessions: self.max_dtls_sessions,
            max_handshakes: self.max_handshakes,
            max_handshakes_per_source: self.max_handshakes_per_source,
            hellos_per_source: self.hellos_per_source,
            idle: Duration::from_secs(self.dtls_idle_secs.clamp(1, 10 * 366 * 86_400)),
            spare_after: Duration::from_secs(60),
            handshake: Duration::from_secs(120),
            retransmit: Duration::from_secs(3),
            mtu: 1200,
        }
    }
}

/// Whether applications are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCerts {
    /// They are not.
    Off,
    /// One that they show has to be good.
    Optional,
    /// They have to show one.
    Required,
}

section! {
    /// `[northbound]`
    Northbound {
        listen: String,
        listen_plain: String,
        plain_beyond_loopback: bool,
        tls_cert: String,
        tls_key: String,
        client_certs: ClientCerts,
        client_ca: String,
        max_body_bytes: usize,
        calls_per_minute: u32,
        max_connections: usize,
        max_calls_at_once: usize,
        max_lists_waiting: usize,
        max_wait_ms: u64,
        request_timeout_secs: u64,
    }
}

section! {
    /// `[auth]`
    Auth {
        access_token_secs: u32,
        refresh_token_secs: u32,
        max_tokens_per_app: u32,
        max_logins_at_once: usize, logins_per_minute: u32, wrong_logins_per_minute: u32,
    }
}

section! {
    /// `[admin]`
    Admin { listen: String, beyond_loopback: bool, }
}

section! {
    /// `[mqtt]`
    Mqtt {
        listen: String,
        listen_tls: String,
        tls_cert: String,
        tls_key: String,
        max_connections: usize,
        connect_timeout_secs: u64,
        max_packet_bytes: u32,
        keep_alive_min_secs: u16,
        keep_alive_max_secs: u16,
        max_inflight: usize,
        max_send_buffer_bytes: usize,
        implicit_subscribe_ms: u64,
        stamp_window_hours: u32,
    }
}

section! {
    /// `[devices]`
    Devices {
        abnormal_after_secs: u32,
        offline_after_secs: u32,
        heard_every_secs: u32,
        history_rows: u32,
        history_days: u32,
    }
}

section! {
    /// `[shadow]`
    Shadow { properties: u32, value_bytes: u32, changes: u32, of_mqtt: bool, }
}

section! {
    /// `[commands]`
    Commands {
        default_expire_secs: u32,
        max_expire_secs: u32,
        queue_limit: u32,
        max_open_per_app: u64,
        max_paras_bytes: usize,
        max_result_bytes: usize,
        max_sends: u8,
        max_silence_days: u32,
        ack_wait_secs: u32,
        slot_wait_secs: u32,
        response_wait_secs: u32,
        late_window_secs: u32,
        restart_grace_secs: u32,
        retention_days: u32,
        idempotency_keep_secs: u32,
        max_idempotency_keys_per_app: u64,
        max_cancel_tasks_per_app: u32,
        max_devices_per_app: u64,
    }
}

section! {
    /// `[batch]`
    Batch { rate_per_sec: u32, max_devices: usize, max_open_per_app: u32, max_kept_per_app: u32, }
}

section! {
    /// `[groups]`
    Groups { max_per_app: u64, max_devices: u64, }
}

section! {
    /// `[engine]`
    Engine {
        hints: bool,
        queue_sweep_ms: u64,
        expiry_sweep_ms: u64,
        open_sweep_ms: u64,
        sweep_page: u32,
        max_deadlines: usize,
    }
}

section! {
    /// `[store]`
    Store {
        write_queue: usize,
        max_batch: usize,
        readers: usize,
        read_queue: usize,
        lazy_wait_ms: u64,
        device_cache: usize,
        tail: usize,
        checkpoint_pages: u32,
        cache_kib: u32,
        min_free_bytes: u64,
        min_free_percent: u8,
    }
}

section! {
    /// `[push]`
    Push {
        allow: Vec<String>,
        timeout_secs: u64,
        max_answer_bytes: usize,
        max_in_flight: usize,
        max_in_flight_per_receiver: usize,
        max_in_flight_per_host: usize,
        max_backlog: usize,
        retry_first_ms: u32,
        retry_longest_ms: u32,
        record_wait_ms: u64,
        record_gather_ms: u64,
        max_age_secs: u32,
        max_held_secs: u32,
        keep_dead_days: u32,
        max_stored_per_app: u64,
        max_dead_per_app: u64,
        idle_per_receiver: usize,
        idle_secs: u64,
        http2: bool,
    }
}

section! {
    /// `[feed]`
    Feed { keep_secs: u32, page_limit: u32, streams_per_app: usize, streams: usize, }
}

section! {
    /// `[log]`
    Log { level: String, format: String, }
}

/// Whether a listener's address says that it is switched off.
pub(crate) fn is_off(listen: &str) -> bool {
    listen.is_empty() || listen.eq_ignore_ascii_case("off")
}
