//! Taking a stream of server-sent events apart, as it comes in pieces.

use crate::failure::Failure;

/// The longest event that is taken.
const LONGEST: usize = 4 << 20;

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Where to resume after it.
    pub(super) id: Option<String>,
    /// What it is; empty: a change.
    pub(super) kind: String,
    /// What it says.
    pub(super) data: String,
}

/// What came and is no whole line yet, and the event in the making.
#[derive(Debug, Default)]
pub(super) struct Events {
    rest: Vec<u8>,
    event: Event,
}

impl Events {
    /// The events that are whole with these bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Failure> {
        let mut whole = Vec::new();
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            match line.trim_end_matches(['\r', '\n']) {
                "" => whole.push(std::mem::take(&mut self.event)),
                line => self.event.add(line),
            }
        }
        if self.rest.len() + self.event.data.len() > LONGEST {
            return Err(Failure::Failed(
                "the stream holds an event that is too long".to_owned(),
            ));
        }
        whole.retain(|event| *event != Event::default());
        Ok(whole)
    }
}

impl Event {
    fn add(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // A comment, or a field of a later version.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_wherever_they_are_cut() {
        let text =
            "id: c0\n\n:\n\nid: c1\ndata: {\"a\":1}\n\nevent: error\r\ndata:x\r\ndata: y\r\n\r\nid: c2\n";
        for size in 1..text.len() {
            let mut events = Events::default();
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                found.extend(events.take(piece).unwrap());
            }
            let event = |id: Option<&str>, kind: &str, data: &str| Event {
                id: id.map(str::to_owned),
                kind: kind.to_owned(),
                data: data.to_owned(),
            };
            let expected = [
                event(Some("c0"), "", ""),
                event(Some("c1"), "", "{\"a\":1}"),
                event(None, "error", "x\ny"),
            ];
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_endless_event_is_not_kept() {
        let mut events = Events::default();
        let piece = vec![b'x'; LONGEST / 2 + 1];
        assert!(events.take(&piece).is_ok() && events.take(&piece).is_err());
    }
}
