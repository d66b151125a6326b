"""Devices that are not who they say, go where they must not, or send rubbish: refused, without a trace."""

import json
import queue

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from kit.device import login_of
from kit.na import Credentials
from kit.rawmqtt import CONNACK, PINGREQ, RawDevice, connect_packet, packet, publish_packet, text
from kit.wait import until


def connack(world, client_id, user, password, **more):
    device = RawDevice(world.server.mqtt, None).open()
    device.send(connect_packet(client_id, user, password, **more))
    code = device.wait_for(CONNACK)[1]
    if code:
        assert device.closed.wait(20), "a refused connection is closed"
    device.close()
    return code


def test_wrong_credentials(world):
    credentials = world.na.register()
    client_id, user, password = login_of(credentials)
    before = world.na.totals()
    assert connack(world, client_id, user, password) == 0
    wrong = connack(world, client_id, user, "0" * 64)
    assert wrong in (4, 5)
    nobody = Credentials("no-such-device", "no-such-node", credentials.secret)
    assert connack(world, *login_of(nobody)) == wrong, "an unknown device gets the same answer as a wrong password"
    assert connack(world, client_id, user, password.upper()) in (4, 5)
    assert connack(world, client_id, user, "") in (4, 5)
    assert connack(world, "rubbish", user, password) in (2, 4, 5)
    assert connack(world, *login_of(credentials, stamp="2001010100", sign=1)) in (4, 5), "a checked stamp of long ago"
    assert connack(world, *login_of(credentials, stamp="2001010100", sign=0)) == 0, "a stamp that is not checked"
    assert world.na.totals() == before
    world.check_alive()


def test_wrong_password_in_mqtt_5(world):
    client_id, user, _ = login_of(world.na.register())
    reasons: queue.Queue[int] = queue.Queue()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set(user, "0" * 64)
    client.on_connect = lambda _client, _data, _flags, reason, _properties: reasons.put(reason.value)
    client.connect(*world.server.mqtt, keepalive=60)
    client.loop_start()
    assert reasons.get(timeout=20) in (134, 135)
    client.disconnect()
    client.loop_stop()


@pytest.mark.parametrize("keep_alive", [0, 10, 5000])
def test_keep_alive_out_of_bounds(world, keep_alive):
    assert connack(world, *login_of(world.na.register()), keep_alive=keep_alive) == 2


def test_topics_of_other_devices(world):
    victim, attacker = world.device(), world.device()
    command = world.create(victim)
    mid = json.loads(victim.next_publish().payload)["mid"]
    before = world.na.totals()
    for topic in [victim.down, "$SYS/#", f"$oc/devices/{victim.credentials.device_id}/#"]:
        spy = world.device(credentials=world.na.register())
        try:
            granted = spy.subscribe(topic)
        except AssertionError:
            granted = 128
            assert spy.closed.wait(20)
        assert granted == 128, f"granted {topic}"
        spy.close()
    attacker.publish(victim.up, json.dumps({"msgType": "deviceRsp", "mid": mid, "errcode": 1}), attacker.next_id())
    attacker.publish(
        f"$oc/devices/{victim.credentials.device_id}/sys/commands/response/request_id={command['commandId']}", "{}"
    )
    victim.answer(mid)
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    assert world.na.totals()[0] == before[0], "no command came of it"
    world.check_alive()


