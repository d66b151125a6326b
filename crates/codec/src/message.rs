//! What goes into a codec and what comes out, apart from bytes. JSON values are kept as the text they came as.

use downlink_core::Mid;

/// What the server has to say to a device; a codec makes its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToDevice<'a> {
    /// A command (`cloudReq`).
    Command(Command<'a>),
    /// The answer to a report (`cloudRsp`).
    ReportAnswer(ReportAnswer<'a>),
}

/// A command on its way to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command<'a> {
    /// What the device calls itself within its product, if that is told.
    pub identifier: Option<&'a str>,
    /// The service of the product.
    pub service: &'a str,
    /// The command of that service.
    pub command: &'a str,
    /// Its parameters: the text of a JSON object; empty text is an object without members.
    pub paras: &'a str,
    /// The number by which the device will name the command in its result.
    pub mid: Option<Mid>,
    /// Whether more commands wait for this device.
    pub has_more: bool,
}

/// The answer to a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportAnswer<'a> {
    /// What the device calls itself within its product, if that is told.
    pub identifier: Option<&'a str>,
    /// The report, as the device sent it.
    pub request: &'a [u8],
    /// 0: the report was understood; 1: it was not.
    pub errcode: u8,
    /// Whether commands wait for this device.
    pub has_more: bool,
}

/// What a device said, once a codec has read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromDevice {
    /// Data of its services (`deviceReq`).
    Report(Report),
    /// The result of a command (`deviceRsp`).
    Result(CommandResult),
}

impl FromDevice {
    /// The same as the platform's JSON (`msgType` `deviceReq` or `deviceRsp`), members in a fixed order.
    pub fn to_json(&self) -> String {
        crate::shape::said(self)
    }
}

/// Data of a device's services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What the device calls itself within its product, if it says so.
    pub identifier: Option<String>,
    /// Whether the device has more to report: cached commands are held back until it has not.
    pub has_more: bool,
    /// One entry for each service, in the order of the message.
    pub data: Vec<ServiceData>,
}

/// Data of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceData {
    /// The service of the product.
    pub service: String,
    /// The text of a JSON object.
    pub data: String,
    /// When it was measured, as the device wrote it; none: now.
    pub event_time: Option<String>,
}

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandResult {
    /// What the device calls itself within its product, if it says so.
    pub identifier: Option<String>,
    /// Which command; without it the result cannot be matched.
    pub mid: Option<Mid>,
    /// 0: it worked.
    pub errcode: i64,
    /// The response's fields: the text of a JSON object.
    pub body: Option<String>,
}
