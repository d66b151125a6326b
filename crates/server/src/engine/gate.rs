//! Whether a device may be sent a command at all, whatever the command's way.

use downlink_api::Code;
use downlink_api::device::is_muted;
use downlink_core::Timestamp;
use downlink_store::{Device, Link};

use crate::clock;

const DAY_MS: i64 = 86_400_000;

/// Lets a command through. `max_silence_days`: a device that was not heard for longer gets none; 0: however long.
pub(crate) fn pass(device: &Device, service: &str, method: &str, max_silence_days: u32) -> Result<(), Code> {
    if is_muted(&device.info, service, method) {
        return Err(Code::CommandMuted);
    }
    match max_silence_days > 0 && silent_days(device, clock::now()) >= i64::from(max_silence_days) {
        true => Err(Code::DeviceSilent),
        false => Ok(()),
    }
}

/// For how many whole days the device was not heard; since it was registered, if it never was.
fn silent_days(device: &Device, now: Timestamp) -> i64 {
    let heard = device.heard_at.or(device.activated_at);
    match device.link {
        Link::Connected => 0,
        Link::Sleeps | Link::None => {
            (now.as_millis() - heard.unwrap_or(device.created_at).as_millis()) / DAY_MS
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn silence_counts_from_the_last_word_and_not_while_it_is_connected() {
        let day = |n: i64| Timestamp::from_millis(n * DAY_MS);
        let new = Device {
            created_at: day(1),
            ..samples::device(1)
        };
        let bound = Device {
            activated_at: Some(day(3)),
            ..new.clone()
        };
        let heard = Device {
            heard_at: Some(day(5)),
            link: Link::Sleeps,
            ..bound.clone()
        };
        let connected = Device {
            link: Link::Connected,
            ..bound.clone()
        };
        let days = [new, bound, heard, connected].map(|device| silent_days(&device, day(9)));
        assert_eq!(days, [8, 6, 4, 0]);
    }
}
