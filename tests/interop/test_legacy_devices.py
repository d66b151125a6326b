"""Devices of the legacy topic family, on clients that know nothing of Downlink, from the create call to the last push."""

import functools
import re

import pytest

from kit.device import MosquittoDevice, PahoDevice

DEVICES = {
    "paho-3.1.1": functools.partial(PahoDevice, version=4),
    "paho-5": functools.partial(PahoDevice, version=5),
    "mosquitto-3.1.1": functools.partial(MosquittoDevice, version="mqttv311"),
    "mosquitto-5": functools.partial(MosquittoDevice, version="mqttv5"),
}


@pytest.fixture(params=DEVICES)
def start_device(request, world):
    """Starts a device of each kind; gives it with its credentials."""

    def start():
        credentials = world.na.register()
        return world.device(DEVICES[request.param], credentials), credentials

    return start


def check_created(command, credentials, world):
    assert re.fullmatch("[0-9a-f]{32}", command["commandId"])
    assert re.fullmatch(r"\d{8}T\d{6}Z", command["creationTime"])
    assert command["deviceId"] == credentials.device_id
    assert command["appId"] == world.na.app[0]
    assert command["command"] == {"serviceId": "Lamp", "method": "SWITCH", "paras": {"value": 1}}
    assert command["callbackUrl"] == world.receiver.url
    assert command["status"] in ("PENDING", "SENT")
    assert None not in command.values(), "members without a value are left out"


@pytest.mark.parametrize("expire", [0, 600])
def test_a_command_succeeds(world, start_device, expire):
    device, credentials = start_device()
    command = world.create(credentials, expire)
    check_created(command, credentials, world)
    assert command["expireTime"] == expire

    request = device.next_command()
    mid = request.pop("mid")
    request.pop("hasMore", None)
    assert request == {"msgType": "cloudReq", "serviceId": "Lamp", "cmd": "SWITCH", "paras": {"value": 1}}
    assert 1 <= mid <= 65535
    device.answer(mid)

    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    record = world.na.get(credentials.device_id, command["commandId"])
    assert record["status"] == "SUCCESSFUL"
    assert record["creationTime"] <= record["platformIssuedTime"] <= record["deliveredTime"] <= record["executeTime"]
    assert record["result"] == {"resultCode": "SUCCESSFUL", "resultDetail": {"result": 0}}


def test_a_command_fails_with_the_devices_own_words(world, start_device):
    device, credentials = start_device()
    command = world.create(credentials)
    device.answer(device.next_command()["mid"], errcode=1, body='{"reason":"jammed","at":[1,2]}')
    world.receiver.expect(command, "SENT", "DELIVERED", ("FAILED", '{"reason":"jammed","at":[1,2]}'))
    assert world.status(command) == "FAILED"


def test_a_result_without_body(world):
    device = world.device(PahoDevice)
    command = world.create(device)
    device.answer(device.next_command()["mid"], body=None)
    world.receiver.expect(command, "SENT", "DELIVERED", "SUCCESSFUL")


def test_the_default_lifetime_is_echoed(world):
    command = world.create(world.na.register(), expire=None)
    assert command["expireTime"] == 172800
    assert command["status"] == "PENDING"


def test_commands_queued_for_an_offline_device_come_in_order_when_it_connects(world):
    credentials = world.na.register()
    commands = [world.create(credentials, command={"serviceId": "Lamp", "method": "SET", "paras": {"n": n}}) for n in range(5)]
    assert {command["status"] for command in commands} == {"PENDING"}
    device = world.device(PahoDevice, credentials)
    for n, command in enumerate(commands):
        request = device.next_command()
        assert request["paras"] == {"n": n}
        device.answer(request["mid"])
        world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))


def test_an_answer_of_another_device_changes_nothing(world):
    device, stranger = world.device(PahoDevice), world.device(PahoDevice)
    command = world.create(device)
    mid = device.next_command()["mid"]
    stranger.answer(mid)
    stranger.answer(mid, errcode=1)
    device.answer(mid, body='{"mine":true}')
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"mine":true}'))


def test_the_newest_connection_of_a_device_wins(world):
    first = world.device(PahoDevice)
    first.client.reconnect_delay_set(600, 600)
    second = world.device(PahoDevice, first.credentials)
    command = world.create(second)
    second.answer(second.next_command()["mid"])
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    assert first.commands.empty()
