//! Why a run of the program did not do what it was asked, and the exit code that tells scripts so.

use std::fmt;

/// How it went wrong.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something could not be done, or what was waited for turned out otherwise. Exit code 1.
    Failed(String),
    /// The server said no. Exit code 1.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The interface's error code, as far as there was one.
        code: String,
        /// What the server said.
        message: String,
    },
    /// Nobody reads the output any more. Exit code 1, without a word.
    OutputClosed,
    /// It was asked for wrongly. Exit code 2, as for flags that do not exist.
    Usage(String),
    /// The server cannot be reached. Exit code 3.
    Unreachable(String),
    /// What was waited for did not come in time. Exit code 4.
    TimedOut(String),
}

impl Failure {
    /// The documented exit code.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Refused { .. } | Self::OutputClosed => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::TimedOut(_) => 4,
        }
    }

    /// Whether the server did not take the access token (any more).
    pub(crate) fn is_bad_token(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "1010005" || code == "100002")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) | Self::Usage(text) | Self::Unreachable(text) | Self::TimedOut(text) => {
                f.write_str(text)
            }
            Self::Refused {
                status,
                code,
                message,
            } if code.is_empty() => {
                write!(f, "the server refused (HTTP {status}): {message}")
            }
            Self::Refused {
                status,
                code,
                message,
            } => {
                write!(f, "the server refused ({code}, HTTP {status}): {message}")
            }
            Self::OutputClosed => f.write_str("the output is closed"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}
