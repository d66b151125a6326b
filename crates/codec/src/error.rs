//! Why a codec was refused, or could not do its work; every reason names the field, the rule or the line.

/// A codec that is not taken: its author has to change it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Neither JSON nor TOML.
    #[error("{}{reason}", at_line(*line))]
    Syntax {
        /// The line, from 1, if it is known.
        line: Option<usize>,
        /// What the parser said.
        reason: String,
    },
    /// A member breaks a rule.
    #[error("{path}: {rule}")]
    Rule {
        /// Where: `messages[1].fields[2].type`.
        path: String,
        /// What has to be so.
        rule: String,
    },
    /// A script that cannot be used.
    #[error("{0}")]
    Script(#[from] ScriptError),
    /// Scripts were left out when this program was built.
    #[error("this server is built without scripts (feature codec-js)")]
    NoScripts,
}

/// A command that cannot be turned into bytes. It has failed: the same will happen at every attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The definition has no message for it.
    #[error("the codec has no message for command {command} of service {service}")]
    NoMessage {
        /// The service asked for.
        service: String,
        /// The command asked for.
        command: String,
    },
    /// A value does not suit its field.
    #[error("{field}: {reason}")]
    Field {
        /// The parameter: `paras.value`, or the member that is at fault.
        field: String,
        /// What has to be so.
        reason: String,
    },
    /// More bytes than a message may have.
    #[error("the message has {bytes} bytes, {limit} is the most")]
    TooLong {
        /// How many.
        bytes: usize,
        /// [`crate::MAX_MESSAGE`].
        limit: usize,
    },
    /// The script failed.
    #[error("{0}")]
    Script(#[from] ScriptError),
}

/// Bytes that say nothing to the codec: the device, or its codec, is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No message of the definition has this id.
    #[error("no report or response has id {id} ({field}, byte {offset})")]
    NoMessage {
        /// What stands in the id field.
        id: i128,
        /// The name of the id field.
        field: String,
        /// Where it stands, from 0.
        offset: usize,
    },
    /// The message ends within a field.
    #[error("{field}: needs {need} bytes at byte {offset}, the message has {have} in all")]
    Short {
        /// The field.
        field: String,
        /// Where it begins, from 0.
        offset: usize,
        /// How many bytes it has.
        need: usize,
        /// How long the message is.
        have: usize,
    },
    /// A field holds what it may not hold.
    #[error("{field}: {reason}")]
    Field {
        /// The field, or the member of what a script returned.
        field: String,
        /// What has to be so.
        reason: String,
    },
    /// More bytes than a message may have.
    #[error("the message has {bytes} bytes, {limit} is the most")]
    TooLong {
        /// How many.
        bytes: usize,
        /// [`crate::MAX_MESSAGE`].
        limit: usize,
    },
    /// The script failed.
    #[error("{0}")]
    Script(#[from] ScriptError),
}

/// What went wrong in a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// It ran longer than it may.
    #[error("the script ran longer than {ms} ms")]
    Time {
        /// How long it may run.
        ms: u64,
    },
    /// It wanted more memory than it may have.
    #[error("the script wanted more than {bytes} bytes of memory")]
    Memory {
        /// How much it may have.
        bytes: usize,
    },
    /// It called itself too deeply.
    #[error("{}the script's calls are nested too deeply", at_line(*line))]
    Depth {
        /// The line, from 1, if it is known.
        line: Option<usize>,
    },
    /// It is not JavaScript, or threw an error.
    #[error("{}{message}", at_line(*line))]
    Thrown {
        /// The line, from 1, if it is known.
        line: Option<usize>,
        /// The error's own text.
        message: String,
    },
    /// It did not end long after its time was over, and is not run any more.
    #[error("the script did not end when its time was over; it is not run until it is loaded again")]
    Stopped,
    /// What it is or returned is not what a codec has to be or return.
    #[error("{0}")]
    Contract(String),
}

fn at_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!("line {line}: "))
}
