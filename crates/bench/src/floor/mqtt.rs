//! The devices' side: MQTT 3.1.1 as far as the bench's devices speak it.
//!
//! The frames are read and written by hand. The server takes packets apart with `mqtt-protocol-core`, which copies each of
//! them; that is more work, and the floor is what can be done with less.

mod device;
mod heard;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use anyhow::bail;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};

use self::device::{Device, Outgoing};
use self::heard::Heard;
use super::{Floor, locked, spawn};
use crate::world::device::frame;

const CONNECT: u8 = 0x10;
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
const SUBSCRIBE: u8 = 0x82;

/// Room for a read. What is larger comes in pieces.
const READ: usize = 8192;

/// Devices that are connected, by their id.
#[derive(Default)]
pub(super) struct Devices(Mutex<HashMap<Arc<str>, Arc<Device>>>);

impl Devices {
    pub(super) fn get(&self, id: &str) -> Option<Arc<Device>> {
        locked(&self.0).get(id).cloned()
    }
}

/// Serves all who connect.
pub(super) async fn accept(floor: Arc<Floor>, listener: TcpListener) -> anyhow::Result<()> {
    loop {
        let (stream, _peer) = listener.accept().await?;
        spawn(serve(Arc::clone(&floor), stream));
    }
}

async fn serve(floor: Arc<Floor>, stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let (mut stream, outgoing) = stream.into_split();
    let mut buffer = Vec::new();
    let Some(device) = opened(&mut stream, &mut buffer, Outgoing::new(outgoing)).await? else {
        return Ok(());
    };
    locked(&floor.devices.0).insert(Arc::clone(&device.id), Arc::clone(&device));
    let mut heard = Heard::default();
    while read(&mut stream, &mut buffer).await? {
        let mut done = 0;
        while let Some((kind, from, to)) = frame(&buffer[done..]) {
            heard.packet(&device, kind, &buffer[done + from..done + to])?;
            done += to;
        }
        buffer.drain(..done);
        heard.settle(&floor, &device).await;
    }
    Ok(())
}

/// The device, when it has subscribed to its commands; none: it left before.
async fn opened(
    stream: &mut OwnedReadHalf,
    buffer: &mut Vec<u8>,
    outgoing: Arc<Outgoing>,
) -> anyhow::Result<Option<Arc<Device>>> {
    while read(stream, buffer).await? {
        while let Some((kind, from, to)) = frame(buffer) {
            match kind {
                CONNECT => outgoing.send(&CONNACK),
                SUBSCRIBE => {
                    let device = Device::subscribed(&buffer[from..to], outgoing)?;
                    buffer.drain(..to);
                    return Ok(Some(device));
                }
                _ => bail!("packet {kind:#x} before a subscription"),
            }
            buffer.drain(..to);
        }
    }
    Ok(None)
}

/// Adds what came; false at the end. Each call is one call of the system: the runtime knows that a read that did not fill the
/// buffer took all there was.
async fn read(stream: &mut OwnedReadHalf, buffer: &mut Vec<u8>) -> anyhow::Result<bool> {
    buffer.reserve(READ);
    Ok(stream.read_buf(buffer).await? > 0)
}
