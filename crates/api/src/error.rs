//! The error codes of the REST interface: one table of code, HTTP status and text, and the two shapes of error bodies.
//!
//! The platform's own pages often name HTTP 200 for business errors. Clients look at the body first and at exact
//! success statuses next, so Downlink always answers errors with a status that is not 2xx.

use serde::Serialize;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $status:literal $text:literal;)*) => {
        /// What went wrong, as applications are told.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code on the wire; a string of digits.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status that goes with it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// What it means.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// No token, or one that is unknown, ended, or of another application than `app_key` says.
    InvalidToken = "1010005" 403 "Invalid access token or appId.";
    /// More calls than the operator allows an application.
    Throttled = "1010009" 403 "The application's calls exceed the limit.";
    /// A defect of the server.
    Internal = "100001" 500 "Internal server error.";
    /// The method does not fit the path.
    IllegalRequest = "100019" 405 "Illegal request.";
    /// A field, or the body as a whole.
    InvalidInput = "100022" 400 "The input is invalid.";
    /// The application was removed meanwhile.
    NoApp = "100203" 403 "The application is not existed.";
    /// At login and refresh: which of them is wrong is not said.
    WrongSecret = "100208" 401 "AppId or secret is not right.";
    /// `appId` names another application.
    NotAuthorized = "100217" 403 "The application hasn't been authorized.";
    /// See the rules of callback URLs.
    BadCallback = "100222" 400 "The request callbackurl is illegal.";
    /// The device's queue.
    QueueFull = "100223" 400 "Command counts has reached the upLimit.";
    /// It is subscribed to already, to another URL.
    Conflict = "100227" 409 "The resource is conflicted.";
    /// No such path.
    NotFound = "100225" 404 "The resource is not found.";
    /// Where devices are managed.
    NoDevice = "100403" 404 "The device is not existed.";
    /// The application's limit of devices.
    TooManyDevices = "100412" 500 "The amount of device has reached the limit.";
    /// Where commands are made.
    NoDeviceData = "100418" 404 "The deviceData is not existed.";
    /// By whomever.
    DuplicateNode = "100426" 400 "The nodeId is duplicated.";
    /// It never connected.
    NotActive = "100610" 400 "The device is not active.";
    /// What is asked for is possible only while it is not.
    StillOnline = "100611" 400 "The device is online.";
    /// Of what devices reported.
    BadQuery = "100216" 400 "The application input is invalid.";
    /// Neither of them is given.
    NoDeviceNamed = "100419" 400 "The deviceId and gatewayId can't be both null.";
    /// For immediate commands.
    NotOnline = "100428" 409 "The device is not online.";
    /// The product of the device has no such service, or no such command of it.
    NoService = "100431" 400 "The serviceType is not exist.";
    /// The application muted this command of the device.
    CommandMuted = "100432" 409 "The device command is muted.";
    /// It was not heard for longer than the operator allows.
    DeviceSilent = "100612" 403 "The device has been silent for too long.";
    /// Unknown, or of another application.
    NoCommand = "100434" 404 "The device command is not existed.";
    /// It was sent, or is over.
    NotCancelable = "100435" 409 "The device command has been canceled, expired or executed. Cannot be canceled again.";
    /// Its own limit, or the operator's.
    TooManyInGroup = "100601" 400 "The number of device in the group has reach the max.";
    /// The application has a group of this name.
    GroupNameTaken = "100602" 409 "The device group name has been used.";
    /// Unknown, or of another application.
    NoGroup = "100603" 404 "The device group is not existed.";
    /// So many tasks of the application are not over.
    TooManyTasks = "105001" 400 "The number of unfinished batch tasks has reached the limit.";
    /// The application has a task of this name.
    TaskNameTaken = "105002" 409 "The name of the batch task exists.";
    /// Unknown, or of another application.
    NoTask = "105005" 404 "The batch task is not existed.";
    /// Try again later.
    Congested = "100501" 503 "Congestion occurs, and the current network is under flow control.";
    /// At login and refresh.
    MissingParameter = "102202" 400 "Required Parameter is null or empty.";
    /// What came after it is not kept any more. A code of our own.
    CursorExpired = "900410" 410 "The cursor has expired: changes after it are no longer kept.";
    /// It is off unless the operator switches it on. A code of our own.
    FeedOff = "900409" 409 "The feed of the application is switched off.";
    /// The store is out of order; whether a change was kept is not known.
    StoreFailed = "50252" 500 "Internal server error.";
}

#[derive(Serialize)]
struct Business<'a> {
    error_code: &'a str,
    error_desc: &'a str,
}

#[derive(Serialize)]
struct Gateway<'a> {
    resultcode: &'a str,
    resultmsg: &'a str,
}

