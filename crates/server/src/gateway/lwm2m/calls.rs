//! What the gateway asks of the store and of codecs, and what comes of it. Each call is a future that the gateway's task
//! drives itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use downlink_codec::{Codec, FromDevice};
use downlink_core::lifecycle::Input;
use downlink_core::{DeviceKey, Offer};
use downlink_lwm2m::ExchangeId;
use downlink_store::{
    Change, Changed, Device, DeviceName, Dispatch, KeptRegistration, NotifyType, StoreError, Target,
};

use super::admission::{Admitted, Said, Turned};
use super::keeping::{Row, try_again};
use super::keys::Key;
use super::translate::{self, Translator, Untranslated, Usable, codec_of};
use crate::clock;
use crate::engine::{Engine, Word};
use crate::secrets::Sealer;

/// Between a failure of the store and the next try, where nobody waits for it.
const PAUSE: Duration = Duration::from_secs(1);

/// A call under way.
pub(super) type Call = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What calls share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) engine: Arc<Engine>,
    pub(super) translator: Arc<Translator>,
    pub(super) sealer: Arc<Sealer>,
    pub(super) max_result_bytes: usize,
}

/// How a call ended.
pub(super) enum Done {
    /// Whether a device may come in.
    Admitted(ExchangeId, Result<Box<(Admitted, Said)>, Turned>),
    /// A registered device as it is now; none: it is not registered with the server any more.
    LookedAgain(DeviceKey, Result<Option<Box<(Admitted, Said)>>, StoreError>),
    /// The device is not registered with the server any more.
    Removed(DeviceKey),
    /// What a device said was taken in.
    Heard(DeviceKey, Box<Heard>),
    /// The bytes of a command.
    Encoded(Box<Dispatch>, Result<Vec<u8>, Untranslated>),
    /// The device's next command, if there is one.
    Next(DeviceKey, Result<Option<Dispatch>, StoreError>),
    /// Changes were made; the queues of these devices have something again.
    Applied(Result<Vec<Changed>, StoreError>, Vec<DeviceKey>),
    /// The key of an identity, if somebody has it.
    Key(Box<[u8]>, Result<Option<Key>, StoreError>),
    /// Registrations were written, or these were not.
    Kept(Result<(), Vec<DeviceKey>>),
    /// Registrations that were kept; none: they cannot be read.
    ReadKept(Option<Vec<Row>>),
    /// Nothing that anybody waits for.
    Noted,
}

/// What a device said.
pub(super) struct Uplink {
    pub(super) exchange: Option<ExchangeId>,
    pub(super) payload: Arc<[u8]>,
}

/// What came of an uplink.
pub(super) struct Heard {
    pub(super) exchange: Option<ExchangeId>,
    /// It is in the store, or nothing of it has to be: it may be acknowledged.
    pub(super) kept: bool,
    /// The device as it is now, if it is known.
    pub(super) device: Option<Admitted>,
    /// The device has more to report.
    pub(super) more: bool,
    /// To be sent to the device besides.
    pub(super) answer: Option<Vec<u8>>,
    /// The next command, sent in the same transaction.
    pub(super) next: Vec<Dispatch>,
    /// Its bytes could not be read, and why.
    pub(super) unread: Option<String>,
    /// A result that no command waits for.
    pub(super) unmatched: bool,
}

impl Shared {
    /// Takes in what a device said: reads it, and keeps what it means. `offer`: a session that the next command may
    /// go over.
    pub(super) fn hear(&self, device: &Device, offer: Option<Offer>, uplink: Uplink) -> Call {
        let (shared, key, id) = (self.clone(), device.key, device.id.clone());
        Box::pin(async move {
            let device = match shared.engine.store().device(DeviceName::Id(&id)).await {
                Ok(Some(device)) => device,
                Ok(None) => return Done::Removed(key),
                Err(error) => return Done::Heard(key, Box::new(Heard::failed(uplink.exchange, &error))),
            };
            shared.engine.heard(key);
            let exchange = uplink.exchange;
            let heard = shared.take_in(device, offer, uplink).await;
            Done::Heard(
                key,
                Box::new(heard.unwrap_or_else(|error| Heard::failed(exchange, &error))),
            )
        })
    }

    async fn take_in(
        &self,
        device: Device,
        offer: Option<Offer>,
        uplink: Uplink,
    ) -> Result<Heard, StoreError> {
        let product = self.engine.product_of(&device).await?;
        let codec = codec_of(product.as_deref());
        let read = self
            .translator
            .decode(codec.clone(), Arc::clone(&uplink.payload))
            .await;
        let mut heard = Heard::kept(uplink.exchange);
        match read {
            Err(Untranslated::Busy) => heard.kept = false,
            Err(Untranslated::Never(why)) => {
                heard.answer = self.answer(&device, codec, uplink.payload, 1).await?;
                heard.unread = Some(why);
            }
            Ok(FromDevice::Report(report)) => {
                heard.more = report.has_more;
                heard.answer = self.answer(&device, codec, uplink.payload, 0).await?;
                self.keep_report(&device, report).await?;
            }
            Ok(FromDevice::Result(result)) => match result.mid {
                None => heard.unmatched = true,
                Some(mid) => {
                    let change = Change {
                        target: Target::Mid(device.key, mid),
                        input: Input::Replied(translate::reply(result, self.max_result_bytes)),
                        now: clock::now(),
                        then_send: offer,
                    };
                    for changed in self.engine.apply(vec![change]).await? {
                        heard.unmatched |= changed.outcome.is_none();
                        heard.next.extend(changed.next.map(|(_, dispatch)| dispatch));
                    }
                }
            },
        }
        heard.device = Some(Admitted { device, product });
        Ok(heard)
    }

