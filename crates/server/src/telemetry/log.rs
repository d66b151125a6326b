//! The log: on stderr, for people in a terminal, else a JSON object a line.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, Log};

/// Starts logging for the process. A second call changes nothing.
pub fn init_log(config: &Log) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.level).map_err(|error| ConfigError::Value {
        key: "log.level".to_owned(),
        message: error.to_string(),
    })?;
    let human = match config.format.as_str() {
        "auto" => std::io::stderr().is_terminal(),
        "human" => true,
        "json" => false,
        _ => {
            let message = "must be auto, human or json".to_owned();
            return Err(ConfigError::Value {
                key: "log.format".to_owned(),
                message,
            });
        }
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Fails only if a subscriber is set already, as in tests that start several servers.
    let _second = match human {
        true => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        false => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
