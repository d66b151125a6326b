"""Devices that sleep and fall silent: ABNORMAL, OFFLINE and ONLINE again are told when it happens, once each."""

import json

import pytest

from kit import coapwire
from kit.rawcoap import RawCoapDevice
from kit.wait import until
from kit.world import World

SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"
DEVICES = "/iocm/app/dm/v1.4.0/devices"

pytestmark = pytest.mark.settings(devices_abnormal_after_secs=3, devices_offline_after_secs=6, devices_heard_every_secs=1)


@pytest.fixture
def world(server):
    server.listeners["coap"] = "127.0.0.1:0"
    server.start()
    world = World(server)
    yield world
    world.close()


def told(world, device_id: str) -> list[str]:
    """What was told of how a device stands; what a kill repeated counts once."""
    first = {push.webhook_id: push.body for push in reversed(world.receiver.requests())}
    bodies = [json.loads(body) for body in reversed(first.values())]
    return [one["deviceInfo"]["status"] for one in bodies if one["deviceId"] == device_id and one["deviceInfo"]["status"]]


def test_each_step_of_a_silence_is_told_once_and_its_end(world):
    answer = world.na.call("POST", SUBSCRIPTIONS, {"notifyType": "deviceInfoChanged", "callbackUrl": world.receiver.url})
    assert answer.status == 201
    credentials = world.na.register(protocolType="LWM2M")
    device = RawCoapDevice(world.server.address("coap"), credentials.node_id).start()
    device_id = credentials.device_id
    try:
        until(lambda: told(world, device_id) == ["ONLINE"], what="its coming")
        until(lambda: told(world, device_id) == ["ONLINE", "ABNORMAL"], what="its silence")
        shown = world.na.call("GET", f"{DEVICES}/{device_id}").json["deviceInfo"]
        assert (shown["status"], shown["statusDetail"]) == ("ABNORMAL", "NONE")
        until(lambda: told(world, device_id) == ["ONLINE", "ABNORMAL", "OFFLINE"], what="its long silence")
        # What was told is not told again after a restart.
        world.server.restart("kill")
        assert device.update().code == coapwire.CHANGED
        until(lambda: len(told(world, device_id)) >= 5, what="its word and its next silence")
        assert told(world, device_id)[:5] == ["ONLINE", "ABNORMAL", "OFFLINE", "ONLINE", "ABNORMAL"]
    finally:
        device.stop()
