//! A message in one line, for people.

use std::fmt::{self, Write as _};

use super::{Code, Fault, Kind, Message, option};

/// A datagram in one line: type, code, ids, path, and the options that matter. Nothing of the payload but its length.
/// Text that the sender chose is escaped, so the line is one line whatever came.
pub fn describe(datagram: &[u8]) -> String {
    let mut line = String::new();
    let written = match Message::parse(datagram) {
        Ok(message) => write_message(&mut line, &message),
        Err(Fault::NotCoap) => write!(line, "no CoAP, {} bytes", datagram.len()),
        Err(Fault::Malformed { kind, mid }) => {
            write!(
                line,
                "{} mid {mid}: malformed, {} bytes",
                word(kind),
                datagram.len()
            )
        }
    };
    written.expect("a string takes everything");
    line
}

fn write_message(line: &mut String, message: &Message<'_>) -> fmt::Result {
    write!(line, "{} ", word(message.kind))?;
    match message.code {
        Code::EMPTY => line.push_str("empty"),
        Code::GET => line.push_str("GET"),
        Code::POST => line.push_str("POST"),
        Code::PUT => line.push_str("PUT"),
        Code::DELETE => line.push_str("DELETE"),
        code => write!(line, "{code}")?,
    }
    write_texts(line, message, option::URI_PATH, " /", "/")?;
    write_texts(line, message, option::URI_QUERY, "?", "&")?;
    write_texts(line, message, option::LOCATION_PATH, " location /", "/")?;
    write!(line, " mid {}", message.mid)?;
    if !message.token.as_slice().is_empty() {
        write!(line, " token {:?}", message.token)?;
    }
    for (number, name) in [
        (option::OBSERVE, "observe"),
        (option::CONTENT_FORMAT, "format"),
        (option::MAX_AGE, "max-age"),
    ] {
        if let Some(value) = message.uint(number) {
            write!(line, " {name} {value}")?;
        }
    }
    for (number, name) in [(option::BLOCK1, "block1"), (option::BLOCK2, "block2")] {
        match message.block(number) {
            Ok(Some(block)) => {
                let more = if block.more { "+" } else { "" };
                write!(line, " {name} {}{more}/{}", block.number, block.size())?;
            }
            Ok(None) => {}
            Err(()) => write!(line, " {name} invalid")?,
        }
    }
    match message.payload.len() {
        0 => Ok(()),
        bytes => write!(line, ", {bytes} bytes"),
    }
}

/// The values of an option that holds texts, one after the other.
fn write_texts(
    line: &mut String,
    message: &Message<'_>,
    number: u16,
    before: &str,
    between: &str,
) -> fmt::Result {
    for (place, value) in message.values(number).enumerate() {
        let separator = if place == 0 { before } else { between };
        write!(line, "{separator}{}", value.escape_ascii())?;
    }
    Ok(())
}

const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Con => "CON",
        Kind::Non => "NON",
        Kind::Ack => "ACK",
        Kind::Rst => "RST",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::{Block, Builder, Token};

    #[test]
    fn a_line_says_what_a_message_is() {
        let token = Token::from_slice(&[0xa1, 0xb2]).unwrap();
        let begin = |kind, code| Builder::new(kind, code, 7, token);
        let register = begin(Kind::Con, Code::POST)
            .each(option::URI_PATH, &["rd"])
            .each(option::URI_QUERY, &["ep=a\nb", "lt=60"])
            .payload(b"</19/0>");
        assert_eq!(
            describe(&register),
            "CON POST /rd?ep=a\\nb&lt=60 mid 7 token a1b2, 7 bytes"
        );
        let block = Block {
            number: 3,
            more: true,
            exponent: 2,
        };
        let report = begin(Kind::Non, Code::CONTENT)
            .uint(option::OBSERVE, 12)
            .uint(option::BLOCK2, block.value())
            .payload(&[0; 64]);
        assert_eq!(
            describe(&report),
            "NON 2.05 mid 7 token a1b2 observe 12 block2 3+/64, 64 bytes"
        );
        assert_eq!(describe(&Builder::empty(Kind::Ack, 9)), "ACK empty mid 9");
    }

    #[test]
    fn what_is_no_message_is_a_line_too() {
        assert_eq!(describe(b""), "no CoAP, 0 bytes");
        assert_eq!(describe(&[0x49, 1, 0, 5]), "CON mid 5: malformed, 4 bytes");
    }
}
