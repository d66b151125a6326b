//! The engine's sessions of devices that can be written to: opened when a device wakes, closed when it sleeps and nothing
//! is under way to it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use downlink_core::{DeviceKey, Proof, Span};
use downlink_lwm2m::{DeviceNumber, Parting};
use downlink_store::{Dispatch, StoreError};
use futures_util::future::{Abortable, Aborted, abortable};

use super::known::Live;
use super::owner::Owner;
use super::writes::Then;
use crate::clock;
use crate::engine::{CloseReason, Outdated, Reach, SessionHandle, Taken, ToSession};

/// Waits for letters to a session; ends when the session does.
pub(super) type Listening = Pin<Box<dyn Future<Output = Result<(DeviceKey, Taken), Aborted>> + Send>>;

/// What a device offers that can be written to.
const REACHABLE: Reach = Reach::Reachable {
    proof: Proof::Ack,
    needs_mid: true,
};

impl Owner {
    /// The device can be written to from now on.
    pub(super) fn awake(&mut self, device: DeviceKey) {
        let Some(known) = self.devices.get_mut(&device) else {
            return;
        };
        (known.awake, known.hungry) = (true, true);
        match &known.session {
            Some(live) => live.handle.set_reach(REACHABLE),
            None => self.open(device),
        }
        self.ask(device);
    }

    fn open(&mut self, device: DeviceKey) {
        let engine = &self.shared.engine;
        let patience = Some(self.patience(device));
        let (handle, inbox) =
            SessionHandle::patient(engine.next_session_id(), device, self.inbox_capacity, patience);
        // Registered before the queue is read: a command that is created meanwhile finds it.
        if !engine.sessions().register(&handle) {
            return;
        }
        handle.set_reach(REACHABLE);
        let inbox = Arc::new(inbox);
        let (letters, listening) = abortable(listen(device, Arc::clone(&inbox)));
        self.listening.push(Box::pin(flat(letters)));
        if let Some(known) = self.devices.get_mut(&device) {
            known.session = Some(Live {
                handle,
                inbox,
                listening,
            });
        }
    }

    /// How long the acknowledgement of a command is awaited at the most: for the message before it, and for its own.
    /// The protocol machine says sooner if there will be none; this is for what the server forgot when it ended.
    fn patience(&self, device: DeviceKey) -> Span {
        const MARGIN_MS: u64 = 15_000;
        let longest = self.station.longest_wait_ms(DeviceNumber(device.0));
        let patience = longest.saturating_mul(2).saturating_add(MARGIN_MS);
        Span::from_millis(u32::try_from(patience).unwrap_or(u32::MAX))
    }

    /// The device cannot be written to from now on.
    pub(super) fn asleep(&mut self, device: DeviceKey) {
        let Some(known) = self.devices.get_mut(&device) else {
            return;
        };
        known.awake = false;
        if let Some(live) = &known.session {
            live.handle.set_reach(Reach::Unreachable);
        }
        self.close_if_idle(device);
    }

    /// Closes the session of a device that sleeps, once nothing is under way to it.
    pub(super) fn close_if_idle(&mut self, device: DeviceKey) {
        let idle = |known: &super::known::Known| !known.awake && known.under_way == 0;
        if self.devices.get(&device).is_some_and(idle) {
            self.close(device);
        }
    }

    /// Closes the device's session; what was handed to it and not taken goes back.
    pub(super) fn close(&mut self, device: DeviceKey) {
        let Some(live) = self.devices.get_mut(&device).and_then(|known| {
            known.awake = false;
            known.session.take()
        }) else {
            return;
        };
        self.shared.engine.sessions().remove(&live.handle);
        live.handle.set_reach(Reach::Unreachable);
        live.listening.abort();
        let dispatches = live.inbox.end().into_iter().filter_map(|letter| match letter {
            ToSession::Dispatch(dispatch) => Some(*dispatch),
            ToSession::Work | ToSession::AckOverdue(_) => None,
        });
        self.take_back(dispatches.collect(), Then::Ask);
    }

