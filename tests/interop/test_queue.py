"""The queue of a device: its limit, withdrawal, and what is refused."""

import json

import pytest

from kit.rawmqtt import RawDevice


def test_cancel_in_time(world):
    credentials = world.na.register()
    withdrawn, kept = world.create(credentials), world.create(credentials)
    answer = world.na.cancel_raw(withdrawn["commandId"])
    assert answer.status == 200 and answer.json["status"] == "CANCELED", answer
    world.receiver.expect(withdrawn, "CANCELED")
    assert world.status(withdrawn) == "CANCELED"

    device = world.device(credentials=credentials)
    device.answer(json.loads(device.next_publish().payload)["mid"])
    world.receiver.expect(kept, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    assert device.publishes.empty(), "what was withdrawn is not sent"


def test_cancel_too_late_is_refused_and_changes_nothing(world):
    device = world.device()
    command = world.create(device)
    mid = json.loads(device.next_publish().payload)["mid"]
    assert world.na.cancel_raw(command["commandId"]).error == "100435", "it is with the device"
    device.answer(mid)
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    assert world.na.cancel_raw(command["commandId"]).error == "100435", "it is done"
    assert world.status(command) == "SUCCESSFUL"


def test_cancel_twice(world):
    command = world.create(world.na.register())
    assert world.na.cancel_raw(command["commandId"]).status == 200
    assert world.na.cancel_raw(command["commandId"]).error == "100435"
    world.receiver.expect(command, "CANCELED")


def test_an_immediate_command_for_an_offline_device_is_refused(world):
    credentials = world.na.register()
    answer = world.na.create_raw(credentials.device_id, world.receiver.url, 0)
    assert answer.error == "100428", answer
    assert world.na.list(credentials.device_id) == []


def test_a_legacy_device_without_subscription_is_not_reachable(world):
    """Its family is known from the first connection, so that nothing is subscribed to implicitly."""
    first = world.device()
    first.close()
    silent = RawDevice(world.server.mqtt, first.credentials)
    silent.connect()
    assert world.na.create_raw(first.credentials.device_id, world.receiver.url, 0).error == "100428"
    silent.close()


def test_the_queue_of_a_device_has_a_limit(world):
    credentials, other = world.na.register(), world.na.register()
    commands = [world.create(credentials) for _ in range(20)]
    answer = world.na.create_raw(credentials.device_id, world.receiver.url)
    assert (answer.status, answer.error) == (400, "100223"), answer
    assert len(world.na.list(credentials.device_id)) == 20
    world.create(other)
    assert world.na.cancel_raw(commands[3]["commandId"]).status == 200
    world.create(credentials)


def test_an_immediate_command_passes_by_the_queue(world):
    device = world.device(auto_ack=False)
    queued = [world.create(device) for _ in range(3)]
    head = device.next_publish()
    urgent = world.create(device, expire=0, command={"serviceId": "Lamp", "method": "STOP", "paras": {"now": 1}})
    came = device.next_publish()
    assert json.loads(came.payload)["cmd"] == "STOP"
    device.ack(came)
    device.answer(json.loads(came.payload)["mid"])
    world.receiver.expect(urgent, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    assert device.publishes.empty(), "one outstanding queued command at a time"
    device.auto_ack = True
    device.ack(head)
    for command in queued:
        device.answer(json.loads(head.payload)["mid"])
        world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
        head = device.next_publish() if command is not queued[-1] else None


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_a_queue_survives_a_restart(world, how):
    credentials = world.na.register()
    commands = [world.create(credentials) for _ in range(3)]
    world.server.restart(how)
    device = world.device(credentials=credentials)
    for command in commands:
        device.answer(json.loads(device.next_publish().payload)["mid"])
        world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