impl Code {
    /// The body that tells it: `{"error_code":"…","error_desc":"…"}`, and for what the platform's gateway decides
    /// (tokens, rates) `{"resultcode":"…","resultmsg":"…"}`, where clients look for these very words before they log in
    /// again. `detail` says more, such as field and rule; it follows the text.
    pub fn body(self, detail: &str) -> Vec<u8> {
        let said = match detail {
            "" => self.text().to_owned(),
            detail => format!("{} {detail}", self.text()),
        };
        let body = match self {
            Self::InvalidToken | Self::Throttled => serde_json::to_vec(&Gateway {
                resultcode: self.as_str(),
                resultmsg: &said,
            }),
            Self::Internal
            | Self::IllegalRequest
            | Self::InvalidInput
            | Self::NoApp
            | Self::WrongSecret
            | Self::NotAuthorized
            | Self::BadCallback
            | Self::QueueFull
            | Self::Conflict
            | Self::NotFound
            | Self::NoDevice
            | Self::TooManyDevices
            | Self::NoDeviceData
            | Self::DuplicateNode
            | Self::BadQuery
            | Self::NoDeviceNamed
            | Self::NotActive
            | Self::StillOnline
            | Self::NotOnline
            | Self::NoService
            | Self::CommandMuted
            | Self::DeviceSilent
            | Self::NoCommand
            | Self::NotCancelable
            | Self::TooManyInGroup
            | Self::GroupNameTaken
            | Self::NoGroup
            | Self::TooManyTasks
            | Self::TaskNameTaken
            | Self::NoTask
            | Self::Congested
            | Self::MissingParameter
            | Self::CursorExpired
            | Self::FeedOff
            | Self::StoreFailed => serde_json::to_vec(&Business {
                error_code: self.as_str(),
                error_desc: &said,
            }),
        };
        body.expect("two texts are always JSON")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Golden: clients compare these. A change here is a change of the interface.
    #[test]
    fn the_table() {
        let rows: Vec<String> = Code::ALL
            .iter()
            .map(|code| format!("{} {} {}", code.as_str(), code.status(), code.text()))
            .collect();
        let expected = "\
1010005 403 Invalid access token or appId.
1010009 403 The application's calls exceed the limit.
100001 500 Internal server error.
100019 405 Illegal request.
100022 400 The input is invalid.
100203 403 The application is not existed.
100208 401 AppId or secret is not right.
100217 403 The application hasn't been authorized.
100222 400 The request callbackurl is illegal.
100223 400 Command counts has reached the upLimit.
100227 409 The resource is conflicted.
100225 404 The resource is not found.
100403 404 The device is not existed.
100412 500 The amount of device has reached the limit.
100418 404 The deviceData is not existed.
100426 400 The nodeId is duplicated.
100610 400 The device is not active.
100611 400 The device is online.
100216 400 The application input is invalid.
100419 400 The deviceId and gatewayId can't be both null.
100428 409 The device is not online.
100431 400 The serviceType is not exist.
100432 409 The device command is muted.
100612 403 The device has been silent for too long.
100434 404 The device command is not existed.
100435 409 The device command has been canceled, expired or executed. Cannot be canceled again.
100601 400 The number of device in the group has reach the max.
100602 409 The device group name has been used.
100603 404 The device group is not existed.
105001 400 The number of unfinished batch tasks has reached the limit.
105002 409 The name of the batch task exists.
105005 404 The batch task is not existed.
100501 503 Congestion occurs, and the current network is under flow control.
102202 400 Required Parameter is null or empty.
900410 410 The cursor has expired: changes after it are no longer kept.
900409 409 The feed of the application is switched off.
50252 500 Internal server error.";
        assert_eq!(rows.join("\n"), expected);
    }

    #[test]
    fn codes_are_unique_numbers_and_statuses_are_errors() {
        let codes: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.as_str().bytes().all(|b| b.is_ascii_digit()), "{code:?}");
            assert!((400..600).contains(&code.status()), "{code:?}");
        }
    }

    /// The manual names every code with its status.
    #[test]
    fn every_code_is_in_the_manual() {
        let manual = include_str!("../../../docs/northbound.md");
        for code in Code::ALL {
            let row = format!("| {} | {} |", code.as_str(), code.status());
            assert!(manual.contains(&row), "`{row}` is missing in docs/northbound.md");
        }
    }

    #[test]
    fn tokens_have_the_gateways_shape_and_all_else_the_flat_one() {
        let text = |code: Code, detail| String::from_utf8(code.body(detail)).unwrap();
        assert_eq!(
            text(Code::InvalidToken, ""),
            r#"{"resultcode":"1010005","resultmsg":"Invalid access token or appId."}"#
        );
        assert_eq!(
            text(Code::InvalidInput, "pageNo: must be \"0\" or more."),
            r#"{"error_code":"100022","error_desc":"The input is invalid. pageNo: must be \"0\" or more."}"#
        );
    }
}