def test_a_broad_filter_brings_a_device_nothing_but_its_own(world):
    """Wildcards that take in the device's own command topic are granted, and stand for that topic alone."""
    victim = world.device()
    for broad in ["#", "/huawei/v1/devices/+/command/json"]:
        spy = world.device(credentials=world.na.register())
        assert spy.subscribe(broad) <= 1, broad
        world.create(victim)
        victim.answer(json.loads(victim.next_publish().payload)["mid"])
        own = world.create(spy)
        first = spy.next_publish()
        assert first.topic == spy.down, "a command of another device came before its own"
        spy.answer(json.loads(first.payload)["mid"])
        world.receiver.expect(own, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
        spy.close()


LONG = b"\xff\xff\xff\xff\xff"
MALFORMED = {
    "no CONNECT first": packet(PINGREQ, 0, b""),
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Y: z\r\n" * 50 + b"\r\n",
    "length of five bytes": b"\x10" + LONG,
    "wrong protocol name": packet(1, 0, text("MQXX") + b"\x04\x02\x00\x3c" + text("c")),
    "unknown version": packet(1, 0, text("MQTT") + b"\x63\x02\x00\x3c" + text("c")),
    "reserved flag": packet(1, 0, text("MQTT") + b"\x04\x03\x00\x3c" + text("c")),
    "string past the end": packet(1, 0, text("MQTT") + b"\x04\x02\x00\x3c\xff\xff"),
    "packet type 0": b"\x00\x00",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_before_connect(world, data):
    device = RawDevice(world.server.mqtt, None).open()
    device.send(data)
    assert device.closed.wait(20)
    world.check_alive()


MALFORMED_LATER = {
    "second CONNECT": connect_packet("c", "u", "p"),
    "QoS 3": packet(3, 6, text("t") + b"\x00\x01x"),
    "wildcard in a publication": publish_packet("/huawei/v1/devices/+/data/json", b"{}", 1),
    "subscription without filter": packet(8, 2, b"\x00\x01"),
    "wrong flags of SUBSCRIBE": packet(8, 0, b"\x00\x01" + text("t") + b"\x01"),
    "packet type 15": b"\xf0\x00",
    "larger than allowed": b"\x30" + b"\xff\xff\xff\x7f" + b"x" * 4096,
    "topic past the end": packet(3, 0, b"\xff\xff"),
}


@pytest.mark.parametrize("data", MALFORMED_LATER.values(), ids=MALFORMED_LATER.keys())
def test_malformed_after_connect(world, data):
    device = world.device()
    command = world.create(device)
    mid = json.loads(device.next_publish().payload)["mid"]
    device.send(data)
    assert device.closed.wait(20)
    again = world.device(credentials=device.credentials)
    again.answer(mid)
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))


RUBBISH = ["", "{", "null", "[]", '"text"', "\0", '{"msgType":"deviceRsp"}', '{"msgType":"deviceRsp","mid":"x","errcode":0}']
RUBBISH += ['{"msgType":"deviceRsp","mid":70000,"errcode":0}', '{"msgType":"deviceRsp","mid":0,"errcode":0}', "[" * 50_000]
RUBBISH += ['{"msgType":"nonsense","mid":MID,"errcode":0}']


def test_payloads_that_mean_nothing(world):
    """Acknowledged or refused, the command that is open does not move, and the device's true answer counts."""
    device = world.device()
    command = world.create(device)
    mid = json.loads(device.next_publish().payload)["mid"]
    for payload in RUBBISH:
        device.publish(device.up, payload.replace("MID", str(mid)), device.next_id())
        until(lambda: device.acks.qsize() or device.closed.is_set(), what=f"an answer to {payload[:40]!r}")
        device.close()
        device = world.device(credentials=device.credentials)
    world.receiver.wait_for(command["commandId"], "DELIVERED")
    assert world.status(command) == "DELIVERED"
    device.answer(mid)
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))


def test_random_bytes(world, rng):
    """Bytes without sense, and good packets with a few bytes changed: the server closes or ignores, and lives."""
    before = world.na.totals()
    good = [connect_packet("a_0_0_2026010208", "a", "p"), publish_packet("t", b"x", 7), packet(8, 2, b"\x00\x01" + text("t") + b"\x01")]
    for _ in range(200):
        data = bytearray(rng.randbytes(rng.randint(1, 200)) if rng.random() < 0.3 else b"".join(good))
        for _ in range(rng.randint(0, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        device = RawDevice(world.server.mqtt, None).open()
        try:
            device.send(bytes(data))
        except OSError:
            pass
        device.close()
    assert world.na.totals() == before
    world.check_alive()
