//! What has to hold for any definition that was taken, and any bytes.

use std::sync::OnceLock;

use downlink_codec::{Binary, Codec, Command, CommandResult, FieldTrace, FromDevice, ToDevice};

const SEPARATOR: &[u8] = b"---\n";

/// A definition, a line `---`, bytes; or bytes alone.
pub(crate) fn check(data: &[u8]) {
    let place = data.windows(SEPARATOR.len()).position(|part| part == SEPARATOR);
    let Some(place) = place.filter(|place| *place > 0) else {
        return read(mirror(), data);
    };
    let Ok(text) = std::str::from_utf8(&data[..place]) else {
        return;
    };
    if let Ok(Codec::Binary(binary)) = Codec::from_document(text) {
        read(&binary, &data[place + SEPARATOR.len()..]);
    }
}

fn mirror() -> &'static Binary {
    static MIRROR: OnceLock<Binary> = OnceLock::new();
    MIRROR.get_or_init(|| match Codec::from_document(include_str!("../mirror.toml")) {
        Ok(Codec::Binary(binary)) => binary,
        other => panic!("{other:?}"),
    })
}

fn read(codec: &Binary, bytes: &[u8]) {
    let fields = codec.explain(bytes).map(|(_, fields)| fields).unwrap_or_default();
    let wrong = |field: &&FieldTrace| field.value.is_err() && !field.name.is_empty();
    let wrong = fields.iter().filter(wrong).count();
    match codec.decode(bytes) {
        Ok(message) => {
            assert_eq!(wrong, 0, "read, and explained as wrong");
            let json: serde_json::Value = serde_json::from_str(&message.to_json()).expect("JSON");
            assert!(json.is_object());
            if let FromDevice::Result(result) = &message {
                send_back(codec, result);
            }
        }
        Err(_) => assert!(wrong <= 1, "explained beyond the first fault"),
    }
}

/// Where a command has the layout of the response: read again, it is the same.
fn send_back(codec: &Binary, result: &CommandResult) {
    let command = Command {
        identifier: None,
        service: "S",
        command: "C",
        paras: result.body.as_deref().unwrap_or_default(),
        mid: result.mid,
        has_more: false,
    };
    let sent = codec.encode(&ToDevice::Command(command));
    if let (Ok(Some(bytes)), true) = (sent, std::ptr::eq(codec, mirror())) {
        assert_eq!(codec.decode(&bytes), Ok(FromDevice::Result(result.clone())));
    }
}
