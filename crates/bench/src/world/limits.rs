//! How many files this process and the server that it starts may have open.

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process needs besides its devices' connections: those of HTTP, its listeners, its files.
const BESIDES: u64 = 400;

/// How many connections fit in a process.
pub(crate) fn room() -> u64 {
    let most = getrlimit(Resource::Nofile).maximum;
    most.map_or(u64::MAX, |most| most.saturating_sub(BESIDES))
}

/// Raises the limit as far as it goes, and refuses more `connections` than fit. The server inherits it.
pub(crate) fn fit(connections: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised)?;
    match limit.maximum {
        Some(most) if connections + BESIDES > most => bail!(
            "{connections} connections do not fit: a process may have {most} files open here, and needs {BESIDES} for other things"
        ),
        Some(_) | None => Ok(()),
    }
}