    /// What was handed to the device's session.
    pub(super) fn letters(&mut self, device: DeviceKey, letters: Vec<ToSession>, close: Option<CloseReason>) {
        for letter in letters {
            match letter {
                ToSession::Dispatch(dispatch) => self.take(*dispatch),
                // The machine gave it up already, or is about to: the command may be sent again.
                ToSession::Work | ToSession::AckOverdue(_) => self.hungry(device),
            }
        }
        match close {
            None => self.listen_on(device),
            Some(CloseReason::Removed) => self.removed(device),
            Some(CloseReason::TakenOver | CloseReason::Stopping) => self.close(device),
        }
        self.ask(device);
    }

    fn listen_on(&mut self, device: DeviceKey) {
        let Some(live) = self
            .devices
            .get_mut(&device)
            .and_then(|known| known.session.as_mut())
        else {
            return;
        };
        let (letters, listening) = abortable(listen(device, Arc::clone(&live.inbox)));
        live.listening = listening;
        self.listening.push(Box::pin(flat(letters)));
    }

    /// There may be something in the device's queue.
    pub(super) fn hungry(&mut self, device: DeviceKey) {
        if let Some(known) = self.devices.get_mut(&device) {
            known.hungry = true;
        }
        self.ask(device);
    }

    /// Asks the engine for the device's next command, if there may be one.
    pub(super) fn ask(&mut self, device: DeviceKey) {
        let offer = self
            .devices
            .get_mut(&device)
            .and_then(|known| known.begin_to_ask());
        if let Some(offer) = offer {
            self.calls.push(self.shared.next(device, offer));
        }
    }

    /// The engine's answer.
    pub(super) fn next_command(&mut self, device: DeviceKey, next: Result<Option<Dispatch>, StoreError>) {
        if let Some(known) = self.devices.get_mut(&device) {
            known.asking = false;
        }
        match next {
            Ok(Some(dispatch)) => self.take(dispatch),
            Ok(None) => {}
            // The sweep of the queues hands it to the session again.
            Err(error) => tracing::warn!(%error, "LwM2M: a device's queue could not be read"),
        }
        self.ask(device);
    }

    /// A registration ended.
    pub(super) fn gone(&mut self, device: DeviceKey, why: Parting) {
        self.asleep(device);
        match why {
            // The new registration is in force already.
            Parting::Replaced => {}
            Parting::Deregistered | Parting::LifetimeEnded => {
                self.close(device);
                if let Some(known) = self.devices.remove(&device) {
                    self.shared.engine.contacts().gone(device, clock::now());
                    self.calls.push(self.shared.presence(&known.device, false));
                }
            }
        }
    }

    /// What is known of a device is not so any more.
    pub(super) fn outdated(&mut self, what: Outdated) {
        match what {
            Outdated::Removed(device) => self.removed(device),
            Outdated::Secret(device) => {
                if let Some(secure) = &self.secure {
                    secure.forget_key(device);
                }
                self.end_dtls(device);
            }
        }
    }

    /// The device was removed from the server: it means nothing here any more.
    pub(super) fn removed(&mut self, device: DeviceKey) {
        self.close(device);
        self.devices.remove(&device);
        self.station.forget(DeviceNumber(device.0));
        self.end_dtls(device);
    }
}

impl Owner {
    /// The device's key is no key any more: it has to come with the new one.
    pub(super) fn end_dtls(&mut self, device: DeviceKey) {
        if let Some(secure) = &mut self.secure {
            secure.close(device);
        }
    }
}

async fn listen(device: DeviceKey, inbox: Arc<crate::engine::Inbox>) -> (DeviceKey, Taken) {
    (device, poll_fn(|context| inbox.poll_take(context)).await)
}

async fn flat<F: Future>(letters: Abortable<F>) -> Result<F::Output, Aborted> {
    letters.await
}
