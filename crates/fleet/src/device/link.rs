//! The device's task: connects, runs one session after the other, pauses in between, listens to orders all the while.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::event::{Event, Observer};
use super::session::{Carried, End, Session};
use super::{Behaviour, Config, Order, Reconnect};
use crate::credentials::{Login, stamp};

/// How long a TCP connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Everything that lasts from one connection of a device to the next.
pub(super) struct Link {
    pub(super) config: Config,
    pub(super) behaviour: watch::Receiver<Behaviour>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) observer: Observer,
    pub(super) carried: Carried,
    /// Connections cut at a command so far.
    pub(super) hang_ups: u32,
}

impl Link {
    pub(super) fn new(
        config: Config,
        behaviour: watch::Receiver<Behaviour>,
        orders: mpsc::Receiver<Order>,
        observer: Observer,
    ) -> Self {
        Self {
            config,
            behaviour,
            orders,
            observer,
            carried: Carried::default(),
            hang_ups: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let mut failures = 0;
        loop {
            let end = self.connection().await;
            self.observer.note(Event::Disconnected(end.to_string()));
            failures = match end {
                End::Stopped => return,
                // Bad client id, credentials or rights will not get better by asking again.
                End::Refused(1 | 2 | 4 | 5) => return,
                End::Refused(_) | End::Unreachable(_) => failures + 1,
                End::HungUp | End::Lost(_) => 0,
            };
            if !self.pause(failures).await {
                return;
            }
            self.carried.next_connection(self.config.keep_answers);
        }
    }

    /// One connection from its beginning to its end.
    async fn connection(&mut self) -> End {
        let stream = match self.connect().await {
            Ok(stream) => stream,
            Err(end) => return end,
        };
        let stamp = self
            .config
            .stamp
            .clone()
            .unwrap_or_else(|| stamp(SystemTime::now()));
        let login = Login::new(
            &self.config.identity,
            self.config.sign,
            &stamp,
            &self.config.secret,
        );
        let Err(end) = Session::new(self).run(stream, &login).await;
        end
    }

    async fn connect(&mut self) -> Result<TcpStream, End> {
        let connecting = timeout(CONNECT_WITHIN, TcpStream::connect(self.config.server));
        tokio::pin!(connecting);
        let stream = loop {
            tokio::select! {
                made = &mut connecting => break match made {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => return Err(End::Unreachable(error.to_string())),
                    Err(_) => return Err(End::Unreachable("no connection in time".to_owned())),
                },
                order = self.orders.recv() => if away(&self.observer, order) { return Err(End::Stopped) },
            }
        };
        stream
            .set_nodelay(true)
            .map_err(|error| End::Unreachable(error.to_string()))?;
        Ok(stream)
    }

    /// Waits before the next connection; `false` if there is to be none.
    async fn pause(&mut self, failures: u32) -> bool {
        let Reconnect::BackOff { first, longest } = self.config.reconnect else {
            return false;
        };
        let until = Instant::now() + back_off(first, longest, failures, self.config.identity.id());
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                order = self.orders.recv() => if away(&self.observer, order) { return false },
            }
        }
    }
}

/// Takes an order without a connection; `true` if it ends the device.
fn away(observer: &Observer, order: Option<Order>) -> bool {
    match order {
        Some(Order::Stop) | None => true,
        Some(Order::HangUp) => false,
        Some(Order::Publish { .. }) => {
            observer.unpublished();
            false
        }
    }
}

/// `first` doubled `failures` times, at most `longest`, and up to half of that on top, by id and count.
fn back_off(first: Duration, longest: Duration, failures: u32, id: &str) -> Duration {
    let pause = first.saturating_mul(1 << failures.min(20)).min(longest);
    let mut hasher = DefaultHasher::new();
    (id, failures).hash(&mut hasher);
    let share = (hasher.finish() % 1024) as u32;
    pause + pause / 2 * share / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ_by_device() {
        let pause =
            |failures, id: &str| back_off(Duration::from_millis(100), Duration::from_secs(5), failures, id);
        assert!((100..150).contains(&pause(0, "a").as_millis()));
        assert!((400..600).contains(&pause(2, "a").as_millis()));
        assert!((5_000..7_500).contains(&pause(4_000_000, "a").as_millis()));
        let many: std::collections::BTreeSet<_> = (0..50).map(|n| pause(3, &n.to_string())).collect();
        assert!(many.len() > 25, "{}", many.len());
    }
}
