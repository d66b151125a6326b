//! The runtime that a server runs on.

use std::io;
use std::num::NonZero;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};

/// The most threads that may be asked for.
const MOST: usize = 512;

/// A runtime whose `threads` serve connections; 0: one less than there are cores, at the least one, as the store's writer has
/// a thread of its own. With one thread nobody has to be woken across threads: a command costs some 10 % less CPU.
///
/// # Errors
/// The system gives no threads or no event queue.
pub fn build(threads: usize) -> io::Result<Runtime> {
    let cores = available_parallelism().map_or(1, NonZero::get);
    let mut builder = match count(threads, cores) {
        1 => Builder::new_current_thread(),
        threads => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    builder.enable_all().build()
}

fn count(asked: usize, cores: usize) -> usize {
    match asked {
        0 => cores.saturating_sub(1).clamp(1, MOST),
        asked => asked.min(MOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_is_left_to_the_store_where_there_are_several() {
        assert_eq!([1, 2, 3, 8].map(|cores| count(0, cores)), [1, 1, 2, 7]);
        assert_eq!([count(1, 8), count(4, 2), count(100_000, 2)], [1, 4, MOST]);
    }
}
