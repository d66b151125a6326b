//! What devices reported last, what is desired of them, and what became of that.

use std::sync::Arc;

use downlink_core::lifecycle::Input;
use downlink_core::{CommandBody, CommandId, ResponseRule, Status, StatusSet, TopicFamily};
use downlink_store::{
    CreateRefused, Created, Desire, DesireRefused, DesiredChange, DesiredStatus, Device, DeviceChange,
    HistoryFilter, Report, ServiceData, ShadowService,
};

use super::Stores;
use super::support::*;

/// As `service.property=value@secs`, first what was reported.
async fn shown(world: &World, device: &Device) -> (Vec<String>, Vec<String>) {
    let (mut reported, mut desired) = (Vec::new(), Vec::new());
    for ShadowService {
        service,
        reported: is,
        desired: shall,
    } in world.store.shadow(device.key).await.unwrap()
    {
        for (list, properties) in [(&mut reported, is), (&mut desired, shall)] {
            list.extend(properties.iter().map(|one| {
                let secs = (one.at.as_millis() - T0.as_millis()) / 1000;
                format!("{service}.{}={}@{secs}", one.name, one.value)
            }));
        }
    }
    (reported, desired)
}

async fn report(world: &World, device: &Device, data: &str, secs: u32, now: u32) {
    let data = ServiceData {
        service: "Lamp".to_owned(),
        data: data.to_owned(),
        at: at(secs),
    };
    let reports = vec![Report::Data(vec![data])];
    world.store.report(device.key, reports, at(now)).await.unwrap();
}

/// A desire as it is made of properties; the command waits unless it is offered to a session.
fn desire(world: &World, device: &Device, service: &str, set: &[(&str, &str)], secs: u32) -> Desire {
    let mut submission = world.cached(device, at(secs));
    let members: Vec<_> = set
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    submission.command.body = Arc::new(CommandBody {
        service: service.into(),
        method: "write".into(),
        paras: format!("{{{}}}", members.join(",")),
    });
    (submission.command.callback, submission.command.push) = (None, StatusSet::EMPTY);
    submission.command.response = ResponseRule::None;
    Desire {
        service: service.to_owned(),
        set: set
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        unset: Vec::new(),
        tell: Some(submission),
    }
}

async fn desired(
    world: &World,
    device: &Device,
    desires: Vec<Desire>,
    secs: u32,
) -> Result<Vec<Created>, DesireRefused> {
    world.store.desire(device.key, desires, at(secs)).await.unwrap()
}

async fn changes(world: &World, device: &Device, filter: HistoryFilter) -> Vec<DesiredChange> {
    let page = world
        .store
        .desired_changes(device.key, filter, 0, 1000)
        .await
        .unwrap();
    assert_eq!(page.items.len() as u64, page.total);
    page.items
}

async fn statuses(world: &World, device: &Device) -> Vec<DesiredStatus> {
    let changes = changes(world, device, HistoryFilter::default()).await;
    changes.into_iter().map(|change| change.status).collect()
}

