//! What is told of devices that sleep and fall silent.

use super::*;

/// Silent after 10 seconds, offline after 20.
fn silence(now: Timestamp) -> Silence {
    Silence {
        abnormal: now - Span::from_secs(10),
        offline: now - Span::from_secs(20),
    }
}

#[tokio::test]
async fn of_a_device_that_falls_silent_each_step_is_told_once() {
    let world = World::new(&[NotifyType::DeviceInfoChanged]).await;
    let contact = async |device: &Device, link, secs| {
        let contact = Contact {
            device: device.key,
            link,
            at: at(secs),
        };
        world.store.contacts(vec![contact]).await.unwrap();
    };
    let sweep = async |secs, limit| {
        let told = world.store.tell_silent(silence(at(secs)), limit, at(secs)).await;
        told.unwrap()
    };
    // So that no notice takes the place of another.
    let texts = || {
        world.sql().execute("UPDATE push SET tries = 1", []).unwrap();
        let rows = world.rows().into_iter().map(|(_, _, body)| body);
        rows.collect::<Vec<_>>()
    };
    let (sleeper, connected) = (world.device("s", None).await, world.device("c", None).await);
    contact(&sleeper, Link::Sleeps, 1).await;
    contact(&connected, Link::Connected, 1).await;
    world.device("never", None).await;
    assert_eq!(sweep(10, 9).await, 0);
    assert_eq!((sweep(11, 9).await, sweep(12, 9).await), (1, 0));
    assert_eq!(texts(), ["Abnormal s"]);
    assert_eq!((sweep(21, 9).await, sweep(90, 9).await), (1, 0));
    assert_eq!(texts(), ["Abnormal s", "online s false"]);
    // It took its leave, as far as the gateway knows: told already. Then it comes anew, which is told by who lets it in.
    contact(&sleeper, Link::None, 91).await;
    world.store.presence(sleeper.key, false, at(91)).await.unwrap();
    contact(&sleeper, Link::Sleeps, 92).await;
    world.store.presence(sleeper.key, true, at(92)).await.unwrap();
    assert_eq!(texts()[2..], ["online s true"]);
    // Silent and heard again: nobody else would tell it.
    assert_eq!(sweep(102, 9).await, 1);
    assert_eq!(texts()[3..], ["Abnormal s"]);
    contact(&sleeper, Link::Sleeps, 103).await;
    contact(&sleeper, Link::Sleeps, 104).await;
    assert_eq!(texts()[4..], ["online s true"]);
    // After a long time away both steps are one. Of one that was heard again its going is told.
    assert_eq!(sweep(140, 9).await, 1);
    assert_eq!(texts()[5..], ["online s false"]);
    contact(&sleeper, Link::Sleeps, 141).await;
    assert_eq!(texts()[6..], ["online s true"]);
    world.store.presence(sleeper.key, false, at(142)).await.unwrap();
    assert_eq!(texts()[7..], ["online s false"]);
}

#[tokio::test]
async fn silence_is_told_in_bounds_and_noted_without_a_subscriber() {
    let world = World::new(&[]).await;
    let mut contacts = Vec::new();
    for n in 0..5 {
        let device = world.device(&format!("d{n}"), None).await.key;
        contacts.push(Contact {
            device,
            link: Link::Sleeps,
            at: at(1),
        });
    }
    world.store.contacts(contacts).await.unwrap();
    for told in [2, 2, 1, 0] {
        let found = world.store.tell_silent(silence(at(12)), 2, at(12)).await;
        assert_eq!(found.unwrap(), told);
    }
    assert_eq!(world.rows(), []);
}
