//! What commands look like to a device, and how it writes results: JSON as it is, or a few bytes.

use serde_json::{Value, json};

/// The form of a device's payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Payload {
    /// The platform's JSON: `cloudReq` in, `deviceRsp` and `deviceReq` out.
    #[default]
    Json,
    /// Big-endian bytes. Command: `03`, mid (2), value (1). Result: `04`, mid (2), code (1), value (1). Report: `01`,
    /// value (1).
    Binary,
}

/// What a device understood of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The number that ties the result to the command, 1–65535.
    pub mid: u16,
    /// The command's one value in bytes, 0 in JSON.
    pub value: u8,
}

impl Payload {
    /// Reads a command; `None` if it is not one.
    pub fn read(self, bytes: &[u8]) -> Option<Request> {
        match self {
            Self::Json => read_json(bytes),
            Self::Binary => match *bytes {
                [3, high, low, value] => Some(Request {
                    mid: u16::from_be_bytes([high, low]),
                    value,
                }),
                _ => None,
            },
        }
    }

    /// The result of a command; `code` 0 is success.
    pub fn result(self, request: &Request, code: u8) -> Vec<u8> {
        let [high, low] = request.mid.to_be_bytes();
        match self {
            Self::Json => {
                let body = json!({"result": code});
                json!({"msgType": "deviceRsp", "mid": request.mid, "errcode": code, "body": body})
                    .to_string()
                    .into_bytes()
            }
            Self::Binary => vec![4, high, low, code, request.value],
        }
    }

    /// A report of the device's own, with a number in it.
    pub fn report(self, number: u8) -> Vec<u8> {
        match self {
            Self::Json => {
                let data = json!([{"serviceId": "Simulated", "serviceData": {"number": number}}]);
                json!({"msgType": "deviceReq", "data": data})
                    .to_string()
                    .into_bytes()
            }
            Self::Binary => vec![1, number],
        }
    }
}

fn read_json(bytes: &[u8]) -> Option<Request> {
    let message: Value = serde_json::from_slice(bytes).ok()?;
    let mid = u16::try_from(message.get("mid")?.as_u64()?).ok()?;
    let is_command = message.get("msgType").and_then(Value::as_str) == Some("cloudReq");
    is_command.then_some(Request { mid, value: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_command_and_its_result() {
        let text =
            br#"{"msgType":"cloudReq","serviceId":"Lamp","cmd":"SWITCH","paras":{"value":1},"mid":300}"#;
        let request = Payload::Json.read(text).unwrap();
        assert_eq!(request.mid, 300);
        let result: Value = serde_json::from_slice(&Payload::Json.result(&request, 0)).unwrap();
        assert_eq!(
            result,
            json!({"msgType": "deviceRsp", "mid": 300, "errcode": 0, "body": {"result": 0}})
        );
    }

    #[test]
    fn a_command_in_bytes_and_its_result() {
        let request = Payload::Binary.read(&[3, 1, 44, 9]).unwrap();
        assert_eq!(request, Request { mid: 300, value: 9 });
        assert_eq!(Payload::Binary.result(&request, 1), [4, 1, 44, 1, 9]);
    }

    #[test]
    fn what_is_no_command_is_none() {
        for bytes in [
            &b"{}"[..],
            b"x",
            br#"{"msgType":"cloudRsp","mid":1}"#,
            br#"{"msgType":"cloudReq","mid":65536}"#,
        ] {
            assert_eq!(Payload::Json.read(bytes), None);
        }
        for bytes in [&[3, 0, 1][..], &[4, 0, 1, 1], &[3, 0, 1, 1, 1], &[]] {
            assert_eq!(Payload::Binary.read(bytes), None);
        }
    }
}