pub(crate) async fn the_newest_reported_value_of_each_property_is_kept(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let store = &world.store;
    assert!(store.keeps_shadow(false) && !store.keeps_shadow(true));
    report(
        &world,
        &device,
        r#"{"on":true,"lux": 1.50,"a \"b.c":{"x":[1, null]}}"#,
        5,
        6,
    )
    .await;
    report(&world, &device, r#"{"lux":2}"#, 7, 7).await;
    report(&world, &device, r#"{"lux":3,"on":false}"#, 6, 8).await;
    for noise in ["", "[1]", "7", "null", "{", r#"{"n":1"#] {
        report(&world, &device, noise, 9, 9).await;
    }
    let (reported, wanted) = shown(&world, &device).await;
    assert_eq!(
        reported
            .iter()
            .filter(|one| !one.contains("b.c"))
            .collect::<Vec<_>>(),
        ["Lamp.lux=2@7", "Lamp.on=false@6"],
        "{reported:?}"
    );
    assert_eq!(wanted, Vec::<String>::new());
    // A device whose clock is ahead does not keep its later reports out.
    report(&world, &device, r#"{"lux":4}"#, 5000, 10).await;
    report(&world, &device, r#"{"lux":5}"#, 11, 11).await;
    assert!(
        shown(&world, &device)
            .await
            .0
            .contains(&"Lamp.lux=5@11".to_owned())
    );
}

pub(crate) async fn what_is_reported_is_bounded_and_muted_and_of_lwm2m(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let long = format!(r#"{{"long":"{}","short":1}}"#, "x".repeat(1023));
    report(&world, &device, &long, 1, 1).await;
    assert_eq!(shown(&world, &device).await.0, ["Lamp.short=1@1"]);
    let many: Vec<_> = (0..150).map(|n| format!("\"p{n:03}\":{n}")).collect();
    report(&world, &device, &format!("{{{}}}", many.join(",")), 2, 2).await;
    let (reported, _) = shown(&world, &device).await;
    assert_eq!(reported.len(), 100);
    report(&world, &device, r#"{"p000":7,"p149":7}"#, 3, 3).await;
    let (reported, _) = shown(&world, &device).await;
    assert_eq!(
        (reported.len(), &*reported[0]),
        (100, "Lamp.p000=7@3"),
        "known ones go on"
    );

    let mute = DeviceChange {
        info: Some(r#"{"mute":true}"#.to_owned()),
        ..DeviceChange::default()
    };
    world
        .store
        .modify(device.key, mute, at(4))
        .await
        .unwrap()
        .unwrap();
    report(&world, &device, r#"{"p000":8}"#, 5, 5).await;
    assert_eq!(shown(&world, &device).await.0[0], "Lamp.p000=7@3");

    let other = world.device("b").await;
    let family = Some(TopicFamily::Oc);
    world.store.seen(other.key, family, at(5)).await.unwrap();
    // What it says of a device behind it comes over MQTT too.
    let mut behind = new_device(world.app.key, "c");
    behind.gateway = Some(other.key);
    let behind = world.store.register(behind, 10).await.unwrap().unwrap();
    for device in [&other, &behind] {
        report(&world, device, r#"{"lux":8}"#, 5, 5).await;
        assert_eq!(shown(&world, device).await.0, Vec::<String>::new());
    }
}

pub(crate) async fn what_is_desired_is_told_and_how_that_ended_is_kept(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let mut first = desire(&world, &device, "Lamp", &[("on", "true"), ("lux", "7")], 1);
    first.tell.as_mut().unwrap().offer = Some(offer(1));
    let second = desire(&world, &device, "Meter", &[("unit", "\"kWh\"")], 1);
    let created = desired(&world, &device, vec![first, second], 1).await.unwrap();
    let ids: Vec<CommandId> = created.iter().map(|one| one.record.id).collect();
    assert!(created[0].send.is_some() && created[1].send.is_none());
    let (_, wanted) = shown(&world, &device).await;
    assert_eq!(wanted, ["Lamp.lux=7@1", "Lamp.on=true@1", "Meter.unit=\"kWh\"@1"]);
    assert_eq!(statuses(&world, &device).await, [DesiredStatus::UnderWay; 2]);

    world.must(ids[0], Input::Acked, at(2)).await;
    assert_eq!(world.record(ids[0]).await.status, Status::Delivered);
    let all = changes(&world, &device, HistoryFilter::default()).await;
    let expected = |service: &str, properties: &str, status| DesiredChange {
        service: service.to_owned(),
        properties: properties.to_owned(),
        status,
        at: at(1),
    };
    let lamp = expected("Lamp", r#"{"on":true,"lux":7}"#, DesiredStatus::Delivered);
    let meter = expected("Meter", r#"{"unit":"kWh"}"#, DesiredStatus::UnderWay);
    assert_eq!(all, [meter, lamp.clone()], "newest first");
    world.must(ids[1], Input::Cancel("c".into()), at(3)).await;
    assert_eq!(
        statuses(&world, &device).await,
        [DesiredStatus::Failed, DesiredStatus::Delivered]
    );
    let of = HistoryFilter {
        property: Some("lux".to_owned()),
        ..HistoryFilter::default()
    };
    assert_eq!(changes(&world, &device, of).await, [lamp]);

    // What it does not name stays; what is unset goes, and nobody is told of that.
    let less = Desire {
        service: "Lamp".to_owned(),
        set: Vec::new(),
        unset: vec!["lux".to_owned(), "other".to_owned()],
        tell: None,
    };
    assert_eq!(desired(&world, &device, vec![less], 4).await.unwrap().len(), 0);
    let more = desire(&world, &device, "Lamp", &[("on", "false")], 5);
    desired(&world, &device, vec![more], 5).await.unwrap();
    let (_, wanted) = shown(&world, &device).await;
    assert_eq!(wanted, ["Lamp.on=false@5", "Meter.unit=\"kWh\"@1"]);
}

pub(crate) async fn all_that_is_desired_at_once_is_kept_or_nothing(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let two = |secs| {
        ["A", "B"]
            .map(|service| desire(&world, &device, service, &[("x", "1")], secs))
            .to_vec()
    };
    for _ in 0..19 {
        world.pending(&device, at(1)).await;
    }
    let refused = desired(&world, &device, two(2), 2).await.map(drop);
    assert_eq!(refused, Err(DesireRefused::Untold(CreateRefused::QueueFull)));
    assert_eq!(shown(&world, &device).await.1, Vec::<String>::new());
    assert_eq!(world.store.queue(device.key, 100).await.unwrap().len(), 19);

    let other = world.device("b").await;
    let many: Vec<_> = (0..101).map(|n| format!("p{n}")).collect();
    let many: Vec<_> = many.iter().map(|name| (&**name, "1")).collect();
    let all = |count: usize| vec![desire(&world, &other, "A", &many[..count], 2)];
    let refused = desired(&world, &other, all(101), 2).await.map(drop);
    assert_eq!(refused, Err(DesireRefused::TooMany));
    desired(&world, &other, all(100), 2).await.unwrap();
    desired(&world, &other, all(99), 2).await.unwrap();

    let mut limited = desire(&world, &other, "A", &[("p0", "2")], 3);
    limited.tell.as_mut().unwrap().open_limit = Some(21);
    let refused = desired(&world, &other, vec![limited], 3).await.map(drop);
    assert_eq!(refused, Err(DesireRefused::Untold(CreateRefused::TooManyOpen)));
    let nobodys = desire(&world, &other, "A", &[("p0", "2")], 3);
    world.store.remove(other.key, false, at(4)).await.unwrap();
    let refused = desired(&world, &other, vec![nobodys], 4).await.map(drop);
    assert_eq!(refused, Err(DesireRefused::Untold(CreateRefused::NoDevice)));
}

pub(crate) async fn old_changes_give_way_and_a_removed_device_leaves_nothing(stores: Stores) {
    let world = World::new(stores.open()).await;
    let device = world.device("a").await;
    let mut first = None;
    for n in 0..103 {
        let one = desire(&world, &device, "A", &[("x", &n.to_string())], n);
        let created = desired(&world, &device, vec![one], n).await.unwrap();
        let id = created[0].record.id;
        // The first one is under way all the time.
        match first {
            None => first = Some(id),
            Some(_) => drop(world.must(id, Input::Cancel("c".into()), at(n)).await),
        }
    }
    let statuses = statuses(&world, &device).await;
    assert_eq!(statuses.len(), 101, "a hundred, and the one under way");
    assert_eq!(statuses[100], DesiredStatus::UnderWay);

    report(&world, &device, r#"{"a":1,"b":2}"#, 1, 1).await;
    let other = world.device("b").await;
    report(&world, &other, r#"{"a":1}"#, 1, 1).await;
    assert_eq!(world.store.prune_shadows(10).await.unwrap(), 0);
    world.store.remove(device.key, false, at(200)).await.unwrap();
    world
        .must(first.unwrap(), Input::Cancel("gone".into()), at(201))
        .await;
    let mut rounds = 0;
    while world.store.prune_shadows(10).await.unwrap() > 0 {
        rounds += 1;
    }
    assert!((11..20).contains(&rounds), "{rounds}");
    let nothing = (Vec::new(), Vec::new());
    assert_eq!(shown(&world, &device).await, nothing);
    assert_eq!(changes(&world, &device, HistoryFilter::default()).await, []);
    assert_eq!(shown(&world, &other).await.0, ["Lamp.a=1@1"]);
    world.store.remove_app(world.app.key, at(300)).await.unwrap();
    world.store.remove_left_devices(at(300), 99).await.unwrap();
    assert_eq!(
        world.store.prune_shadows(10).await.unwrap(),
        2,
        "a row, and the word of it"
    );
    assert_eq!(shown(&world, &other).await, (Vec::new(), Vec::new()));
}
