//! Who follows a feed at the moment: bounds their number, and wakes those of an application when something of it was
//! committed. A wake-up is a hint: a follower looks again by itself after a while.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use downlink_core::AppKey;
use tokio::sync::watch;

/// The followers of all feeds.
pub(crate) struct Followers {
    per_app: usize,
    in_all: usize,
    /// How many there are; read without the lock, since mostly there is none.
    open: AtomicUsize,
    apps: Mutex<HashMap<AppKey, OfApp>>,
}

struct OfApp {
    wake: watch::Sender<()>,
    followers: usize,
}

/// One that follows an application's feed. Dropping it makes room for another.
pub(crate) struct Follower {
    followers: Arc<Followers>,
    app: AppKey,
    wake: watch::Receiver<()>,
}

impl Followers {
    /// At the most so many of one application, and of all together.
    pub(crate) fn new(per_app: usize, in_all: usize) -> Self {
        Self {
            per_app,
            in_all,
            open: AtomicUsize::new(0),
            apps: Mutex::default(),
        }
    }

    /// One more for this application; none: there are enough.
    pub(crate) fn add(self: &Arc<Self>, app: AppKey) -> Option<Follower> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if self.open.load(Ordering::Relaxed) >= self.in_all {
            return None;
        }
        let of = apps.entry(app).or_insert_with(|| OfApp {
            wake: watch::Sender::new(()),
            followers: 0,
        });
        if of.followers >= self.per_app {
            return None;
        }
        of.followers += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Follower {
            followers: Arc::clone(self),
            app,
            wake: of.wake.subscribe(),
        })
    }

    /// Something of this application was committed.
    pub(crate) fn wake(&self, app: AppKey) {
        if self.open.load(Ordering::Relaxed) == 0 {
            return;
        }
        let apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of) = apps.get(&app) {
            of.wake.send_replace(());
        }
    }
}

impl Follower {
    /// Wake-ups from before are of no interest: the feed is about to be read.
    pub(crate) fn looks_now(&mut self) {
        self.wake.mark_unchanged();
    }

    /// Waits for a wake-up that came since it looked.
    pub(crate) async fn woken(&mut self) {
        if self.wake.changed().await.is_err() {
            // Not while this follower is counted; were it so, there is nobody who could wake it.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut apps = self.followers.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of) = apps.get_mut(&self.app) {
            of.followers -= 1;
            if of.followers == 0 {
                apps.remove(&self.app);
            }
        }
        self.followers.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const ONE: AppKey = AppKey(1);
    const TWO: AppKey = AppKey(2);

    #[test]
    fn followers_are_bounded_by_application_and_in_all() {
        let followers = Arc::new(Followers::new(2, 3));
        let (first, second) = (followers.add(ONE), followers.add(ONE));
        assert!(first.is_some() && second.is_some() && followers.add(ONE).is_none());
        let other = followers.add(TWO);
        assert!(other.is_some() && followers.add(TWO).is_none());
        drop(first);
        assert!(followers.add(ONE).is_some());
        drop((second, other));
        assert!(followers.apps.lock().unwrap().is_empty());
    }

    #[test]
    fn only_those_of_the_application_are_woken_and_no_wake_up_is_missed() {
        let followers = Arc::new(Followers::new(2, 3));
        let (mut one, mut two) = (followers.add(ONE).unwrap(), followers.add(TWO).unwrap());
        one.looks_now();
        followers.wake(ONE);
        assert!(one.woken().now_or_never().is_some(), "between look and wait");
        assert!(two.woken().now_or_never().is_none());
        followers.wake(ONE);
        one.looks_now();
        assert!(one.woken().now_or_never().is_none());
    }
}
