//! `downlink device trace`: what one device says and is told, as it comes. Speaks the admin interface.

use std::fmt::Write as _;

use serde_json::Value;

use crate::client::{Admin, Query};
use crate::failure::Failure;
use crate::output::{Out, text_at};

/// The longest line that is taken.
const LONGEST: usize = 1 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The device's id
    id: String,
    /// For how long, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    secs: u64,
    /// Shows what the packets carry, too, in hexadecimal digits
    #[arg(long)]
    payload: bool,
}

pub(super) async fn run(server: &Admin, out: Out, args: &Args) -> Result<(), Failure> {
    let query: Query = vec![
        ("secs", args.secs.to_string()),
        ("payload", args.payload.to_string()),
    ];
    let mut stream = server.trace_device(&args.id, &query).await?;
    let mut rest = Vec::new();
    while let Some(bytes) = stream.chunk().await? {
        rest.extend_from_slice(&bytes);
        for line in whole_lines(&mut rest)? {
            tell(out, &line)?;
        }
    }
    Ok(())
}

/// Takes the lines that are whole off the bytes that came; empty ones say nothing.
fn whole_lines(rest: &mut Vec<u8>) -> Result<Vec<Value>, Failure> {
    let mut lines = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = rest.drain(..=end).collect();
        let line = line.trim_ascii();
        if !line.is_empty() {
            let packet = serde_json::from_slice(line)
                .map_err(|error| Failure::Failed(format!("the trace holds what is no JSON: {error}")))?;
            lines.push(packet);
        }
    }
    match rest.len() > LONGEST {
        true => Err(Failure::Failed(
            "the trace holds a line that is too long".to_owned(),
        )),
        false => Ok(lines),
    }
}

fn tell(out: Out, packet: &Value) -> Result<(), Failure> {
    out.show(packet, || {
        let text = |member| text_at(packet, member);
        let arrow = match text("/direction").as_str() {
            "toDevice" => "->",
            _ => "<-",
        };
        let mut line = format!("{}  {arrow}  {}  {}", text("/at"), text("/peer"), text("/packet"));
        if packet.get("payload").is_some() {
            write!(line, "  {}", text("/payload")).expect("a string takes everything");
        }
        if let Some(lost) = packet.get("lostBefore") {
            line.insert_str(0, &format!("({lost} packets were not shown)\n"));
        }
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_wherever_they_are_cut() {
        let text = b"\n{\"a\":1}\n\n{\"a\":2}\n{\"a\":";
        for size in 1..text.len() {
            let (mut rest, mut found) = (Vec::new(), Vec::new());
            for piece in text.chunks(size) {
                rest.extend_from_slice(piece);
                found.extend(whole_lines(&mut rest).unwrap());
            }
            assert_eq!(found.len(), 2, "cut every {size}");
            assert_eq!(found[1]["a"], 2);
        }
        assert!(whole_lines(&mut b"no\n".to_vec()).is_err());
    }
}
