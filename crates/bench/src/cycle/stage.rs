//! A server with everything that cycles need: connected devices, a receiver, an application with a token.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use super::load::{Load, Side};
use crate::world::device::{self, Arrivals, Habit};
use crate::world::fleet;
use crate::world::server::{Server, Target};
use crate::world::sink::{self, Pushed};
use crate::world::tls::{Authority, Tls};
use crate::world::{Common, Stream, login};

/// What the cycles are like.
#[derive(clap::Args, Clone)]
pub(crate) struct Plan {
    /// Devices connected
    #[arg(long, default_value_t = 256)]
    pub(crate) devices: usize,
    /// Bytes added to each command and each result
    #[arg(long, default_value_t = 0)]
    pub(crate) payload: usize,
    /// `expireTime` of the commands, in seconds
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) expire_time: u32,
    /// TLS on all sides: application, devices, receiver
    #[arg(long)]
    pub(crate) tls: bool,
}

/// See the module.
pub(crate) struct Stage {
    pub(crate) target: Target,
    pub(crate) server: Server,
    pub(crate) token: String,
    pub(crate) devices: Rc<Vec<String>>,
    pub(crate) callback: String,
    pub(crate) pushed: Rc<RefCell<Pushed>>,
    pub(crate) arrivals: Arrivals,
    plan: Plan,
}

impl Stage {
    /// Starts the target on its data directory and connects the devices of the plan.
    pub(crate) async fn set(target: Target, common: &Common, plan: &Plan) -> anyhow::Result<Self> {
        let mut stage = Self::open(target, common, plan).await?;
        let devices = stage.enroll(0..plan.devices as u64).await?;
        stage.connect(devices).await?;
        Ok(stage)
    }

    /// Starts the target on its data directory, without any devices.
    pub(crate) async fn open(target: Target, common: &Common, plan: &Plan) -> anyhow::Result<Self> {
        let tls = match plan.tls {
            false => Tls::Off,
            true => Tls::On(Arc::new(Authority::new(&common.data_dir)?)),
        };
        let pushed = Pushed::new(sink::CYCLE);
        let receiver = sink::start(Rc::clone(&pushed), tls.clone()).await?;
        let callback = tls.url(receiver);
        let server = Server::start(target, common, tls).await?;
        let token = login(&server).await?;
        Ok(Self {
            target,
            server,
            token,
            devices: Rc::default(),
            callback,
            pushed,
            arrivals: Arrivals::default(),
            plan: plan.clone(),
        })
    }

    /// Ends the server as a crash would, and starts it again on the same data. All connections are gone.
    pub(crate) async fn restart(mut self, common: &Common) -> anyhow::Result<Self> {
        let tls = self.server.tls.clone();
        self.server.kill().await?;
        self.server = Server::start(self.target, common, tls).await?;
        self.devices = Rc::default();
        Ok(self)
    }

    /// Registers devices by number; gives their ids.
    pub(crate) async fn enroll(&self, numbers: Range<u64>) -> anyhow::Result<Rc<Vec<String>>> {
        let devices = fleet::enroll(&self.server, &self.token, numbers).await?;
        Ok(Rc::new(devices))
    }

    /// Connects registered devices. From now on cycles go to them, and they answer.
    pub(crate) async fn connect(&mut self, devices: Rc<Vec<String>>) -> anyhow::Result<()> {
        let streams = fleet::connect(&self.server, &devices).await?;
        self.answer(devices, streams);
        Ok(())
    }

    /// Has connected devices answer from now on: cycles go to them.
    pub(crate) fn answer(&mut self, devices: Rc<Vec<String>>, streams: Vec<Stream>) {
        self.have_answered(&devices, streams, None);
        self.devices = devices;
    }

    /// `kept`: where it is noted that results were acknowledged.
    fn have_answered(&self, devices: &[String], streams: Vec<Stream>, kept: Option<Rc<RefCell<Pushed>>>) {
        let habit = Habit {
            arrivals: Rc::clone(&self.arrivals),
            pad: self.plan.payload,
            kept,
        };
        for (device, stream) in devices.iter().zip(streams) {
            tokio::task::spawn_local(device::answer_all(stream, device.clone(), habit.clone()));
        }
    }

    /// A load on it, with so many commands under way.
    pub(crate) fn load(&self, in_flight: usize) -> Load<'_> {
        let side = Side {
            devices: Rc::clone(&self.devices),
            callback: self.callback.as_str().into(),
            pushed: Rc::clone(&self.pushed),
        };
        Load::new(self, self.plan.clone(), side, in_flight)
    }

    /// Connects registered devices for a load of their own, whose commands name no callback: a cycle is over when its device's
    /// result was acknowledged.
    pub(crate) async fn silent_load(
        &self,
        devices: Rc<Vec<String>>,
        in_flight: usize,
    ) -> anyhow::Result<Load<'_>> {
        let pushed = Pushed::new(&[device::KEPT]);
        let streams = fleet::connect(&self.server, &devices).await?;
        self.have_answered(&devices, streams, Some(Rc::clone(&pushed)));
        let callback = "".into();
        let side = Side {
            devices,
            callback,
            pushed,
        };
        Ok(Load::new(self, self.plan.clone(), side, in_flight))
    }
}
