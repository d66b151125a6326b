//! Merging the layers of configuration into one value.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{ClientCerts, Config, DEFAULTS};

/// Values from the command line: (`section`, `key`, value), the strongest layer.
pub type Overrides = Vec<(&'static str, &'static str, Value)>;

/// Why there is no usable configuration. Names the file, key or variable at fault.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not valid: {message}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}` in {place}")]
    UnknownKey {
        /// `section.key`, or the variable's name.
        key: String,
        /// The file or the environment.
        place: String,
    },
    /// A value of the wrong type or out of bounds.
    #[error("`{key}`: {message}")]
    Value {
        /// `section.key`, or the variable's name.
        key: String,
        /// What is wrong.
        message: String,
    },
}

/// Resolves the configuration: defaults, `file`, `env` (pairs of name and value), `overrides`.
pub fn load(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: Overrides,
) -> Result<Config, ConfigError> {
    let mut merged: Table = DEFAULTS
        .parse()
        .expect("config/default.toml is checked by a test");
    if let Some(path) = file {
        merge(&mut merged, read(path)?, &path.display().to_string())?;
    }
    let mut env: Vec<_> = env.into_iter().collect();
    env.sort();
    for (name, text) in env {
        set_from_env(&mut merged, &name, &text)?;
    }
    for (section, key, value) in overrides {
        put(&mut merged, section, key, value, "the command line")?;
    }
    let config = Config::deserialize_table(merged)?;
    config.check()?;
    Ok(config)
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    text.parse::<Table>().map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        message: error.to_string(),
    })
}

fn merge(into: &mut Table, from: Table, place: &str) -> Result<(), ConfigError> {
    for (section, value) in from {
        let Value::Table(keys) = value else {
            return Err(ConfigError::UnknownKey {
                key: section,
                place: place.to_owned(),
            });
        };
        for (key, value) in keys {
            put(into, &section, &key, value, place)?;
        }
    }
    Ok(())
}

/// Replaces one known value; its type must be the default's.
fn put(into: &mut Table, section: &str, key: &str, value: Value, place: &str) -> Result<(), ConfigError> {
    let full = format!("{section}.{key}");
    let known = into
        .get_mut(section)
        .and_then(Value::as_table_mut)
        .and_then(|keys| keys.get_mut(key));
    let Some(slot) = known else {
        return Err(ConfigError::UnknownKey {
            key: full,
            place: place.to_owned(),
        });
    };
    if !slot.same_type(&value) {
        let message = format!(
            "must be {}, not {} (in {place})",
            a(slot.type_str()),
            a(value.type_str())
        );
        return Err(ConfigError::Value { key: full, message });
    }
    *slot = value;
    Ok(())
}

/// `DOWNLINK_<SECTION>_<KEY>`. Other variables are left alone, but a known section with an unknown key is an error.
fn set_from_env(into: &mut Table, name: &str, text: &str) -> Result<(), ConfigError> {
    let Some(rest) = name.strip_prefix("DOWNLINK_") else {
        return Ok(());
    };
    let rest = rest.to_ascii_lowercase();
    let Some((section, key)) = into.keys().find_map(|section| {
        let key = rest.strip_prefix(section.as_str())?.strip_prefix('_')?;
        Some((section.clone(), key.to_owned()))
    }) else {
        return Ok(());
    };
    let Some(old) = into.get(&section).and_then(|keys| keys.get(&key)) else {
        // The client commands have a variable of their own in this section's name.
        if name == "DOWNLINK_ADMIN_TOKEN" || name == "DOWNLINK_ADMIN_URL" {
            return Ok(());
        }
        return Err(ConfigError::UnknownKey {
            key: name.to_owned(),
            place: "the environment".to_owned(),
        });
    };
    let value = parse_like(old, text).ok_or_else(|| ConfigError::Value {
        key: name.to_owned(),
        message: format!("must be {}", a(old.type_str())),
    })?;
    put(into, &section, &key, value, "the environment")
}

/// A noun with its article.
fn a(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {noun}")
}

