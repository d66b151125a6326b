//! Whether devices are there, told again and again: which word stays, which gives way to a newer one.

use super::*;

#[tokio::test]
async fn of_presence_only_the_newest_waits_behind() {
    let world = World::new(&[NotifyType::DeviceInfoChanged, NotifyType::DeviceEvent]).await;
    let device = world.device("d", None).await;
    for (secs, online) in [(1, true), (2, false), (3, true), (4, false)] {
        world.store.presence(device.key, online, at(secs)).await.unwrap();
    }
    // The first may be on its way.
    assert_eq!(
        world.rows(),
        [row(1, 0, "online d true"), row(2, 1, "online d false")]
    );
    world
        .sql()
        .execute("UPDATE push SET tries = 1 WHERE seq = 2", [])
        .unwrap();
    world.store.presence(device.key, true, at(5)).await.unwrap();
    assert_eq!(world.rows()[2..], [row(3, 1, "online d true")]);
    let waiting: i64 = world
        .sql()
        .query_row("SELECT waiting FROM receiver", [], |row| row.get(0))
        .unwrap();
    assert_eq!(waiting, 3);
}

/// Found by the simulation, seeds 6 and 29 of their time: it came with another body under an id that its receiver knew.
#[tokio::test]
async fn presence_that_was_on_its_way_once_says_what_it_said_though_it_waits_again() {
    let world = World::new(&[NotifyType::DeviceInfoChanged, NotifyType::DeviceEvent]).await;
    let device = world.device("d", None).await;
    world.store.presence(device.key, true, at(1)).await.unwrap();
    let lost = world.ready("http://na:1", at(1)).await.remove(0);
    let gone = Fate::Dead("gone".into());
    world.settle(lost.id, gone, at(1)).await;
    // This one may be under way when the one before is sent again.
    world.store.presence(device.key, false, at(2)).await.unwrap();
    let since = PushFilter::default();
    assert_eq!(world.store.replay(since, at(3), 9).await.unwrap().0, 1);
    world.store.presence(device.key, true, at(4)).await.unwrap();
    let told = ["online d true", "online d false", "online d true"];
    let expected = [row(1, 0, told[0]), row(2, 1, told[1]), row(3, 1, told[2])];
    assert_eq!(world.rows(), expected);
    // What was given up itself is another.
    let first = world.ready("http://na:1", at(4)).await.remove(0);
    world.settle(first.id, Fate::Accepted, at(4)).await;
    for secs in [5, 6] {
        let next = world.ready("http://na:1", at(secs)).await.remove(0);
        world.settle(next.id, Fate::Dead("gone".into()), at(secs)).await;
    }
    world.store.replay(PushFilter::default(), at(7), 9).await.unwrap();
    world.store.presence(device.key, false, at(8)).await.unwrap();
    let told = ["online d false", "online d true", "online d false"];
    let expected = [row(2, 0, told[0]), row(3, 1, told[1]), row(4, 1, told[2])];
    assert_eq!(world.rows(), expected);
}
