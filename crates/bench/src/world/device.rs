//! Devices on raw sockets: subscribe, acknowledge every command, answer it at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::server::Door;
use super::sink::Pushed;
use super::{SECRET, Stream, dial};

const STAMP: &str = "2026010100";
/// Seconds; a PINGREQ goes out at half of it.
const KEEP_ALIVE: u16 = 1200;

/// When commands reached their devices, by their number. One thread, so no lock.
pub(crate) type Arrivals = Rc<RefCell<HashMap<u64, Instant>>>;

/// How a device answers its commands.
#[derive(Clone)]
pub(crate) struct Habit {
    /// Where it notes what came.
    pub(crate) arrivals: Arrivals,
    /// How much larger its result is than the smallest.
    pub(crate) pad: usize,
    /// Where it notes that a result was acknowledged, by the command's number; none: nobody asks.
    pub(crate) kept: Option<Rc<RefCell<Pushed>>>,
}

/// What is noted of a result that was acknowledged.
pub(crate) const KEPT: &str = "kept";

/// What a device needs to say it is itself, the same for all: an HMAC each would be the driver's burden, not the server's.
pub(crate) struct Passwords(String);

impl Passwords {
    pub(crate) fn new() -> Self {
        Self(downlink_fleet::credentials::password(STAMP, SECRET))
    }
}

/// Connects a device and subscribes it to its commands; `from` is the loopback address it comes from.
pub(crate) async fn connect(
    door: &Door,
    device: &str,
    passwords: &Passwords,
    from: SocketAddr,
) -> anyhow::Result<Stream> {
    let stream = dial(door.address, Some(from)).await?;
    // When it goes it is gone: a reset, nothing that waits.
    stream.set_zero_linger()?;
    let mut stream = door.tls.wrap(stream).await?;
    let client = format!("{device}_0_0_{STAMP}");
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0xc2];
    body.extend_from_slice(&KEEP_ALIVE.to_be_bytes());
    for text in [client.as_str(), device, passwords.0.as_str()] {
        push_text(&mut body, text);
    }
    let mut both = packet(0x10, &body);
    let mut filter = vec![0, 1];
    push_text(&mut filter, &format!("/huawei/v1/devices/{device}/command/json"));
    filter.push(1);
    both.extend_from_slice(&packet(0x82, &filter));
    stream.write_all(&both).await?;
    stream.flush().await?;

    let mut answers = [0; 9];
    stream.read_exact(&mut answers).await?;
    if answers[..4] != [0x20, 2, 0, 0] || answers[8] != 1 {
        bail!("refused: {answers:?}");
    }
    Ok(stream)
}

/// Answers all commands until the connection ends.
pub(crate) async fn answer_all(mut stream: Stream, device: String, habit: Habit) -> anyhow::Result<()> {
    let topic = data_topic(&device);
    let (mut buffer, mut out) = (Vec::with_capacity(1024), Vec::with_capacity(512));
    let mut packet_id = 0u16;
    let mut unkept: HashMap<u16, u64> = HashMap::new();
    let mut ping = tokio::time::interval(Duration::from_secs(u64::from(KEEP_ALIVE) / 2));
    ping.tick().await;
    loop {
        while let Some((kind, from, to)) = frame(&buffer) {
            if kind >> 4 == 3 {
                packet_id = packet_id.checked_add(1).unwrap_or(1);
                let number = answer(&buffer[from..to], &topic, packet_id, &habit, &mut out)?;
                unkept.extend(
                    number
                        .filter(|_| habit.kept.is_some())
                        .map(|number| (packet_id, number)),
                );
            }
            if kind >> 4 == 4
                && let Some(kept) = &habit.kept
                && let Some(number) = unkept.remove(&u16::from_be_bytes([buffer[from], buffer[from + 1]]))
            {
                kept.borrow_mut().take(&number.to_string(), KEPT);
            }
            buffer.drain(..to);
        }
        if !out.is_empty() {
            stream.write_all(&out).await?;
            stream.flush().await?;
            out.clear();
        }
        tokio::select! {
            read = stream.read_buf(&mut buffer) => if read? == 0 {
                return Ok(());
            },
            _ = ping.tick() => out.extend_from_slice(&[0xc0, 0]),
        }
    }
}

/// The topic of a device's reports and results.
pub(crate) fn data_topic(device: &str) -> String {
    format!("/huawei/v1/devices/{device}/data/json")
}

/// PUBACK and result of a QoS 1 command. Gives the number in it.
fn answer(
    publish: &[u8],
    topic: &str,
    packet_id: u16,
    habit: &Habit,
    out: &mut Vec<u8>,
) -> anyhow::Result<Option<u64>> {
    let length = usize::from(u16::from_be_bytes([publish[0], publish[1]]));
    let id = publish.get(2 + length..4 + length).context("a packet id")?;
    out.extend_from_slice(&[0x40, 2, id[0], id[1]]);
    let payload = std::str::from_utf8(&publish[4 + length..])?;
    let mid = number(payload, "\"mid\":").context("a mid")?;
    let number = number(payload, "\"value\":");
    if let Some(number) = number {
        habit
            .arrivals
            .borrow_mut()
            .entry(number)
            .or_insert_with(Instant::now);
    }
    let pad = match habit.pad {
        0 => String::new(),
        pad => format!(r#","pad":"{}""#, "x".repeat(pad)),
    };
    let text = format!(r#"{{"msgType":"deviceRsp","mid":{mid},"errcode":0,"body":{{"light":"on"{pad}}}}}"#);
    publish_to(out, topic, packet_id, text.as_bytes());
    Ok(number)
}

fn number(text: &str, key: &str) -> Option<u64> {
    let rest = &text[text.find(key)? + key.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Adds a PUBLISH at QoS 1.
pub(crate) fn publish_to(out: &mut Vec<u8>, topic: &str, packet_id: u16, payload: &[u8]) {
    let mut body = Vec::with_capacity(topic.len() + 4 + payload.len());
    push_text(&mut body, topic);
    body.extend_from_slice(&packet_id.to_be_bytes());
    body.extend_from_slice(payload);
    out.extend_from_slice(&packet(0x32, &body));
}

/// The first whole packet: its first byte, where its body begins and ends.
pub(crate) fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (mut length, mut at) = (0usize, 1);
    loop {
        let byte = *bytes.get(at)?;
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    (bytes.len() >= at + length).then_some((bytes[0], at, at + length))
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut left = body.len();
    loop {
        let byte = (left % 128) as u8;
        left /= 128;
        packet.push(if left > 0 { byte | 0x80 } else { byte });
        if left == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

fn push_text(into: &mut Vec<u8>, text: &str) {
    into.extend_from_slice(&(text.len() as u16).to_be_bytes());
    into.extend_from_slice(text.as_bytes());
}
