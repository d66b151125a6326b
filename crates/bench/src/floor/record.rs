//! The records of the log: a byte for the kind, 16 for the command, then what is to be kept of it; texts have their length
//! before them. That a command was SENT is said by its being there: it is sent when that is on the disk.

/// What a command asks for.
pub(super) struct Asked<'a> {
    pub(super) device: &'a str,
    pub(super) service: &'a str,
    pub(super) method: &'a str,
    pub(super) paras: &'a str,
    pub(super) callback: &'a str,
    pub(super) expire_time: u32,
}

/// A command, with all that was asked.
pub(super) fn created(out: &mut Vec<u8>, command: u128, asked: &Asked<'_>) {
    head(out, 1, command);
    out.extend_from_slice(&asked.expire_time.to_be_bytes());
    for text in [
        asked.device,
        asked.service,
        asked.method,
        asked.paras,
        asked.callback,
    ] {
        put_text(out, text);
    }
}

/// The device acknowledged it.
pub(super) fn delivered(out: &mut Vec<u8>, command: u128, ms: u64) {
    head(out, 2, command);
    out.extend_from_slice(&ms.to_be_bytes());
}

/// The device answered.
pub(super) fn answered(out: &mut Vec<u8>, command: u128, ms: u64, result: &str) {
    head(out, 3, command);
    out.extend_from_slice(&ms.to_be_bytes());
    put_text(out, result);
}

/// The receiver knows all of it.
pub(super) fn told(out: &mut Vec<u8>, command: u128) {
    head(out, 4, command);
}

fn head(out: &mut Vec<u8>, kind: u8, command: u128) {
    out.push(kind);
    out.extend_from_slice(&command.to_be_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
