//! Between commands and a device's bytes, by the codec of its product.
//!
//! Scripts run on threads of their own and take turns there: one that uses all of its time delays no other device.

use std::io;
use std::sync::Arc;

use downlink_api::time::WireTime;
use downlink_codec::{
    Codec, Command, CommandResult, FromDevice, PoolLimits, Report, ReportAnswer, ScriptHost, ScriptPool,
    ToDevice,
};
use downlink_core::Timestamp;
use downlink_core::lifecycle::Reply;
use downlink_store::{Dispatch, ServiceData};
use tokio::sync::oneshot;

use crate::products::ReadyProduct;

/// Services of one report that are kept, at the most.
const MOST: usize = 500;

/// Runs codecs.
pub(super) struct Translator {
    scripts: ScriptPool,
    host: ScriptHost,
}

/// Why there is no translation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Untranslated {
    /// Too many scripts wait for their turn: it is worth trying again.
    Busy,
    /// There is none. Says why, for people.
    Never(String),
}

/// A codec as a call uses it; else why the product's cannot be used.
pub(super) type Usable = Result<Arc<Codec>, String>;

/// The codec of a device's product. Devices without a product speak the platform's JSON.
pub(super) fn codec_of(product: Option<&ReadyProduct>) -> Usable {
    match product {
        None => Ok(Arc::new(Codec::Json)),
        Some(product) => product.translator.clone(),
    }
}

impl Translator {
    /// Starts the threads for scripts.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(super) fn start(limits: PoolLimits) -> io::Result<Self> {
        let host = ScriptHost::default();
        Ok(Self {
            scripts: ScriptPool::new(host, limits)?,
            host,
        })
    }

    /// Calls of scripts that wait for their turn, and threads that have not come back from one.
    pub(super) fn figures(&self) -> (usize, usize) {
        (self.scripts.waiting(), self.scripts.lost())
    }

    /// The bytes of a command.
    pub(super) async fn encode(&self, codec: Usable, dispatch: &Dispatch) -> Result<Vec<u8>, Untranslated> {
        let (body, mid, has_more) = (Arc::clone(&dispatch.body), dispatch.mid, dispatch.more);
        let encoding = self.run(codec, move |codec, host| {
            let command = Command {
                identifier: None,
                service: &body.service,
                command: &body.method,
                paras: &body.paras,
                mid,
                has_more,
            };
            codec.encode(host, &ToDevice::Command(command))
        });
        match encoding.await? {
            Ok(Some(bytes)) if !bytes.is_empty() => Ok(bytes),
            Ok(_) => Err(Untranslated::Never("the codec gave nothing".to_owned())),
            Err(error) => Err(Untranslated::Never(format!("the codec failed: {error}"))),
        }
    }

    /// What a device's bytes say.
    pub(super) async fn decode(&self, codec: Usable, bytes: Arc<[u8]>) -> Result<FromDevice, Untranslated> {
        let decoding = self.run(codec, move |codec, host| codec.decode(host, &bytes, None));
        let decoded = decoding.await?;
        decoded.map_err(|error| Untranslated::Never(error.to_string()))
    }

    /// The answer to a report that was read or not, if the product's codec gives one.
    pub(super) async fn answer(
        &self,
        codec: Usable,
        request: Arc<[u8]>,
        errcode: u8,
        has_more: bool,
    ) -> Option<Vec<u8>> {
        let encoding = self.run(codec, move |codec, host| {
            let answer = ReportAnswer {
                identifier: None,
                request: &request,
                errcode,
                has_more,
            };
            codec.encode(host, &ToDevice::ReportAnswer(answer))
        });
        match encoding.await {
            Ok(Ok(bytes)) => bytes.filter(|bytes| !bytes.is_empty()),
            Ok(Err(error)) => {
                tracing::info!(%error, "LwM2M: a report is not answered: the codec failed");
                None
            }
            Err(why) => {
                tracing::info!(?why, "LwM2M: a report is not answered");
                None
            }
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        codec: Usable,
        call: impl FnOnce(&Codec, &ScriptHost) -> T + Send + 'static,
    ) -> Result<T, Untranslated> {
        let codec = codec.map_err(Untranslated::Never)?;
        let Codec::Script(script) = &*codec else {
            return Ok(call(&codec, &self.host));
        };
        let (reply, done) = oneshot::channel();
        let work = {
            let codec = Arc::clone(&codec);
            move |host: &ScriptHost| call(&codec, host)
        };
        // Nobody waits for it any more: the server stops.
        let reply = move |result| drop(reply.send(result));
        self.scripts
            .run(script, work, reply)
            .map_err(|_| Untranslated::Busy)?;
        match done.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(Untranslated::Never(format!("the codec failed: {error}"))),
            Err(_) => Err(Untranslated::Never("the codec broke off".to_owned())),
        }
    }
}

/// What a result says of its command.
pub(super) fn reply(result: CommandResult, max_bytes: usize) -> Reply {
    let too_long = result.body.as_ref().is_some_and(|body| body.len() > max_bytes);
    let mut detail = format!("errcode {}", result.errcode);
    if too_long {
        detail.push_str("; its body is too long to be kept");
    }
    Reply {
        ok: result.errcode == 0,
        body: result.body.filter(|_| !too_long),
        detail,
    }
}

/// What a report says of its device's services; none if it says nothing.
pub(super) fn services(report: Report, now: Timestamp) -> Vec<downlink_store::Report> {
    let one = |service: downlink_codec::ServiceData| ServiceData {
        at: service
            .event_time
            .and_then(|time| WireTime::parse(&time))
            .map_or(now, |at| at.0),
        service: service.service,
        data: service.data,
    };
    let services: Vec<_> = report.data.into_iter().take(MOST).map(one).collect();
    match services.is_empty() {
        true => Vec::new(),
        false => vec![downlink_store::Report::Data(services)],
    }
}
