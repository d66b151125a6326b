//! What the end of a write says to the life cycle of its command.

use downlink_core::SessionId;
use downlink_core::lifecycle::Input;
use downlink_lwm2m::Outcome;

/// The input for a write over `session` that ended like this.
pub(super) fn input(outcome: Outcome, session: SessionId) -> Input {
    let gave_up = |sent| Input::GaveUp { session, sent };
    match outcome {
        Outcome::Acked => Input::Acked,
        Outcome::Refused(code) => Input::Unsendable(format!("the device refused it: {code}")),
        Outcome::Reset => Input::Unsendable("the device refused it: RST".to_owned()),
        Outcome::TooLarge => Input::Unsendable("it is too large for the device".to_owned()),
        Outcome::TimedOut | Outcome::Interrupted => gave_up(true),
        // It said that it did not take it, so it does not count.
        Outcome::Busy { .. } | Outcome::NeverSent => gave_up(false),
    }
}

/// Whether a cached command is to be sent again once that is kept, as soon as the device hears.
pub(super) fn is_to_be_sent_again(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Busy { .. } | Outcome::NeverSent | Outcome::Interrupted => true,
        // If it hears at any time, and still does not answer, it is not asked at once.
        Outcome::TimedOut => false,
        Outcome::Acked | Outcome::Refused(_) | Outcome::Reset | Outcome::TooLarge => false,
    }
}

#[cfg(test)]
mod tests {
    use downlink_lwm2m::coap::Code;

    use super::*;

    #[test]
    fn a_refusal_says_why_and_a_busy_device_is_sent_to_again() {
        let session = SessionId(7);
        let Input::Unsendable(why) = input(Outcome::Refused(Code::NOT_ALLOWED), session) else {
            panic!("not refused")
        };
        assert!(why.ends_with("4.05"), "{why}");
        let uncounted = Input::GaveUp { session, sent: false };
        assert_eq!(input(Outcome::Busy { retry_secs: 3 }, session), uncounted);
        assert_eq!(input(Outcome::NeverSent, session), uncounted);
        let counted = Input::GaveUp { session, sent: true };
        assert_eq!(input(Outcome::TimedOut, session), counted);
    }
}
