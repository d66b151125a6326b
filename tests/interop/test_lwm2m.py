"""Devices that sleep, over LwM2M, with a foreign implementation of CoAP as the device."""

import contextlib
import functools
import json
import sqlite3
import subprocess
import time
import urllib.request

import pytest
from aiocoap.numbers.codes import Code

from kit.cli import call
from kit.coapdevice import CoapDevice
from kit.na import DEVICES
from kit.server import APP_ID, binary, clean_env
from kit.wait import until
from kit.world import World


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

    def make(credentials=None, **more) -> CoapDevice:
        credentials = credentials or world.na.register(protocolType="LWM2M")
        device = CoapDevice(world.server.address("coap"), credentials.node_id, **more)
        devices.append(device)
        device.credentials = credentials
        return device

    yield make
    for device in devices:
        device.stop()


def mid_of(command: bytes) -> int:
    message = json.loads(command)
    assert (message["msgType"], message["cmd"], message["paras"]) == ("cloudReq", "SWITCH", {"value": 1})
    return message["mid"]


def result(mid: int, errcode: int = 0) -> bytes:
    body = {"msgType": "deviceRsp", "mid": mid, "errcode": errcode, "body": {"state": 1}}
    return json.dumps(body, separators=(",", ":")).encode()


def test_a_command_reaches_a_registered_device_and_its_result_the_application(world, connect):
    device = connect().start()
    command = world.create(device)
    device.report(result(mid_of(device.next_command())))
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"state":1}'))


def test_commands_of_a_device_that_sleeps_wait_and_go_one_by_one_when_it_wakes(world, connect):
    device = connect()
    commands = [world.create(device) for _ in range(5)]
    assert {world.status(command) for command in commands} == {"PENDING"}
    device.start()
    for command in commands:
        mid = mid_of(device.next_command())
        device.report(result(mid))
        world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"state":1}'))
    assert device.commands.written.empty()


def test_a_device_that_refuses_or_fails_is_told_as_failed(world, connect):
    device = connect().start()
    device.commands.answer = Code.METHOD_NOT_ALLOWED
    refused = world.create(device)
    device.next_command()
    world.receiver.expect(refused, "SENT", "FAILED")
    device.commands.answer = Code.CHANGED
    failed = world.create(device)
    device.report(result(mid_of(device.next_command()), errcode=1))
    world.receiver.expect(failed, "SENT", "DELIVERED", ("FAILED", '{"state":1}'))


def test_a_device_that_is_busy_is_tried_again_when_it_said(world, connect):
    device = connect().start()
    device.commands.answer, device.commands.max_age = Code.SERVICE_UNAVAILABLE, 2
    command = world.create(device)
    first = mid_of(device.next_command())
    refused = time.monotonic()
    device.commands.answer, device.commands.max_age = Code.CHANGED, None
    address = world.server.address("admin")
    until(lambda: "downlink_lwm2m_awake 0" in metrics(address), what="it is left alone")
    immediate = world.na.create_raw(device.credentials.device_id, world.receiver.url, expire=0)
    assert immediate.error == "100428", "it takes nothing now"
    assert mid_of(device.next_command()) == first
    assert time.monotonic() - refused >= 2
    device.report(result(first))
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"state":1}'))


def test_an_immediate_command_that_a_busy_device_does_not_take_has_failed(world, connect):
    device = connect().start()
    device.commands.answer = Code.SERVICE_UNAVAILABLE
    command = world.create(device, expire=0)
    world.receiver.expect(command, "SENT", "FAILED")


@pytest.mark.settings(lwm2m_ack_first_low_secs=1, lwm2m_ack_first_high_secs=1)
def test_the_last_resend_is_the_end_of_an_immediate_command(world, connect):
    device = connect().start()
    device.stop()
    command = world.create(device, expire=0, maxRetransmit=1)
    began = time.monotonic()
    world.receiver.expect(command, "SENT", "TIMEOUT")
    assert time.monotonic() - began < 10, "not the deadline that is there for the worst case"


def test_an_operator_can_look_at_the_packets_of_one_device(world, connect, tmp_path):
    device, other = connect(), connect()
    with (tmp_path / "trace").open("wb") as lines:
        command = [str(binary()), "device", "trace", device.credentials.device_id, "--payload", "--output", "json"]
        host, port = world.server.address("admin")
        command += ["--data-dir", str(world.server.data_dir), "--admin", f"http://{host}:{port}"]
        look = subprocess.Popen(command, stdout=lines, env=clean_env({}))
    try:
        trace = tmp_path / "trace"
        other.start()
        seen = lambda: [json.loads(line) for line in trace.read_text().splitlines()]
        until(lambda: device.register() and seen(), what="the trace has begun")
        device.start()
        world.create(device)
        written = device.next_command()
        until(lambda: written.hex() in trace.read_text(), what="the command is in the trace")
        packets = [packet["packet"] for packet in seen()]
        assert any(f"POST /rd?ep={device.node_id}" in packet for packet in packets), packets
        assert any("CON PUT /19/1/0" in packet for packet in packets), packets
        assert not any(other.node_id in packet for packet in packets)
        peers = {packet["peer"] for packet in seen()}
        assert len(peers) == 1, "of one device only"
    finally:
        look.terminate()
        look.wait(20)