    /// The answer to a report, if the codec gives one. It says whether commands wait for the device.
    async fn answer(
        &self,
        device: &Device,
        codec: Usable,
        report: Arc<[u8]>,
        errcode: u8,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if !codec.as_deref().is_ok_and(Codec::answers_reports) {
            return Ok(None);
        }
        let queued = self.engine.store().with_queue(vec![device.key]).await?;
        let answer = self.translator.answer(codec, report, errcode, !queued.is_empty());
        Ok(answer.await)
    }

    async fn keep_report(&self, device: &Device, report: downlink_codec::Report) -> Result<(), StoreError> {
        const KINDS: &[NotifyType] = &[NotifyType::DeviceDataChanged, NotifyType::DeviceDatasChanged];
        let (store, now) = (self.engine.store(), clock::now());
        let wanted = store.wants(device.app, KINDS);
        if !wanted && !store.keeps_history() && !store.keeps_shadow(device.family.is_some()) {
            return Ok(());
        }
        let reports = translate::services(report, now);
        match reports.is_empty() {
            true => Ok(()),
            false => match store.report(device.key, reports, now).await {
                // What is only kept for later is not, while there is little disk.
                Err(StoreError::DiskLow) if !wanted => Ok(()),
                kept => kept,
            },
        }
    }

    /// The bytes of a command.
    pub(super) fn encode(&self, codec: Usable, dispatch: Dispatch) -> Call {
        let shared = self.clone();
        Box::pin(async move {
            let bytes = shared.translator.encode(codec, &dispatch).await;
            Done::Encoded(Box::new(dispatch), bytes)
        })
    }

    /// Asks for the device's next command.
    pub(super) fn next(&self, device: DeviceKey, offer: Offer) -> Call {
        let engine = Arc::clone(&self.engine);
        Box::pin(async move { Done::Next(device, engine.send_next(device, offer).await) })
    }

    /// Makes changes, after which the queues of `again` have something.
    pub(super) fn apply(&self, changes: Vec<Change>, again: Vec<DeviceKey>) -> Call {
        let engine = Arc::clone(&self.engine);
        Box::pin(async move { Done::Applied(engine.apply(changes).await, again) })
    }

    /// Writes registrations, and that others ended.
    pub(super) fn keep(&self, rows: Vec<KeptRegistration>, ended: Vec<DeviceKey>) -> Call {
        let engine = Arc::clone(&self.engine);
        Box::pin(async move {
            let devices = rows.iter().map(|row| row.device).chain(ended.iter().copied());
            let devices: Vec<_> = devices.collect();
            match engine.store().keep_registrations(rows, ended).await {
                Ok(()) => Done::Kept(Ok(())),
                Err(error) => {
                    tracing::warn!(%error, "LwM2M: registrations could not be kept; they are tried again");
                    tokio::time::sleep(PAUSE).await;
                    Done::Kept(Err(devices))
                }
            }
        })
    }

    /// Reads registrations that were kept, of devices behind this one.
    pub(super) fn read_kept(&self, after: DeviceKey, limit: u32) -> Call {
        let shared = self.clone();
        Box::pin(async move {
            let mut tried = 1;
            loop {
                match shared.kept(after, limit).await {
                    Ok(page) => return Done::ReadKept(Some(page)),
                    Err(error) if try_again(tried, &error) => tokio::time::sleep(PAUSE).await,
                    Err(_) => return Done::ReadKept(None),
                }
                tried += 1;
            }
        })
    }

    async fn kept(&self, after: DeviceKey, limit: u32) -> Result<Vec<Row>, StoreError> {
        let mut page = Vec::new();
        for (device, kept) in self.engine.store().kept_registrations(after, limit).await? {
            let product = self.engine.product_of(&device).await?;
            let of = Admitted { device, product };
            page.push(Row { of, kept });
        }
        Ok(page)
    }

    /// Tells the application whether the device is there, if it wants to know.
    pub(super) fn presence(&self, device: &Device, online: bool) -> Call {
        let (engine, app, key) = (Arc::clone(&self.engine), device.app, device.key);
        Box::pin(async move {
            engine.tell_presence(app, key, Word::There(online)).await;
            Done::Noted
        })
    }
}

impl Heard {
    fn kept(exchange: Option<ExchangeId>) -> Self {
        Self {
            exchange,
            kept: true,
            device: None,
            more: false,
            answer: None,
            next: Vec::new(),
            unread: None,
            unmatched: false,
        }
    }

    fn failed(exchange: Option<ExchangeId>, error: &StoreError) -> Self {
        tracing::warn!(%error, "LwM2M: what a device said could not be kept; it is not acknowledged");
        Self {
            kept: false,
            ..Self::kept(exchange)
        }
    }
}
