"""Codecs that are scripts, under devices over LwM2M: what gives nothing has failed, and what does not end delays nobody else."""

import pytest

from interop.test_products import SWITCH, put
from kit.rawcoap import RawCoapDevice
from kit.world import World

NOTHING = "function encode() { return null; } function decode() { return null; }"
ENDLESS = "function encode() { for (;;) {} } function decode() { return null; }"


@pytest.fixture
def world(server):
    server.listeners["coap"] = "127.0.0.1:0"
    server.start()
    world = World(server)
    yield world
    world.close()


@pytest.fixture
def connect(world):
    devices = []

    def make(**info: str) -> RawCoapDevice:
        credentials = world.na.register(protocolType="LWM2M", **info)
        devices.append(RawCoapDevice(world.server.address("coap"), credentials.node_id))
        devices[-1].credentials = credentials
        return devices[-1].start()

    yield make
    for device in devices:
        device.stop()


def scripted(world, directory, source: str) -> None:
    (directory / "codec.js").write_text(source)
    put(world, directory, SWITCH, more=("--codec", str(directory / "codec.js")))


def last_event(world, command: dict) -> dict:
    return world.na.call("GET", f"/downlink/v1/commands/{command['commandId']}").json["events"][-1]


def test_a_codec_that_gives_nothing_has_failed_the_command_and_says_so(world, connect, tmp_path):
    scripted(world, tmp_path, NOTHING)
    device = connect(manufacturerId="acme")
    command = world.create(device)
    world.receiver.expect(command, "SENT", "FAILED")
    event = last_event(world, command)
    assert (event["status"], event["detail"]) == ("FAILED", "the codec gave nothing")
    assert not device.writes()


def test_a_script_without_end_fails_its_own_commands_and_delays_no_other_device(world, connect, tmp_path):
    scripted(world, tmp_path, ENDLESS)
    stuck = [connect(manufacturerId="acme") for _ in range(4)]
    other = connect()
    hopeless = [world.create(device) for device in stuck for _ in range(3)]
    command = world.create(other)
    world.receiver.wait_for(command["commandId"], "DELIVERED", timeout=5)
    for one in hopeless:
        world.receiver.wait_for(one["commandId"], "FAILED")
        assert "the script ran longer than" in last_event(world, one)["detail"]
    assert not any(device.writes() for device in stuck)
