//! Devices on raw sockets: subscribe, acknowledge every command, answer it at once.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const STAMP: &str = "2026010100";

/// Connects a device and has it answer until the connection ends.
pub(crate) async fn connect(server: SocketAddr, device: &str, secret: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let client = format!("{device}_0_0_{STAMP}");
    let password = downlink_sim::credentials::password(STAMP, secret);
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0xc2, 4, 0];
    for text in [client.as_str(), device, password.as_str()] {
        push_text(&mut body, text);
    }
    stream.write_all(&packet(0x10, &body)).await?;
    let mut filter = vec![0, 1];
    push_text(&mut filter, &format!("/huawei/v1/devices/{device}/command/json"));
    filter.push(1);
    stream.write_all(&packet(0x82, &filter)).await?;

    let mut answers = [0; 9];
    stream.read_exact(&mut answers).await?;
    if answers[..4] != [0x20, 2, 0, 0] || answers[8] != 1 {
        bail!("refused: {answers:?}");
    }
    tokio::spawn(answer_all(
        stream,
        format!("/huawei/v1/devices/{device}/data/json"),
    ));
    Ok(())
}

async fn answer_all(mut stream: TcpStream, topic: String) -> anyhow::Result<()> {
    let (mut buffer, mut out) = (Vec::with_capacity(4096), Vec::with_capacity(1024));
    let mut packet_id = 0u16;
    loop {
        while let Some((kind, from, to)) = frame(&buffer) {
            if kind >> 4 == 3 {
                packet_id = packet_id.checked_add(1).unwrap_or(1);
                answer(&buffer[from..to], &topic, packet_id, &mut out)?;
            }
            buffer.drain(..to);
        }
        if !out.is_empty() {
            stream.write_all(&out).await?;
            out.clear();
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// PUBACK and result of a QoS 1 command.
fn answer(publish: &[u8], topic: &str, packet_id: u16, out: &mut Vec<u8>) -> anyhow::Result<()> {
    let length = usize::from(u16::from_be_bytes([publish[0], publish[1]]));
    let id = publish.get(2 + length..4 + length).context("a packet id")?;
    out.extend_from_slice(&[0x40, 2, id[0], id[1]]);
    let payload = std::str::from_utf8(&publish[4 + length..])?;
    let from = payload.find("\"mid\":").context("a mid")? + 6;
    let mid: String = payload[from..].chars().take_while(char::is_ascii_digit).collect();
    let mut body = Vec::with_capacity(160);
    push_text(&mut body, topic);
    body.extend_from_slice(&packet_id.to_be_bytes());
    body.extend_from_slice(
        format!(r#"{{"msgType":"deviceRsp","mid":{mid},"errcode":0,"body":{{"light":"on"}}}}"#).as_bytes(),
    );
    out.extend_from_slice(&packet(0x32, &body));
    Ok(())
}

/// The first whole packet: its first byte, where its body begins and ends.
fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
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