def test_an_immediate_command_needs_a_device_that_hears(world, connect):
    device = connect()
    answer = world.na.create_raw(device.credentials.device_id, world.receiver.url, expire=0)
    assert answer.error == "100428", answer
    device.start()
    command = world.create(device, expire=0)
    device.report(result(mid_of(device.next_command())))
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"state":1}'))


@pytest.mark.settings(lwm2m_awake_secs=1)
def test_a_device_that_fell_asleep_gets_its_command_with_the_next_update(world, connect):
    device = connect().start()
    address = world.server.address("admin")
    until(lambda: "downlink_lwm2m_awake 0" in metrics(address), what="it is asleep")
    command = world.create(device)
    assert world.status(command) == "PENDING"
    assert device.update() == Code.CHANGED
    device.report(result(mid_of(device.next_command())))
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"state":1}'))


def test_who_is_not_known_is_turned_away(world, connect):
    stranger = connect(credentials=world.na.register())
    stranger.node_id = "nobody"
    assert stranger.register() == Code.FORBIDDEN
    secure = connect(credentials=world.na.register(isSecure=True))
    assert secure.register() == Code.FORBIDDEN, "it has to come over DTLS"
    imei = connect()
    imei.node_id = f"urn:imei:{imei.node_id}"
    assert imei.register() == Code.CREATED
    assert imei.leave() == Code.DELETED
    assert imei.update() == Code.NOT_FOUND


def test_a_queue_outlives_registration_and_server(world, connect):
    device = connect().start()
    assert device.leave() == Code.DELETED
    command = world.create(device)
    world.server.kill()
    world.server.start()
    device.start()
    device.report(result(mid_of(device.next_command())))
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"state":1}'))


def kept(world) -> None:
    """Waits until all that devices registered is in the store."""
    address = world.server.address("admin")
    until(lambda: "downlink_lwm2m_unkept 0" in metrics(address), what="registrations are kept")


def rows(world) -> int:
    with contextlib.closing(sqlite3.connect(world.server.data_dir / "downlink.db")) as database:
        return database.execute("SELECT count(*) FROM registration").fetchone()[0]


@pytest.mark.parametrize("word", ["update", "report"])
def test_a_registration_outlives_the_server_and_the_first_word_of_the_device_brings_its_command(world, connect, word):
    device = connect().start()
    kept(world)
    world.server.kill()
    world.server.start()
    command = world.create(device)
    assert world.status(command) == "PENDING", "it sleeps until it is heard"
    if word == "update":
        assert device.update() == Code.CHANGED, "at its old location"
    else:
        device.report(b'{"msgType":"deviceReq","data":[]}')
    device.report(result(mid_of(device.next_command())))
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"state":1}'))


@pytest.mark.settings(lwm2m_work_mode="drx")
def test_a_device_that_always_hears_is_sent_to_after_a_restart_without_a_word(world, connect):
    device = connect(binding="U").start()
    kept(world)
    world.server.kill()
    world.server.start()
    address = world.server.address("admin")
    until(lambda: "downlink_lwm2m_awake 1" in metrics(address), what="it is restored")
    for expire in (600, 0):
        command = world.create(device, expire=expire)
        device.report(result(mid_of(device.next_command())))
        world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"state":1}'))


def test_a_registration_that_ended_does_not_come_back(world, connect):
    gone, removed, lapsed = connect().start(), connect().start(), connect()
    assert lapsed.register(lifetime=1) == Code.CREATED
    assert gone.leave() == Code.DELETED
    answer = world.na.call("DELETE", f"{DEVICES}/{removed.credentials.device_id}")
    assert answer.status == 204, answer
    kept(world)
    world.server.kill()
    world.server.start()
    for device in (gone, removed):
        assert device.update() == Code.NOT_FOUND
    until(lambda: rows(world) == 0, what="no rows are left")
    assert lapsed.update() == Code.NOT_FOUND


def modes(world) -> list[int]:
    """The work modes of the registrations in the store: 0 PSM, 1 DRX, 2 eDRX."""
    with contextlib.closing(sqlite3.connect(world.server.data_dir / "downlink.db")) as database:
        return [row[0][2] for row in database.execute("SELECT kept FROM registration")]


