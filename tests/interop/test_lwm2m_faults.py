"""Ten devices in bad weather: whatever is lost, doubled, late or forgotten, each command has its end, in order, and is not
carried out twice where that can be helped."""

import time
from itertools import groupby

import pytest

from kit import metrics
from kit.lwm2msim import Lwm2mSim, executions, values
from kit.na import FINAL
from kit.wait import until
from kit.world import World

DEVICES, COMMANDS = 10, 3
SECRET = "000102030405060708090a0b0c0d0e0f"
WEATHER = ["--loss", "10", "--duplicate", "20", "--latency", "0,150"]

pytestmark = pytest.mark.settings(lwm2m_ack_first_low_secs=1, lwm2m_ack_first_high_secs=1, lwm2m_resends=5)


@pytest.fixture
def world(server):
    server.listeners |= {"coap": "127.0.0.1:0", "coaps": "127.0.0.1:0"}
    server.start()
    world = World(server)
    yield world
    world.close()


@pytest.fixture
def fleet(world, rng):
    """Ten registered devices, and a way to play them."""
    stem = f"{time.monotonic_ns()}-"
    devices = [world.na.register(node_id=f"{stem}{n}", secret=SECRET) for n in range(DEVICES)]
    sims = []

    def play(listener: str, *more: str) -> Lwm2mSim:
        host, port = world.server.address(listener)
        which = ["--count", str(DEVICES), "--node-id", devices[0].node_id, "--secret", SECRET]
        where = [f"--{listener}", f"{host}:{port}", "--seed", str(rng.randrange(1 << 32))]
        sims.append(Lwm2mSim(*which, *where, *more))
        return sims[-1]

    yield devices, play
    for sim in sims:
        sim.stop()


def commanded(world, devices) -> list[dict]:
    """Commands for each device; each carries its number."""

    def one(device, n: int) -> dict:
        body = {"serviceId": "Lamp", "method": "SWITCH", "paras": {"value": n}}
        return world.create(device, command=body)

    return [one(device, n) for n in range(COMMANDS) for device in devices]


def statuses(world) -> list[str]:
    return [command["status"] for command in world.na.list()]


def wait_for_ends(world, timeout: float) -> None:
    until(lambda: set(statuses(world)) <= FINAL, timeout, lambda: f"all final: {statuses(world)}", every=0.2)


def without_repeats(numbers: list[int]) -> list[int]:
    return [number for number, _ in groupby(numbers)]


@pytest.mark.parametrize("listener", ["coap", "coaps"])
def test_in_bad_weather_each_command_is_carried_out_once_and_in_order(world, fleet, listener):
    devices, play = fleet
    commands = commanded(world, devices)
    sim = play(listener, *WEATHER)
    wait_for_ends(world, timeout=90)
    for command in commands:
        world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    for device in devices:
        assert values(sim, device.node_id) == list(range(COMMANDS))
        assert len(set(executions(sim, device.node_id))) == COMMANDS == len(executions(sim, device.node_id))
    count = sim.stop()
    assert count["executed"] == DEVICES * COMMANDS and count["repeated"] > 0, count
    assert metrics.messages(world.server, "retransmits") > 0 and metrics.messages(world.server, "duplicates") > 0


@pytest.mark.settings(lwm2m_awake_secs=3, lwm2m_resends=2)
def test_asleep_between_in_bad_weather_the_order_holds(world, fleet):
    """A command whose acknowledgement was lost when the device fell asleep comes again, and before any later one."""
    devices, play = fleet
    commands = commanded(world, devices)
    sim = play("coap", *WEATHER, "--psm", "3,1")
    wait_for_ends(world, timeout=90)
    for command in commands:
        assert world.status(command) in ("SUCCESSFUL", "TIMEOUT")
    for device in devices:
        assert without_repeats(values(sim, device.node_id)) == list(range(COMMANDS))
    assert sim.stop()["asleep"] > 0


@pytest.mark.settings(commands_response_wait_secs=6)
@pytest.mark.parametrize("listener", ["coap", "coaps"])
def test_devices_that_start_anew_all_the_time_leave_no_command_without_an_end(world, fleet, listener):
    devices, play = fleet
    sim = play(listener, "--loss", "5", "--duplicate", "10", "--latency", "0,50", "--reboot-every", "3")
    sim.wait_for("observed", DEVICES)
    commands = commanded(world, devices)
    sim.wait_for("rebooted", 2 * DEVICES)
    wait_for_ends(world, timeout=60)
    ends = {command["commandId"]: world.status(command) for command in commands}
    assert set(ends.values()) <= {"SUCCESSFUL", "TIMEOUT"}, ends
    for device in devices:
        assert without_repeats(values(sim, device.node_id)) == list(range(COMMANDS))
        for life in lives(sim, device.node_id):
            assert len(life) == len(set(life)), "carried out twice by a device that had not forgotten the first time"
    assert sim.stop()["rebooted"] >= 2 * DEVICES


def lives(sim: Lwm2mSim, node_id: str) -> list[list[int]]:
    """What a device carried out, from each start to the next."""
    found: list[list[int]] = [[]]
    for event in list(sim.events):
        if event.get("nodeId") == node_id and event["event"] == "rebooted":
            found.append([])
        elif event.get("nodeId") == node_id and event["event"] == "executed":
            found[-1].append(event["mid"])
    return found
