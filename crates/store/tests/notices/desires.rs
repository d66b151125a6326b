//! What is told of changes of what is desired.

use downlink_core::lifecycle::Input;
use downlink_core::{CommandId, Mode, Offer, Proof, ResponseRule, SessionId};
use downlink_store::*;

use super::{World, at, open, row, submission};

fn desire(world: &World, device: &Device, id: CommandId, offer: Option<Offer>) -> Desire {
    let lost = Offer {
        session: SessionId(0),
        proof: Proof::Ack,
        needs_mid: false,
        ack_wait: None,
    };
    let mut submission = submission(world, device, id, offer.unwrap_or(lost));
    submission.offer = offer;
    submission.command.mode = Mode::Cached { expires_at: at(1000) };
    submission.command.response = ResponseRule::None;
    Desire {
        service: "s".to_owned(),
        set: vec![("x".to_owned(), "1".to_owned())],
        unset: Vec::new(),
        tell: Some(submission),
    }
}

#[tokio::test]
async fn what_was_desired_is_told_once_with_its_end_after_a_restart_too() {
    let kinds = [
        NotifyType::DesiredPropertiesStatus,
        NotifyType::MessageConfirm,
        NotifyType::CommandRsp,
    ];
    let mut world = World::new(&kinds).await;
    let device = world.device("d", None).await;
    let ids = [CommandId::from_bytes([1; 16]), CommandId::from_bytes([2; 16])];
    let session = Offer {
        session: SessionId(1),
        proof: Proof::Ack,
        needs_mid: false,
        ack_wait: None,
    };
    let both = vec![
        desire(&world, &device, ids[0], Some(session)),
        desire(&world, &device, ids[1], None),
    ];
    world
        .store
        .desire(device.key, both, at(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(world.rows(), [], "its sending is nobody's business");
    world.store.close().await;
    world.store = open(world.dir.path());
    let acked = Change {
        target: Target::Command(ids[0]),
        input: Input::Acked,
        now: at(2),
        then_send: None,
    };
    let canceled = Change {
        target: Target::Command(ids[1]),
        input: Input::Cancel("c".into()),
        now: at(2),
        then_send: None,
    };
    world.store.apply(vec![acked, canceled]).await.unwrap();
    let told = [
        row(1, 0, r#"desired d s {} true"#),
        row(2, 1, r#"desired d s {} false"#),
    ];
    assert_eq!(world.rows(), told);
}
