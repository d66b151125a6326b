//! One datagram: it is read or refused, and what is read is written back the same. The fuzz target and the test that
//! replays the corpus both call this.

use downlink_lwm2m::coap::{Builder, Message, option};

/// Reads a datagram, looks at all of it, and writes it back.
pub(crate) fn check(datagram: &[u8]) {
    let Ok(message) = Message::parse(datagram) else {
        return;
    };
    let mut again = Builder::new(message.kind, message.code, message.mid, message.token);
    for (number, value) in message.options() {
        again = again.option(number, value);
    }
    let again = again.payload(message.payload);
    let twice = Message::parse(&again).expect("what was read can be read again");
    assert_eq!(twice.payload, message.payload);
    assert!(twice.options().eq(message.options()));
    for number in [option::BLOCK1, option::BLOCK2] {
        if let Ok(Some(block)) = message.block(number) {
            assert!(block.exponent < 7 && block.number <= downlink_lwm2m::coap::Block::LAST);
        }
    }
    message.uint(option::OBSERVE);
}
