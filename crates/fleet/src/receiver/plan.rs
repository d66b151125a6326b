//! How a receiver answers.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::Push;

/// What one push gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// An HTTP response.
    Answer {
        /// Its status; what is no HTTP status becomes 500.
        status: u16,
        /// Header names and values; those that are none are left out.
        headers: Vec<(String, String)>,
        /// Its body.
        body: Bytes,
        /// How long it lets the server wait.
        after: Duration,
    },
    /// The push is read, and nothing ever comes back.
    Stall,
    /// Status 200 and its headers come, the body never ends.
    StallBody,
    /// The connection is closed without an answer.
    Close,
}

impl Reply {
    /// 200 with the text `ok`, as most applications have it.
    pub fn ok() -> Self {
        Self::status(200).body("ok")
    }

    /// This status and an empty body.
    pub const fn status(status: u16) -> Self {
        Self::Answer {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            after: Duration::ZERO,
        }
    }

    /// The same with a header more. Only an `Answer` has any.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name.into(), value.into()));
        }
        self
    }

    /// The same with this body. Only an `Answer` has one.
    #[must_use]
    pub fn body(mut self, text: impl Into<Bytes>) -> Self {
        if let Self::Answer { body, .. } = &mut self {
            *body = text.into();
        }
        self
    }

    /// The same after this time. Only an `Answer` has one.
    #[must_use]
    pub fn after(mut self, pause: Duration) -> Self {
        if let Self::Answer { after, .. } = &mut self {
            *after = pause;
        }
        self
    }
}

/// What each push gets. The default is [`Reply::ok`] for all.
pub enum Plan {
    /// These in order, one per push, then always the last.
    Script {
        /// For the pushes to come first.
        first: VecDeque<Reply>,
        /// For all after them.
        then: Reply,
    },
    /// Whatever this says. It runs under a lock: keep it short.
    Choose(Box<dyn FnMut(&Push) -> Reply + Send>),
}

impl Default for Plan {
    fn default() -> Self {
        Self::always(Reply::ok())
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script { first, then } => write!(f, "Script({first:?}, then {then:?})"),
            Self::Choose(_) => f.write_str("Choose"),
        }
    }
}

impl Plan {
    /// The same for every push.
    pub const fn always(reply: Reply) -> Self {
        Self::Script {
            first: VecDeque::new(),
            then: reply,
        }
    }

    /// This for the first `times` pushes, then [`Reply::ok`].
    pub fn fail_then_ok(times: usize, with: Reply) -> Self {
        Self::Script {
            first: vec![with; times].into(),
            then: Reply::ok(),
        }
    }

    /// Whatever `choose` says.
    pub fn choose(choose: impl FnMut(&Push) -> Reply + Send + 'static) -> Self {
        Self::Choose(Box::new(choose))
    }

    pub(super) fn next(&mut self, push: &Push) -> Reply {
        match self {
            Self::Script { first, then } => first.pop_front().unwrap_or_else(|| then.clone()),
            Self::Choose(choose) => choose(push),
        }
    }
}
