"""Devices that wake for seconds: all that waits goes out in that time, in order, through loss; what ran out is told."""

import json
import time

import pytest

from kit import coapwire, metrics
from kit.rawcoap import ASLEEP, IN, OUT, PASSED, RawCoapDevice, done, nothing_lost
from kit.wait import until
from kit.world import World

AWAKE_SECS = 10
COMMANDS = 5

pytestmark = pytest.mark.settings(lwm2m_ack_first_low_secs=1, lwm2m_ack_first_high_secs=1)


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

    def make(**more) -> RawCoapDevice:
        credentials = world.na.register(protocolType="LWM2M")
        device = RawCoapDevice(world.server.address("coap"), credentials.node_id, **more)
        device.credentials = credentials
        devices.append(device)
        return device

    yield make
    for device in devices:
        device.stop()


def every(n: int, *ways: str):
    """Loses the first copy of every n-th message of these ways."""
    return lambda way, number, copy: way in ways and number % n == n - 1 and copy == 0


def numbered(world, device, count: int, **more) -> list[dict]:
    """Commands that carry their number."""
    command = {"serviceId": "Lamp", "method": "SWITCH"}
    return [world.create(device, command={**command, "paras": {"value": n}}, **more) for n in range(count)]


def value_of(payload: bytes) -> int:
    return json.loads(payload)["paras"]["value"]


def check_one_at_a_time(device: RawCoapDevice) -> None:
    """No copy of a command, lost ones too, came before the one before it was acknowledged by a datagram that got through;
    and none came anew after it was acknowledged."""
    acked, under_way, messages = set(), None, {}
    for seen in device.seen:
        if seen.is_write:
            command = json.loads(seen.message.payload)["mid"]
            messages[seen.message.mid] = command
            if command != under_way:
                assert under_way is None or under_way in acked, f"{seen} before {under_way} was acknowledged"
                assert command not in acked, f"{seen} again"
                under_way = command
        elif seen.way == OUT and seen.message.kind == coapwire.ACK and seen.fate == PASSED:
            acked.add(messages.get(seen.message.mid))


@pytest.mark.settings(lwm2m_awake_secs=AWAKE_SECS)
@pytest.mark.parametrize("answers", [False, True], ids=["silent", "answers"])
@pytest.mark.parametrize(
    "lose",
    [nothing_lost, every(2, IN), every(2, OUT), every(3, IN, OUT)],
    ids=["calm", "lost-writes", "lost-acks", "lost-both"],
)
def test_five_commands_go_out_while_it_is_awake(world, connect, lose, answers):
    device = connect(lose=lose, result=done if answers else lambda _: None)
    commands = numbered(world, device, COMMANDS)
    assert {world.status(command) for command in commands} == {"PENDING"}
    woke = time.monotonic()
    device.start()
    until(lambda: len(device.writes()) == COMMANDS, woke + AWAKE_SECS - time.monotonic(), "all five commands")
    last = [seen.message.mid for seen in device.seen if seen.is_write][-1]

    def acknowledged() -> bool:
        return any(s.way == OUT and s.message.mid == last and s.fate == PASSED for s in list(device.seen))

    until(acknowledged, woke + AWAKE_SECS - time.monotonic(), "the last is acknowledged")
    for command in commands:
        end = [("SUCCESSFUL", '{"state":1}')] if answers else []
        world.receiver.expect(command, "SENT", "DELIVERED", *end)
    device.asleep = True
    assert [value_of(write.payload) for write in device.writes()] == list(range(COMMANDS))
    check_one_at_a_time(device)
    assert all(seen.fate != ASLEEP for seen in device.seen)


@pytest.mark.settings(lwm2m_awake_secs=1)
def test_what_runs_out_asleep_is_told_then_and_not_at_the_waking(world, connect):
    device = connect().start()
    until(lambda: metrics.value(world.server, "awake") == 0, what="it is asleep")
    device.asleep = True
    heard = len(device.seen)
    began = time.time()
    short = world.create(device, expire=2)
    long = world.create(device, expire=600)
    other_short = world.create(device, expire=3)
    world.receiver.expect(short, "EXPIRED")
    world.receiver.expect(other_short, "EXPIRED")
    assert device.asleep and len(device.seen) == heard, "nothing went to it, and nothing came from it"
    for command, lifetime in [(short, 2), (other_short, 3)]:
        (push,) = world.receiver.pushes(command["commandId"])
        assert lifetime <= push.came_at - began < lifetime + 3
    assert world.status(long) == "PENDING"
    device.asleep = False
    assert device.update().code == coapwire.CHANGED
    world.receiver.expect(long, "SENT", "DELIVERED")
    assert len(device.writes()) == 1, "what had run out never came"
    world.receiver.expect(short, "EXPIRED")


@pytest.mark.settings(lwm2m_awake_secs=1, lwm2m_resends=1)
def test_what_it_misses_asleep_comes_in_its_next_window_once(world, connect):
    """It falls asleep earlier than the server thinks: the write is lost, and is not lost for good."""
    device = connect(result=done).start()
    device.asleep = True
    first, second = numbered(world, device, 2)
    until(lambda: any(seen.fate == ASLEEP for seen in list(device.seen)), what="the first one goes out in vain")
    until(lambda: metrics.messages(world.server, "timeouts") > 0, what="the server gave up")
    device.asleep = False
    assert device.update().code == coapwire.CHANGED
    for command in (first, second):
        world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"state":1}'))
    assert [value_of(write.payload) for write in device.writes()] == [0, 1]
    mids = [json.loads(write.payload)["mid"] for write in device.writes()]
    assert len(set(mids)) == 2


@pytest.mark.settings(lwm2m_awake_secs=1, lwm2m_resends=1)
def test_the_order_holds_over_many_windows(world, connect):
    """A device that hears one command each time that it wakes: the next one is sent in vain, and comes with its next waking."""
    device = connect()

    def sleep(_command: bytes) -> None:
        device.asleep = True

    device.result = sleep
    commands = numbered(world, device, COMMANDS)
    device.start()
    for n in range(COMMANDS):
        until(lambda: len(device.writes()) > n, what=f"command {n}")
        # Nothing may come between its waking and the answer to its update: it would fall asleep before.
        in_vain = min(n + 1, COMMANDS - 1)
        until(lambda: metrics.messages(world.server, "timeouts") == in_vain, what="the next one was given up")
        until(lambda: metrics.value(world.server, "awake") == 0, what="asleep for the server, too")
        device.asleep = False
        assert device.update().code == coapwire.CHANGED
    for command in commands:
        world.receiver.expect(command, "SENT", "DELIVERED")
    assert [value_of(write.payload) for write in device.writes()] == list(range(COMMANDS))
    assert any(seen.fate == ASLEEP for seen in device.seen)
    check_one_at_a_time(device)
