//! Simulated CoAP devices on real sockets against a small server that knows no more than it must.

#![allow(clippy::unwrap_used)]

mod lwm2m {
    pub(crate) mod secure;
    pub(crate) mod server;
}

use std::collections::BTreeSet;
use std::time::Duration;

use downlink_fleet::lwm2m::{Config, Event, Fleet, Payload, Settings, Weather};
use lwm2m::server::Server;

const LIMIT: Duration = Duration::from_secs(60);

fn devices(count: usize) -> Vec<Settings> {
    let device = |number| Settings {
        payload: Payload::Binary,
        ..Settings::new(format!("86000000000{number:04}"))
    };
    (0..count).map(device).collect()
}

#[tokio::test]
async fn many_devices_register_get_a_command_and_report_its_result() {
    let server = Server::start().await;
    let fleet = Fleet::start(&Config::new(server.address), devices(50))
        .await
        .unwrap();
    fleet.wait_until(LIMIT, |tally| tally.ready == 50).await.unwrap();
    server.command_all(7);
    fleet
        .wait_until(LIMIT, |tally| tally.answers_acked == 50)
        .await
        .unwrap();
    let tally = fleet.tally();
    assert_eq!(
        (tally.received, tally.executed, tally.answered),
        (50, 50, 50),
        "{tally:?}"
    );
    assert_eq!(server.results(), BTreeSet::from([7]));
    fleet.stop(LIMIT).await;
    assert_eq!(server.registered(), 0);
}

#[tokio::test]
async fn in_bad_weather_every_command_is_carried_out_once() {
    let server = Server::start().await;
    let mut config = Config::new(server.address);
    config.seed = u64::from(std::process::id());
    println!("seed {}", config.seed);
    config.weather = Weather {
        loss: 10,
        duplicate: 20,
        delay: (Duration::ZERO, Duration::from_millis(50)),
    };
    let fleet = Fleet::start(&config, devices(10)).await.unwrap();
    fleet.wait_until(LIMIT, |tally| tally.ready == 10).await.unwrap();
    server.command_all(7);
    fleet
        .wait_until(LIMIT, |tally| tally.answers_acked == 10)
        .await
        .unwrap();
    let tally = fleet.tally();
    assert_eq!((tally.received, tally.executed), (10, 10), "{tally:?}");
    assert!(tally.repeated > 0, "{tally:?}");
}

#[tokio::test]
async fn a_reboot_forgets_everything_and_comes_from_another_port() {
    let server = Server::start().await;
    let mut fleet = Fleet::start(&Config::new(server.address), devices(1))
        .await
        .unwrap();
    fleet.wait_until(LIMIT, |tally| tally.ready == 1).await.unwrap();
    let before = server.addresses();
    fleet.reboot(0).await;
    fleet
        .wait_until(LIMIT, |tally| tally.observed == 2)
        .await
        .unwrap();
    assert_eq!(fleet.tally().rebooted, 1);
    assert!(server.addresses().is_disjoint(&before));
    let mut told = Vec::new();
    while told
        .iter()
        .filter(|event| matches!(event, Event::Observed))
        .count()
        < 2
    {
        told.push(fleet.next_event().await.unwrap().1);
    }
    let order = [
        Event::Registered("rd/1".into()),
        Event::Observed,
        Event::Rebooted,
        Event::Registered("rd/2".into()),
        Event::Observed,
    ];
    assert_eq!(told, order);
}

#[tokio::test]
async fn over_dtls_the_same_goes_on_within_the_session_of_each_device() {
    let secret = [7; 16];
    let server = Server::start_secure(&secret).await;
    let secured = devices(10)
        .into_iter()
        .map(|device| device.secured(secret.to_vec()));
    let fleet = Fleet::start(&Config::new(server.address), secured.collect())
        .await
        .unwrap();
    fleet.wait_until(LIMIT, |tally| tally.ready == 10).await.unwrap();
    server.command_all(7);
    fleet
        .wait_until(LIMIT, |tally| tally.answers_acked == 10)
        .await
        .unwrap();
    let tally = fleet.tally();
    assert_eq!(
        (tally.secured, tally.unsecured, tally.executed),
        (10, 0, 10),
        "{tally:?}"
    );
    fleet.reboot(3).await;
    fleet
        .wait_until(LIMIT, |tally| tally.observed == 11)
        .await
        .unwrap();
    assert_eq!(fleet.tally().secured, 11);
    fleet.stop(LIMIT).await;
    assert_eq!(server.registered(), 0);
}

#[tokio::test]
async fn a_sleeper_that_wakes_with_another_port_goes_on_in_a_new_session() {
    let secret = [7; 16];
    let server = Server::start_secure(&secret).await;
    let mut config = Config::new(server.address);
    config.new_port = true;
    let (awake, asleep) = (Duration::from_millis(200), Duration::from_millis(300));
    let sleeper = Settings::new("861")
        .secured(secret.to_vec())
        .sleeping(awake, asleep);
    let fleet = Fleet::start(&config, vec![sleeper]).await.unwrap();
    fleet.wait_until(LIMIT, |tally| tally.updated == 3).await.unwrap();
    let tally = fleet.tally();
    assert_eq!(
        (tally.secured, tally.registered, tally.given_up),
        (4, 1, 0),
        "{tally:?}"
    );
}