@pytest.mark.settings(lwm2m_awake_secs=1)
def test_a_device_goes_by_its_own_work_mode_then_its_applications_then_the_configurations(world, connect):
    device = connect(binding="U").start()
    its_id, address = device.credentials.device_id, world.server.address("admin")
    until(lambda: "downlink_lwm2m_awake 0" in metrics(address), what="it sleeps")
    until(lambda: modes(world) == [0], what="PSM of the configuration")
    call(world.server, "app", "update", APP_ID, "--work-mode", "drx")
    assert device.update() == Code.CHANGED
    until(lambda: modes(world) == [1], what="DRX of the application")
    call(world.server, "device", "work-mode", its_id, "edrx", "--cycle", "20")
    assert device.update() == Code.CHANGED
    until(lambda: modes(world) == [2], what="eDRX of the device")
    command = world.create(device, expire=0)
    device.report(result(mid_of(device.next_command())))
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"state":1}'))
    call(world.server, "device", "work-mode", its_id, "psm")
    assert device.update() == Code.CHANGED
    until(lambda: modes(world) == [0], what="PSM of the device")
    until(lambda: "downlink_lwm2m_awake 0" in metrics(address), what="it sleeps again")
    call(world.server, "device", "work-mode", its_id, "default")
    assert device.register() == Code.CREATED
    until(lambda: modes(world) == [1], what="DRX of the application")
    call(world.server, "app", "update", APP_ID, "--work-mode", "default")
    assert device.update() == Code.CHANGED
    until(lambda: modes(world) == [0], what="PSM of the configuration")


@pytest.fixture
def secure_world(server):
    server.listeners["coaps"] = "127.0.0.1:0"
    server.start()
    world = World(server)
    yield world
    world.close()


@pytest.fixture
def simulate_at():
    started = []

    def start(world, credentials, secret: str, *more: str) -> subprocess.Popen:
        host, port = world.server.address("coaps")
        command = [str(binary()), "device", "simulate", "--lwm2m", "--coaps", f"{host}:{port}"]
        command += ["--node-id", credentials.node_id, "--secret", secret, *more]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=clean_env({}))
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def simulate(secure_world, simulate_at):
    return functools.partial(simulate_at, secure_world)


def test_over_dtls_a_device_gets_its_commands_and_again_from_another_port(secure_world, simulate):
    credentials = secure_world.na.register(isSecure=True)
    simulate(credentials, credentials.secret, "--psm", "1,1", "--new-port")
    address = secure_world.server.address("admin")
    for session in range(1, 4):
        until(lambda: handshakes(address, "completed") >= session, what=f"session {session}")
        command = secure_world.create(credentials)
        secure_world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    assert handshakes(address, "failed") == 0


def test_over_dtls_a_registration_outlives_the_server_and_a_new_session_speaks_for_it(secure_world, simulate):
    credentials = secure_world.na.register(isSecure=True)
    simulate(credentials, credentials.secret, "--psm", "1,1", "--new-port")
    address = secure_world.server.address("admin")
    until(lambda: "downlink_lwm2m_registrations 1" in metrics(address), what="it is registered")
    kept(secure_world)
    secure_world.server.kill()
    secure_world.server.start()
    command = secure_world.create(credentials)
    secure_world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    assert 'messages_total{what="unknown_location"} 0' in metrics(address), "it had no need to register anew"


def test_a_device_is_not_taken_from_its_session_in_clear(server, simulate_at):
    server.listeners.update(coap="127.0.0.1:0", coaps="127.0.0.1:0")
    server.start()
    world = World(server)
    credentials, address = world.na.register(), server.address("admin")
    simulate_at(world, credentials, credentials.secret, "--psm", "1,1", "--new-port")
    until(lambda: "downlink_lwm2m_registrations 1" in metrics(address), what="it is registered")
    thief = CoapDevice(server.address("coap"), credentials.node_id)
    for _ in range(2):
        assert thief.register() == Code.FORBIDDEN
        command = world.create(credentials)
        world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
        kept(world)
        world.server.kill()
        world.server.start()
    assert thief.commands.written.empty()
    thief.stop()
    world.close()


def test_over_dtls_the_wrong_key_gets_nothing(secure_world, simulate):
    credentials = secure_world.na.register()
    wrong = "00" * (len(credentials.secret) // 2)
    simulate(credentials, wrong)
    address = secure_world.server.address("admin")
    until(lambda: handshakes(address, "failed") > 0, what="a handshake failed")
    assert "downlink_lwm2m_registrations 0" in metrics(address)
    command = secure_world.create(credentials)
    assert secure_world.status(command) == "PENDING"


def handshakes(address: tuple[str, int], what: str) -> int:
    name = f'downlink_lwm2m_dtls_total{{what="{what}"}} '
    found = [line.removeprefix(name) for line in metrics(address).splitlines() if line.startswith(name)]
    return int(found[0]) if found else 0


def metrics(address: tuple[str, int]) -> str:
    with urllib.request.urlopen(f"http://{address[0]}:{address[1]}/metrics", timeout=10) as answer:
        return answer.read().decode()
