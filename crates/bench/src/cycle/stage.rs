//! A server with everything that cycles need: connected devices, a receiver, an application with a token.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::load::Load;
use crate::world::device::{self, Arrivals, Habit, Passwords};
use crate::world::http::Client;
use crate::world::server::{Server, Target};
use crate::world::sink::{self, Pushed};
use crate::world::tls::{Authority, Tls};
use crate::world::{Common, login, register};

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
    /// Starts the target on its data directory and connects the devices.
    pub(crate) async fn set(target: Target, common: &Common, plan: &Plan) -> anyhow::Result<Self> {
        let tls = match plan.tls {
            false => Tls::Off,
            true => Tls::On(Arc::new(Authority::new(&common.data_dir)?)),
        };
        let pushed = Pushed::new(sink::CYCLE);
        let receiver = sink::start(Rc::clone(&pushed), tls.clone()).await?;
        let callback = tls.url(receiver);
        let server = Server::start(target, common, tls).await?;
        let token = login(&server).await?;
        let arrivals = Arrivals::default();
        let habit = Habit {
            arrivals: Rc::clone(&arrivals),
            pad: plan.payload,
        };
        let devices = connect(&server, &token, plan.devices, &habit).await?;
        Ok(Self {
            target,
            server,
            token,
            devices: Rc::new(devices),
            callback,
            pushed,
            arrivals,
            plan: plan.clone(),
        })
    }

    /// A load on it, with so many commands under way.
    pub(crate) fn load(&self, in_flight: usize) -> Load<'_> {
        Load::new(self, self.plan.clone(), in_flight)
    }
}

async fn connect(server: &Server, token: &str, count: usize, habit: &Habit) -> anyhow::Result<Vec<String>> {
    let (mut client, passwords) = (Client::authorized(server, token).await?, Passwords::new());
    let mut devices = Vec::with_capacity(count);
    for n in 0..count {
        let device = register(&mut client, n).await?;
        let stream = device::connect(server, &device, &passwords, None).await?;
        tokio::task::spawn_local(device::answer_all(stream, device.clone(), habit.clone()));
        devices.push(device);
    }
    Ok(devices)
}
