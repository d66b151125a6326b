"""What an operator changes under a device: its key, its product. What waits and what is under way has its end all the same."""

import json

import pytest

from interop.test_products import SWITCH, put
from kit import cli, coapwire, metrics
from kit.lwm2msim import Lwm2mSim
from kit.na import DEVICES
from kit.rawcoap import OUT, RawCoapDevice, done
from kit.server import APP_ID
from kit.wait import until
from kit.world import World

OLD, NEW = "000102030405060708090a0b0c0d0e0f", "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"

pytestmark = pytest.mark.settings(
    lwm2m_ack_first_low_secs=1, lwm2m_ack_first_high_secs=1, lwm2m_resends=1, commands_response_wait_secs=2
)


@pytest.fixture
def engine_env():
    """Hints or sweeps: nothing here depends on it."""
    return {}


@pytest.fixture
def world(server):
    server.listeners |= {"coap": "127.0.0.1:0", "coaps": "127.0.0.1:0"}
    server.start()
    world = World(server)
    yield world
    world.close()


@pytest.fixture
def simulate(world):
    sims = []

    def start(node_id: str, secret: str) -> Lwm2mSim:
        host, port = world.server.address("coaps")
        sims.append(Lwm2mSim("--coaps", f"{host}:{port}", "--node-id", node_id, "--secret", secret))
        return sims[-1]

    yield start
    for sim in sims:
        sim.stop()


def remove(world, credentials) -> None:
    answer = world.na.call("DELETE", f"{DEVICES}/{credentials.device_id}")
    assert answer.status == 204, answer


def events(world, command: dict) -> list[dict]:
    answer = world.na.call("GET", f"/downlink/v1/commands/{command['commandId']}")
    assert answer.status == 200, answer
    return answer.json["events"]


def unacknowledged(way: str, _number: int, _copy: int) -> bool:
    """Nothing of what the device says gets through."""
    return way == OUT


def all_gets_through(_way: str, _number: int, _copy: int) -> bool:
    return False


