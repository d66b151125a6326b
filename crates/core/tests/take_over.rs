//! After a take-over two sessions of a device speak for a while, the old one last. What the old one says must not
//! disturb what the new one does.

use downlink_core::lifecycle::{Flight, Input, Progress, Refusal, Sent, State, step};
use downlink_core::{Mode, Offer, Policy, Proof, ResponseRule, SessionId, Span, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const OLD: SessionId = SessionId(7);
const NEW: SessionId = SessionId(8);

#[test]
fn an_older_sessions_offer_does_not_send_again() {
    let sent = sent_over(&[(OLD, Proof::Ack), (NEW, Proof::Ack)]);
    assert_eq!(apply(&sent, offer(OLD, Proof::Ack)), Err(Refusal::NotSendable));
}

#[test]
fn an_older_sessions_loss_does_not_take_back_the_newer_send() {
    let sent = sent_over(&[(OLD, Proof::Ack), (NEW, Proof::Ack)]);
    for written in [true, false] {
        assert_eq!(apply(&sent, lost(OLD, written)), Err(Refusal::Unaffected));
    }
}

/// Taken for its own, the old session's report would let a QoS 0 send that was written go out a second time.
#[test]
fn an_older_sessions_unwritten_send_does_not_repeat_a_written_qos_0_send() {
    let sent = sent_over(&[(OLD, Proof::Ack), (NEW, Proof::ResultOnly)]);
    assert_eq!(apply(&sent, lost(OLD, false)), Err(Refusal::Unaffected));
    assert_eq!(
        apply(&sent, offer(SessionId(9), Proof::ResultOnly)),
        Err(Refusal::NotSendable)
    );
}

#[test]
fn the_sessions_own_unwritten_qos_0_send_goes_out_again() {
    let sent = sent_over(&[(OLD, Proof::ResultOnly)]);
    let lost = apply(&sent, lost(OLD, false)).expect("its own report");
    let flight = Flight::Lost { due: NOW };
    assert_eq!(lost.state, State::Sent(Sent { sends: 0, flight }));
    let again = apply(&lost, offer(NEW, Proof::ResultOnly)).expect("never written");
    assert!(matches!(again.state, State::Sent(Sent { sends: 1, .. })));
}

fn sent_over(sessions: &[(SessionId, Proof)]) -> Progress {
    let pending = Progress {
        state: State::Pending,
        mode: Mode::Cached {
            expires_at: NOW + Span::from_secs(3600),
        },
        response: ResponseRule::Expected {
            within: Span::from_secs(300),
        },
    };
    sessions.iter().fold(pending, |progress, (session, proof)| {
        apply(&progress, offer(*session, *proof)).expect("sendable")
    })
}

fn apply(progress: &Progress, input: Input) -> Result<Progress, Refusal> {
    let policy = Policy::standard(NOW);
    let state = step(progress, input, NOW, &policy)?.state;
    Ok(Progress { state, ..*progress })
}

fn offer(session: SessionId, proof: Proof) -> Input {
    Input::Send(Offer {
        session,
        proof,
        needs_mid: true,
        ack_wait: None,
    })
}

fn lost(session: SessionId, written: bool) -> Input {
    Input::SessionLost { session, written }
}