fn parse_like(old: &Value, text: &str) -> Option<Value> {
    match old {
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Array(_) => Some(Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(Value::from)
                .collect(),
        )),
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}

impl Config {
    fn deserialize_table(table: Table) -> Result<Self, ConfigError> {
        serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| ConfigError::Value {
            key: error.path().to_string(),
            message: error.inner().message().to_owned(),
        })
    }

    /// Bounds that types cannot say.
    fn check(&self) -> Result<(), ConfigError> {
        let positive = [
            ("northbound.max_body_bytes", self.northbound.max_body_bytes as u64),
            (
                "northbound.max_connections",
                self.northbound.max_connections as u64,
            ),
            (
                "northbound.max_calls_at_once",
                self.northbound.max_calls_at_once as u64,
            ),
            ("northbound.max_wait_ms", self.northbound.max_wait_ms),
            ("auth.max_logins_at_once", self.auth.max_logins_at_once as u64),
            ("auth.max_tokens_per_app", u64::from(self.auth.max_tokens_per_app)),
            ("mqtt.max_connections", self.mqtt.max_connections as u64),
            ("mqtt.max_inflight", self.mqtt.max_inflight as u64),
            ("mqtt.max_packet_bytes", u64::from(self.mqtt.max_packet_bytes)),
            ("lwm2m.awake_secs", self.lwm2m.awake_secs),
            ("lwm2m.ack_first_low_secs", self.lwm2m.ack_first_low_secs),
            ("lwm2m.max_registrations", self.lwm2m.max_registrations as u64),
            ("lwm2m.max_inflight", self.lwm2m.max_inflight as u64),
            ("lwm2m.max_calls", self.lwm2m.max_calls as u64),
            ("lwm2m.script_calls", self.lwm2m.script_calls as u64),
            ("lwm2m.script_calls_each", self.lwm2m.script_calls_each as u64),
            ("lwm2m.script_threads", self.lwm2m.script_threads as u64),
            ("lwm2m.max_dtls_sessions", self.lwm2m.max_dtls_sessions as u64),
            ("lwm2m.max_handshakes", self.lwm2m.max_handshakes as u64),
            ("lwm2m.hellos_per_source", u64::from(self.lwm2m.hellos_per_source)),
            ("lwm2m.dtls_idle_secs", self.lwm2m.dtls_idle_secs),
            ("commands.max_sends", u64::from(self.commands.max_sends)),
            ("batch.rate_per_sec", u64::from(self.batch.rate_per_sec)),
            ("engine.sweep_page", u64::from(self.engine.sweep_page)),
            // A sweep that does not rest busies a core.
            ("engine.queue_sweep_ms", self.engine.queue_sweep_ms),
            ("engine.expiry_sweep_ms", self.engine.expiry_sweep_ms),
            ("engine.open_sweep_ms", self.engine.open_sweep_ms),
            ("feed.page_limit", u64::from(self.feed.page_limit)),
            ("store.write_queue", self.store.write_queue as u64),
            ("store.max_batch", self.store.max_batch as u64),
            ("store.readers", self.store.readers as u64),
            ("push.max_in_flight", self.push.max_in_flight as u64),
            (
                "push.max_in_flight_per_receiver",
                self.push.max_in_flight_per_receiver as u64,
            ),
            (
                "push.max_in_flight_per_host",
                self.push.max_in_flight_per_host as u64,
            ),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(ConfigError::Value {
                    key: key.to_owned(),
                    message: "must be at least 1".to_owned(),
                });
            }
        }
        if self.northbound.client_certs != ClientCerts::Off && self.northbound.client_ca.is_empty() {
            return Err(ConfigError::Value {
                key: "northbound.client_ca".to_owned(),
                message: "must name a file if northbound.client_certs is not off".to_owned(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_shipped_defaults_are_complete_and_valid() {
        let config = load(None, env(&[]), Vec::new()).unwrap();
        assert_eq!(config.northbound.listen, "127.0.0.1:8743");
        assert_eq!(config.commands.max_sends, 5);
    }

    /// As docs/security.md says them.
    #[test]
    fn the_doors_and_their_limits_are_as_reviewed() {
        let config = load(None, env(&[]), Vec::new()).unwrap();
        let (north, mqtt, lwm2m) = (&config.northbound, &config.mqtt, &config.lwm2m);
        assert_eq!(
            (north.listen.as_str(), north.listen_plain.as_str()),
            ("127.0.0.1:8743", "")
        );
        assert_eq!(
            (mqtt.listen.as_str(), mqtt.listen_tls.as_str()),
            ("127.0.0.1:1883", "off")
        );
        assert_eq!(
            (lwm2m.listen.as_str(), lwm2m.listen_dtls.as_str()),
            ("off", "off")
        );
        assert_eq!(config.admin.listen, "127.0.0.1:8744");
        assert!(!north.plain_beyond_loopback && !config.admin.beyond_loopback);
        assert_eq!((north.max_connections, north.max_calls_at_once), (10_000, 512));
        assert_eq!((north.request_timeout_secs, mqtt.connect_timeout_secs), (30, 10));
        assert_eq!(
            (mqtt.max_connections, lwm2m.max_registrations),
            (100_000, 200_000)
        );
        assert_eq!((lwm2m.max_dtls_sessions, lwm2m.max_handshakes), (100_000, 4096));
    }

    #[test]
    fn certificates_of_clients_need_somebody_who_vouches_for_them() {
        let asked = |ca: &str| {
            let vars = env(&[
                ("DOWNLINK_NORTHBOUND_CLIENT_CERTS", "optional"),
                ("DOWNLINK_NORTHBOUND_CLIENT_CA", ca),
            ]);
            load(None, vars, Vec::new())
        };
        let error = asked("").unwrap_err().to_string();
        assert!(error.contains("northbound.client_ca"), "{error}");
        assert!(asked("ca.pem").is_ok());
    }

    #[test]
    fn later_layers_win() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.toml");
        std::fs::write(
            &path,
            "[commands]\nqueue_limit = 3\nmax_sends = 2\n[push]\nallow = [\"10.0.0.0/8\"]\n",
        )
        .unwrap();
        let vars = env(&[
            ("DOWNLINK_COMMANDS_QUEUE_LIMIT", "4"),
            ("DOWNLINK_ENGINE_HINTS", "false"),
            ("HOME", "x"),
        ]);
        let flags = vec![("commands", "queue_limit", Value::Integer(5))];
        let config = load(Some(&path), vars, flags).unwrap();
        assert_eq!((config.commands.queue_limit, config.commands.max_sends), (5, 2));
        assert!(!config.engine.hints);
        assert_eq!(config.push.allow, ["10.0.0.0/8"]);
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_errors_that_name_the_key() {
        for (vars, named) in [
            (env(&[("DOWNLINK_PUSH_ALOW", "1")]), "DOWNLINK_PUSH_ALOW"),
            (
                env(&[("DOWNLINK_STORE_READERS", "many")]),
                "DOWNLINK_STORE_READERS`: must be an integer",
            ),
            (env(&[("DOWNLINK_STORE_READERS", "0")]), "store.readers"),
            (
                env(&[("DOWNLINK_ENGINE_QUEUE_SWEEP_MS", "0")]),
                "engine.queue_sweep_ms",
            ),
            (
                env(&[("DOWNLINK_ENGINE_EXPIRY_SWEEP_MS", "0")]),
                "engine.expiry_sweep_ms",
            ),
            (
                env(&[("DOWNLINK_ENGINE_OPEN_SWEEP_MS", "0")]),
                "engine.open_sweep_ms",
            ),
            (
                env(&[("DOWNLINK_COMMANDS_MAX_SENDS", "300")]),
                "`commands.max_sends`",
            ),
            (
                env(&[("DOWNLINK_LWM2M_WORK_MODE", "deep")]),
                "`lwm2m.work_mode`: unknown variant `deep`",
            ),
            (env(&[("DOWNLINK_STORE_TAIL", "-1")]), "`store.tail`"),
        ] {
            let error = load(None, vars, Vec::new()).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