def test_a_new_key_opens_and_the_old_one_does_not(world, simulate):
    """Up to ten seconds old keys are remembered, and must not let anybody in even then."""
    before = world.na.register(secret=OLD, isSecure=True)
    node_id = before.node_id
    first = simulate(node_id, OLD)
    first.wait_for("observed")
    world.receiver.expect(world.create(before), "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    remove(world, before)
    first.wait_for("unsecured")
    assert metrics.value(world.server, "dtls_sessions") == 0 == metrics.value(world.server, "registrations")
    after = world.na.register(node_id=node_id, secret=NEW, isSecure=True)
    waiting = world.create(after)
    intruder = simulate(node_id, OLD)
    attempts = []

    def is_in() -> bool:
        """A device that got no answer is switched off and on again."""
        if attempts and attempts[-1].count("observed"):
            return True
        attempts.append(simulate(node_id, NEW))
        return False

    until(is_in, 25, "the new key opens", every=2)
    world.receiver.expect(waiting, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    again = simulate(node_id, OLD)
    failed = metrics.dtls(world.server, "failed")
    until(lambda: metrics.dtls(world.server, "failed") > failed, what="the old key is refused")
    for sim in (first, intruder, again):
        assert sim.count("received") == (sim is first) and sim.count("registered") == (sim is first)
    world.receiver.expect(world.create(after), "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))


def test_a_key_is_exchanged_and_what_waits_goes_out_by_the_new_one(world, simulate):
    device = world.na.register(secret=OLD, isSecure=True)
    first = simulate(device.node_id, OLD)
    first.wait_for("observed")
    answer = world.na.call("PUT", f"{DEVICES}/{device.device_id}", {"psk": NEW})
    assert answer.status == 204, answer
    first.wait_for("unsecured")
    waiting = world.create(device)
    assert world.status(waiting) == "PENDING"
    failed = metrics.dtls(world.server, "failed")
    intruder = simulate(device.node_id, OLD)
    until(lambda: metrics.dtls(world.server, "failed") > failed, what="the old key is refused")
    simulate(device.node_id, NEW).wait_for("observed")
    world.receiver.expect(waiting, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    assert intruder.count("registered") == 0


def test_what_waits_for_a_device_that_is_removed_is_cancelled_and_what_was_sent_ends(world, connect):
    """TIMEOUT, with its lifetime and the wait for the acknowledgement: 1 s, 2 s and 15 s."""
    device = connect().start()
    device.lose = unacknowledged
    sent = world.create(device, expire=3)
    until(lambda: device.writes(), what="it is under way")
    waiting = world.create(device)
    remove(world, device.credentials)
    world.receiver.expect(waiting, "CANCELED")
    world.receiver.expect(sent, "SENT", "TIMEOUT", timeout=30)
    assert [event["status"] for event in events(world, sent)] == ["PENDING", "SENT", "TIMEOUT"]
    assert metrics.value(world.server, "registrations") == 0


@pytest.fixture
def connect(world):
    """Devices of the product that `put` makes, in clear."""
    devices = []

    def make(**more) -> RawCoapDevice:
        credentials = world.na.register(manufacturerId="acme")
        devices.append(RawCoapDevice(world.server.address("coap"), credentials.node_id, **more))
        devices[-1].credentials = credentials
        return devices[-1]

    yield make
    for device in devices:
        device.stop()


def codec(directory, command_id: int, response_id: int, method: str = "SWITCH") -> tuple[str, str]:
    """A codec: command `id mid(2) value`, response `id mid(2) errcode`."""
    head = '{ is = "id", type = "uint8" }, { is = "mid", type = "uint16" }'
    path = directory / f"codec-{command_id}.toml"
    path.write_text(f"""
kind = "binary"
[[messages]]
type = "command"
service = "Lamp"
command = "{method}"
id = {command_id}
fields = [{head}, {{ name = "value", type = "uint8" }}]
[[messages]]
type = "response"
id = {response_id}
fields = [{head}, {{ is = "errcode", type = "uint8" }}]
""")
    return ("--codec", str(path))


def answer(response_id: int):
    """The response of a device with such a codec."""
    return lambda command: bytes([response_id]) + command[1:3] + b"\0"


def test_a_product_that_changes_under_a_command_that_is_under_way(world, connect, tmp_path):
    """It went out in the old bytes, and its result is read with the new codec: unread, it ends as TIMEOUT."""
    put(world, tmp_path, SWITCH, more=codec(tmp_path, 3, 4))
    device = connect().start()
    device.lose = unacknowledged
    old = world.create(device)
    until(lambda: device.writes(), what="it is under way")
    put(world, tmp_path, SWITCH, more=codec(tmp_path, 5, 6))
    device.lose, device.result = all_gets_through, answer(6)
    world.receiver.wait_for(old["commandId"], "DELIVERED")
    assert device.report(answer(4)(device.writes()[0].payload)).code == coapwire.EMPTY, "acknowledged all the same"
    world.receiver.expect(old, "SENT", "DELIVERED", "TIMEOUT")
    assert metrics.value(world.server, "unread_total") == 1
    new = world.create(device)
    world.receiver.expect(new, "SENT", "DELIVERED", ("SUCCESSFUL", "{}"))
    assert [write.payload[0] for write in device.writes()] == [3, 5]


@pytest.mark.settings(lwm2m_awake_secs=1)
def test_a_product_that_changes_while_commands_wait(world, connect, tmp_path):
    """What waits goes out as the product is when the device registers; what the new codec does not know is FAILED."""
    put(world, tmp_path, SWITCH, more=codec(tmp_path, 3, 4))
    device = connect(result=answer(6))
    waiting = world.create(device)
    put(world, tmp_path, SWITCH, more=codec(tmp_path, 5, 6))
    device.start()
    world.receiver.expect(waiting, "SENT", "DELIVERED", ("SUCCESSFUL", "{}"))
    assert [write.payload[0] for write in device.writes()] == [5]
    until(lambda: metrics.value(world.server, "awake") == 0, what="it is asleep")
    waiting = world.create(device)
    put(world, tmp_path, SWITCH, more=codec(tmp_path, 7, 8, method="BLINK"))
    device.start()
    world.receiver.expect(waiting, "SENT", "FAILED")
    assert "codec" in json.dumps(events(world, waiting)[-1])
    assert len(device.writes()) == 1, "it got nothing of it"


@pytest.mark.settings(lwm2m_awake_secs=1)
def test_a_product_that_is_deleted_while_commands_wait_and_are_under_way(world, connect, tmp_path):
    """What is under way ends; what waits goes out as without any product, once the device registers anew."""
    product = put(world, tmp_path, SWITCH, more=codec(tmp_path, 3, 4))
    device = connect().start()
    device.lose = unacknowledged
    old = world.create(device)
    until(lambda: device.writes(), what="it is under way")
    waiting = world.create(device)
    cli.call(world.server, "product", "delete", APP_ID, product["id"])
    device.asleep = True
    until(lambda: metrics.messages(world.server, "timeouts") > 0, what="the server gave it up", timeout=30)
    device.asleep, device.lose, device.result = False, all_gets_through, done
    device.start()
    for command in (old, waiting):
        world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"state":1}'))
    kinds = [write.payload[:1] for write in device.writes()]
    assert kinds == [b"\3", b"{", b"{"]


@pytest.mark.settings(lwm2m_awake_secs=1)
def test_a_product_that_becomes_secure_while_a_device_is_registered_in_clear(world, connect, simulate, tmp_path):
    put(world, tmp_path, SWITCH)
    device = connect(result=done).start()
    until(lambda: metrics.value(world.server, "awake") == 0, what="it is asleep")
    put(world, tmp_path, SWITCH, more=("--secure",))
    command = world.create(device)
    assert device.update().code == coapwire.CHANGED
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"state":1}'))
    assert device.register().code == coapwire.FORBIDDEN, "from its next registration on"
    until(lambda: metrics.value(world.server, "awake") == 0, what="it is asleep")
    command = world.create(device)
    simulate(device.node_id, device.credentials.secret).wait_for("observed")
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    assert len(device.writes()) == 1
