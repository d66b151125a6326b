//! The bounded way in to a thread: so many requests may wait, beyond that callers wait or are told.

use std::sync::mpsc;

use tokio::sync::{Semaphore, TryAcquireError, oneshot};

use crate::StoreError;

/// What happens to a caller when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// It is told [`StoreError::Busy`].
    Refuse,
    /// It waits for its turn.
    Wait,
}

/// The callers' end. The thread gives places back as it takes requests.
pub(super) struct Gate<R> {
    places: Semaphore,
    capacity: usize,
    requests: mpsc::Sender<R>,
    /// Rung when something was handed in.
    #[cfg(feature = "simulation")]
    pub(super) bell: tokio::sync::Notify,
}

impl<R> std::fmt::Debug for Gate<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

impl<R> Gate<R> {
    pub(super) fn new(capacity: usize) -> (Self, mpsc::Receiver<R>) {
        let (requests, inbox) = mpsc::channel();
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        (
            Self {
                places: Semaphore::new(capacity),
                capacity,
                requests,
                #[cfg(feature = "simulation")]
                bell: tokio::sync::Notify::new(),
            },
            inbox,
        )
    }

    /// Hands a request in and waits for the answer that comes through `answer`.
    pub(super) async fn ask<T>(
        &self,
        when_full: WhenFull,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> R,
    ) -> Result<T, StoreError> {
        let place = match when_full {
            WhenFull::Refuse => self.places.try_acquire().map_err(|error| match error {
                TryAcquireError::NoPermits => StoreError::Busy,
                TryAcquireError::Closed => closing(),
            })?,
            WhenFull::Wait => self.places.acquire().await.map_err(|_| closing())?,
        };
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).map_err(|_| closing())?;
        place.forget();
        #[cfg(feature = "simulation")]
        self.bell.notify_one();
        answer.await.map_err(|_| closing())?
    }

    /// Puts in a request of the store's own, whether or not there is a place.
    pub(super) fn push(&self, request: R) {
        // A thread that is gone has nothing left to be told.
        let _ = self.requests.send(request);
    }

    /// The thread took so many requests.
    pub(super) fn took(&self, requests: usize) {
        self.places.add_permits(requests);
    }

    pub(super) fn waiting(&self) -> u64 {
        self.capacity.saturating_sub(self.places.available_permits()) as u64
    }

    /// From now on nobody gets in.
    pub(super) fn close(&self) {
        self.places.close();
    }
}

fn closing() -> StoreError {
    StoreError::Unavailable("the store is closing".to_owned())
}
