//! The flags that every client command takes, and what they are resolved to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;

use crate::client::{Admin, Northbound, Trust};
use crate::failure::Failure;
use crate::output::{Format, Out};

/// An application's id and secret. Ids hold no colon; secrets may.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.id)
    }
}

impl FromStr for Credentials {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((id, secret)) if !id.is_empty() && !secret.is_empty() => Ok(Self {
                id: id.to_owned(),
                secret: secret.to_owned(),
            }),
            Some(_) | None => Err("must be ID:SECRET"),
        }
    }
}

/// Where the server is, and as whom to speak to it.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Server and output")]
pub(crate) struct ClientArgs {
    /// The server's interface for applications
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "DOWNLINK_SERVER",
        default_value = "https://127.0.0.1:8743"
    )]
    server: Url,
    /// The application to act as
    #[arg(
        long,
        global = true,
        value_name = "ID:SECRET",
        env = "DOWNLINK_APP",
        hide_env_values = true
    )]
    app: Option<Credentials>,
    /// Trust the certificates in this PEM file, and no others
    #[arg(long, global = true, value_name = "FILE", env = "DOWNLINK_CACERT")]
    cacert: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long, global = true, conflicts_with = "cacert")]
    insecure: bool,
    /// The data directory of a server on this machine: its certificate is trusted, its admin token used
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "DOWNLINK_SERVER_DATA_DIR",
        default_value = "./data"
    )]
    data_dir: PathBuf,
    /// The server's admin interface
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "DOWNLINK_ADMIN_URL",
        default_value = "http://127.0.0.1:8744"
    )]
    admin: Url,
    /// The admin token [default: what <data-dir>/admin.token holds]
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "DOWNLINK_ADMIN_TOKEN",
        hide_env_values = true
    )]
    admin_token: Option<String>,
    /// How long one request may take
    #[arg(long, global = true, value_name = "SECS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    request_timeout: u64,
    /// How results are written
    #[arg(long, global = true, value_enum, default_value_t)]
    output: Format,
}

impl ClientArgs {
    pub(crate) const fn out(&self) -> Out {
        Out::new(self.output)
    }

    /// The client of the applications' interface.
    pub(crate) fn northbound(&self) -> Result<Northbound, Failure> {
        let app = self
            .app
            .clone()
            .ok_or_else(|| Failure::Usage("this needs --app ID:SECRET, or DOWNLINK_APP".to_owned()))?;
        Northbound::new(self.server.clone(), &self.trust()?, app, self.limit())
    }

    /// The client of the admin interface.
    pub(crate) fn admin(&self) -> Result<Admin, Failure> {
        let token = match &self.admin_token {
            Some(token) => token.clone(),
            None => read_token(&self.data_dir.join("admin.token"))?,
        };
        Admin::new(self.admin.clone(), &self.trust()?, token, self.limit())
    }

    const fn limit(&self) -> Duration {
        Duration::from_secs(self.request_timeout)
    }

    fn trust(&self) -> Result<Trust, Failure> {
        if self.insecure {
            return Ok(Trust::Anything);
        }
        if let Some(path) = &self.cacert {
            let pem = std::fs::read(path)
                .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
            return Ok(Trust::Only(pem));
        }
        // A server elsewhere has its certificate from somebody the platform knows.
        Ok(std::fs::read(self.data_dir.join("tls/cert.pem")).map_or(Trust::Platform, Trust::Also))
    }
}

fn read_token(path: &Path) -> Result<String, Failure> {
    match std::fs::read_to_string(path) {
        Ok(token) => Ok(token.trim().to_owned()),
        Err(error) => Err(Failure::Usage(format!(
            "no admin token: cannot read {}: {error}; give --data-dir, --admin-token or DOWNLINK_ADMIN_TOKEN",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_split_at_the_first_colon() {
        let app: Credentials = "a:b:c".parse().unwrap();
        assert_eq!((app.id.as_str(), app.secret.as_str()), ("a", "b:c"));
        assert_eq!(format!("{app:?}"), "a:***");
        for bad in ["", "a", "a:", ":b"] {
            assert!(bad.parse::<Credentials>().is_err(), "{bad}");
        }
    }
}
