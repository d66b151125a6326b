"""Devices as applications see them, against the real binary: found, changed, refreshed, removed, and what they
reported, which comes in by MQTT and LwM2M."""

import json
import subprocess
import urllib.request
from urllib.parse import urlencode

import pytest
from aiocoap.numbers.codes import Code

from kit.coapdevice import CoapDevice
from kit.device import PahoDevice
from kit.na import DEVICES, REGISTER
from kit.server import binary, clean_env
from kit.wait import until
from kit.world import World

KEYS = "/iocm/app/reg/v1.1.0/deviceCredentials"
HISTORY = "/iocm/app/data/v1.2.0/deviceDataHistory"
CAPABILITIES = "/iocm/app/data/v1.1.0/deviceCapabilities"
SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"

INFO = (
    "nodeId name description manufacturerId manufacturerName mac location deviceType model swVersion fwVersion "
    "hwVersion protocolType bridgeId status statusDetail mute supportedSecurity isSecurity signalStrength sigVersion "
    "serialNumber batteryLevel"
).split()


@pytest.fixture
def world(server):
    server.listeners["coap"] = server.listeners["coaps"] = "127.0.0.1:0"
    server.start()
    world = World(server)
    yield world
    world.close()


def metrics(address: tuple[str, int]) -> str:
    with urllib.request.urlopen(f"http://{address[0]}:{address[1]}/metrics", timeout=10) as answer:
        return answer.read().decode()


def handshakes(address: tuple[str, int], what: str) -> int:
    name = f'downlink_lwm2m_dtls_total{{what="{what}"}} '
    found = [line.removeprefix(name) for line in metrics(address).splitlines() if line.startswith(name)]
    return int(found[0]) if found else 0


def one(world, device_id, query=""):
    answer = world.na.call("GET", f"{DEVICES}/{device_id}{query}")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json", answer
    return answer.json


def many(world, **query):
    answer = world.na.call("GET", f"{DEVICES}?{urlencode(query)}")
    assert answer.status == 200, answer
    assert list(answer.json) == ["totalCount", "pageNo", "pageSize", "devices"]
    assert all(type(answer.json[name]) is int for name in ("totalCount", "pageNo", "pageSize"))
    return answer.json


def change(world, device_id, **members):
    answer = world.na.call("PUT", f"{DEVICES}/{device_id}", members)
    assert (answer.status, answer.body) == (204, b""), answer


def status(world, device_id):
    info = one(world, device_id)["deviceInfo"]
    return info["status"], info["statusDetail"]


def told(world, device_id, kind):
    """The notices of a kind that were accepted of a device, each once: a kill may have one come twice."""
    accepted = {push.webhook_id: push.body.decode() for push in world.receiver.requests() if push.accepted}
    return [body for body in accepted.values() if f'"notifyType":"{kind}","deviceId":"{device_id}"' in body]


def subscribe(world, kind):
    made = world.na.call("POST", SUBSCRIPTIONS, {"notifyType": kind, "callbackUrl": world.receiver.url})
    assert made.status == 201, made


def test_a_device_has_its_members_in_the_order_of_the_interface(world):
    device = world.na.register(name="valve", model="")
    shown = one(world, device.device_id)
    assert list(shown) == [
        "deviceId", "gatewayId", "nodeType", "createTime", "lastModifiedTime", "deviceInfo", "services",
    ]  # fmt: skip
    assert (shown["deviceId"], shown["gatewayId"], shown["nodeType"]) == (device.device_id, device.device_id, "GATEWAY")
    assert len(shown["createTime"]) == 16 and shown["createTime"][8] == "T" and shown["createTime"].endswith("Z")
    info = shown["deviceInfo"]
    assert list(info) == INFO, "what was not said is there all the same, as null"
    assert (info["name"], info["model"], info["mac"], info["batteryLevel"]) == ("valve", None, None, None)
    assert (info["status"], info["statusDetail"], info["mute"], info["isSecurity"]) == (
        "OFFLINE", "NOT_ACTIVE", "FALSE", "FALSE",
    )  # fmt: skip
    assert shown["services"] == []
    unknown = world.na.call("GET", f"{DEVICES}/nobody")
    assert (unknown.status, unknown.error) == (404, "100403")


def test_lists_are_narrowed_paged_and_counted(world):
    ids = {}
    for name, kind in (("a", "Lamp"), ("b", "Valve"), ("c", "Lamp")):
        ids[name] = world.na.register(name=name, deviceType=kind, location=f"{kind} hall").device_id

    def names(**query):
        page = many(world, **query)
        return [device["deviceInfo"]["name"] for device in page["devices"]], page["totalCount"]

    assert names() == (["c", "b", "a"], 3)
    assert many(world)["pageSize"] == 25
    assert names(sort="ASC", pageNo=1, pageSize=2) == (["c"], 3)
    assert names(deviceType="Lamp") == (["c", "a"], 2)
    assert names(DEVICETYPE="Lamp", name="a") == (["a"], 1)
    assert names(location="Valve hall") == (["b"], 1)
    assert names(gatewayId=ids["b"]) == (["b"], 1)
    assert names(nodeType="GATEWAY", status="INACTIVE", pageSize=1) == (["c"], 3)
    assert names(status="ONLINE") == ([], 0)
    assert names(startTime="20200101T000000Z", endTime="29990101T000000Z", pageNo=7) == ([], 3)
    for wrong in ("pageSize=0", "pageSize=251", "pageNo=-1", "status=HAPPY", "sort=UP", "nodeType=X", "endTime=1"):
        answer = world.na.call("GET", f"{DEVICES}?{wrong}")
        assert (answer.status, answer.error) == (400, "100022"), answer
        assert f" {wrong.split('=')[0]}: " in answer.json["error_desc"]


def test_a_device_over_mqtt_is_online_while_it_is_connected(world):
    device = world.device(PahoDevice)
    device_id = device.credentials.device_id
    assert status(world, device_id) == ("ONLINE", "NONE")
    assert many(world, status="ONLINE")["totalCount"] == 1
    device.stop()
    until(lambda: status(world, device_id) == ("OFFLINE", "NONE"), what="word that it went")
    assert (many(world, status="ONLINE")["totalCount"], many(world, status="OFFLINE")["totalCount"]) == (0, 1)
    again = world.device(PahoDevice, device.credentials)
    assert many(world, status="ONLINE")["totalCount"] == 1
    world.server.kill()
    again.stop()
    world.server.start()
    assert status(world, device_id) == ("OFFLINE", "NONE"), "of a connection of the server that was killed nothing is left"
    assert many(world, status="ONLINE")["totalCount"] == 0


@pytest.mark.settings(lwm2m_awake_secs=1)
def test_a_device_that_sleeps_is_online_until_it_was_silent_for_long(world):
    credentials = world.na.register(protocolType="LWM2M")
    device = CoapDevice(world.server.address("coap"), credentials.node_id).start()
    command = world.create(credentials, expire=600)
    device.next_command()
    asleep = lambda: "downlink_lwm2m_awake 0" in metrics(world.server.address("admin"))  # noqa: E731
    until(asleep, what="its sleep", timeout=30)
    assert world.na.create_raw(credentials.device_id, None, expire=0).error == "100428"
    assert status(world, credentials.device_id) == ("ONLINE", "NONE"), "asleep, but heard lately"
    assert many(world, status="ONLINE")["devices"][0]["deviceId"] == command["deviceId"]
    answer = world.na.call("PUT", f"{KEYS}/{credentials.device_id}", {})
    assert (answer.status, answer.error) == (400, "100611"), answer
    world.server.restart("kill")
    assert status(world, credentials.device_id) == ("ONLINE", "NONE"), "what was heard is kept over a restart"
    device.stop()


@pytest.mark.settings(devices_abnormal_after_secs=2, devices_offline_after_secs=4, lwm2m_awake_secs=1)
def test_silence_is_counted_from_the_last_word(world):
    credentials = world.na.register(protocolType="LWM2M")
    device = CoapDevice(world.server.address("coap"), credentials.node_id).start()
    for name in ("ABNORMAL", "OFFLINE"):
        until(lambda: status(world, credentials.device_id) == (name, "NONE"), what=name, timeout=20)
        assert many(world, status=name)["totalCount"] == 1
    device.stop()


def test_a_device_that_takes_its_leave_is_offline(world):
    credentials = world.na.register(protocolType="LWM2M")
    device = CoapDevice(world.server.address("coap"), credentials.node_id).start()
    assert device.leave() == Code.DELETED
    until(lambda: status(world, credentials.device_id) == ("OFFLINE", "NONE"), what="word that it left")
    assert many(world, status="OFFLINE")["totalCount"] == 1
    device.stop()


def test_what_is_changed_is_kept_and_told(world):
    subscribe(world, "deviceInfoChanged")
    device_id = world.na.register(name="old", model="M").device_id
    given = {
        "name": "gate", "endUser": "u", "mute": "FALSE", "manufacturerId": "m", "manufacturerName": "Maker",
        "deviceType": "Gate", "model": "M", "protocolType": "LWM2M", "region": "r", "organization": "o",
        "timezone": "Asia/Shanghai", "location": "here", "imsi": "46000", "ip": "10.0.0.1", "productId": "p",
        "deviceConfig": {"dataConfig": {"dataAgingTime": 30}},
        "customFields": [{"fieldName": "f", "fieldType": "string", "fieldValue": "v"}],
        "tags": [{"tagName": "t", "tagValue": "w"}],
    }  # fmt: skip
    change(world, device_id, **given, isSecure=True, appId="ignored", unheardOf=[1])
    world.server.restart("kill")
    info = one(world, device_id, "?select=imsi")["deviceInfo"]
    assert {name: info[name] for name in given} == given
    assert info["isSecurity"] == "TRUE"
    [body] = until(lambda: told(world, device_id, "deviceInfoChanged"), what="word of the change")
    notice = json.loads(body)
    assert list(notice) == ["notifyType", "deviceId", "gatewayId", "networkStatus", "deviceInfo"]
    assert list(notice["deviceInfo"]) == INFO
    changed = {name for name, value in notice["deviceInfo"].items() if value is not None}
    assert changed == {
        "name", "manufacturerId", "manufacturerName", "deviceType", "protocolType", "location", "isSecurity", "mute",
    } - {"mute"}  # fmt: skip
    assert "46000" not in body and " " not in body.replace("here", "")
    wrong = world.na.call("PUT", f"{DEVICES}/{device_id}", {"name": "n" * 257})
    assert (wrong.status, wrong.error) == (400, "100022") and " name: " in wrong.json["error_desc"]
    assert world.na.call("PUT", f"{DEVICES}/nobody", {}).error == "100403"


def test_another_key_closes_the_session_over_mqtt(world):
    device = world.device(PahoDevice)
    credentials = device.credentials
    change(world, credentials.device_id, psk="00112233445566778899aabbccddeeff")
    until(lambda: len(device.connects) > 1 and device.connects[-1] != 0, what="the old secret to be refused")
    device.stop()
    credentials.secret = "00112233445566778899aabbccddeeff"
    world.device(PahoDevice, credentials).stop()


@pytest.fixture
def over_dtls(world):
    """Plays a device over DTLS, with a new handshake each time it wakes."""
    started = []

    def start(credentials, secret: str) -> subprocess.Popen:
        host, port = world.server.address("coaps")
        command = [str(binary()), "device", "simulate", "--lwm2m", "--coaps", f"{host}:{port}", "--psm", "1,1"]
        command += ["--new-port", "--node-id", credentials.node_id, "--secret", secret]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, env=clean_env({})))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_another_key_is_the_only_one_over_dtls(world, over_dtls):
    credentials = world.na.register(isSecure=True)
    old = over_dtls(credentials, credentials.secret)
    address = world.server.address("admin")
    until(lambda: handshakes(address, "completed") > 0, what="a session with the first key")
    change(world, credentials.device_id, psk="00112233445566778899aabbccddeeff")
    # Looked up before the change at the latest: such handshakes are over by now, or fail.
    until(lambda: handshakes(address, "failed") > 0, what="the first key to be refused", timeout=40)
    old.kill()
    over_dtls(credentials, "00112233445566778899aabbccddeeff")
    command = world.create(credentials)
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))


def test_a_key_is_refreshed_of_a_device_that_was_there_and_went(world):
    device = world.device(PahoDevice)
    device_id = device.credentials.device_id
    path = f"{KEYS}/{device_id}"
    assert world.na.call("PUT", path, {}).error == "100611"
    device.stop()
    until(lambda: status(world, device_id)[0] == "OFFLINE", what="word that it went")
    answer = world.na.call("PUT", path, {"verifyCode": "v1", "timeout": "60"})
    assert (answer.status, answer.body) == (200, b'{"verifyCode":"v1","timeout":60}'), answer
    never = world.na.register()
    assert world.na.call("PUT", f"{KEYS}/{never.device_id}", {}).error == "100610"
    activated = world.na.call("GET", path).json
    assert activated == {"deviceId": device_id, "activated": True, "name": None}
    assert world.na.call("GET", f"{KEYS}/{never.device_id}").json["activated"] is False
    world.device(PahoDevice, device.credentials).stop()


def test_what_devices_reported_is_found_again(world):
    device = world.device(PahoDevice)
    device_id = device.credentials.device_id
    for lux in range(3):
        data = [
            {"serviceId": "Lamp", "serviceData": {"lux": lux}, "eventTime": f"2026010{lux + 1}T000000Z"},
            {"serviceId": "Meter", "serviceData": {"kwh": "7"}},
        ]
        device.publish(device.up, json.dumps({"msgType": "deviceReq", "data": data}))
    sleepy = world.na.register(protocolType="LWM2M")
    coap = CoapDevice(world.server.address("coap"), sleepy.node_id).start()
    report = {"msgType": "deviceReq", "hasMore": 0, "data": [{"serviceId": "Tap", "serviceData": {"open": True}}]}
    coap.report(json.dumps(report).encode())

    def history(device_id, **query):
        answer = world.na.call("GET", f"{HISTORY}?{urlencode({'deviceId': device_id, 'gatewayId': device_id, **query})}")
        assert answer.status == 200, answer
        return answer.json

    page = history(device_id)
    assert list(page) == ["totalCount", "pageNo", "pageSize", "deviceDataHistoryDTOs"]
    assert page["totalCount"] == 6, "a PUBACK means that it is kept"
    lamps = history(device_id, serviceId="Lamp", startTime="20260102T000000Z", endTime="20260103T000000Z")
    assert lamps["deviceDataHistoryDTOs"] == [
        {
            "serviceId": "Lamp", "deviceId": device_id, "gatewayId": device_id, "appId": world.na.app[0],
            "data": {"lux": lux}, "timestamp": f"2026010{lux + 1}T000000Z",
        }
        for lux in (2, 1)
    ]  # fmt: skip
    assert list(lamps["deviceDataHistoryDTOs"][0]) == [
        "serviceId", "deviceId", "gatewayId", "appId", "data", "timestamp",
    ]  # fmt: skip
    assert history(device_id, property="kwh", pageNo=1, pageSize=2)["totalCount"] == 3
    until(lambda: history(sleepy.device_id)["totalCount"] == 1, what="what the sleeping device reported")
    [tap] = one(world, sleepy.device_id)["services"]
    assert list(tap) == ["serviceId", "serviceType", "serviceInfo", "data", "eventTime"]
    assert (tap["serviceId"], tap["serviceInfo"], tap["data"]) == ("Tap", {"muteCmds": []}, {"open": True})
    assert world.na.call("GET", HISTORY).error == "100419"
    assert world.na.call("GET", f"{HISTORY}?deviceId={device_id}&pageSize=2001").error == "100216"
    change(world, device_id, mute="TRUE")
    device.publish(device.up, json.dumps({"msgType": "deviceReq", "data": data}))
    assert history(device_id)["totalCount"] == 6, "a mute device's reports are passed over"
    world.server.restart("kill")
    assert history(device_id)["totalCount"] == 6
    coap.stop()


def test_devices_behind_a_gateway_go_with_it(world):
    gateway = world.na.register().device_id
    body = {"deviceInfo": {"nodeId": f"child of {gateway}"}, "gatewayId": gateway}
    child = world.na.call("POST", REGISTER, body).json["deviceId"]
    subscribe(world, "deviceDeleted")
    shown = one(world, child)
    assert (shown["gatewayId"], shown["nodeType"]) == (gateway, "ENDPOINT")
    assert many(world, gatewayId=gateway)["totalCount"] == 2
    assert world.na.call("DELETE", f"{DEVICES}/{gateway}?cascade=true").status == 204
    assert many(world)["totalCount"] == 0
    for device_id in (gateway, child):
        [body] = until(lambda: told(world, device_id, "deviceDeleted"), what="word that it was removed")
        assert json.loads(body)["gatewayId"] == gateway


@pytest.mark.settings(engine_expiry_sweep_ms=100)
def test_a_registration_that_is_not_bound_in_time_is_removed(world):
    subscribe(world, "bindDevice")
    answer = world.na.call("POST", KEYS, {"nodeId": "late", "verifyCode": "late", "timeout": 1})
    assert (answer.status, list(answer.json)) == (200, ["deviceId", "verifyCode", "timeout", "psk"])
    assert type(answer.json["timeout"]) is int and len(answer.json["psk"]) == 32
    device_id = answer.json["deviceId"]
    gone = lambda: world.na.call("GET", f"{DEVICES}/{device_id}").error == "100403"  # noqa: E731
    until(gone, what="its removal", timeout=60)
    [body] = until(lambda: told(world, device_id, "bindDevice"), what="word of it")
    assert json.loads(body)["resultCode"] == "expired"


def test_older_paths_are_the_same_devices(world):
    made = world.na.call("POST", "/iocm/app/reg/v1.2.0/devices", {"nodeId": "old", "verifyCode": "old", "timeout": 0})
    assert made.status == 200, made
    device_id = made.json["deviceId"]
    path = f"/iocm/app/dm/v1.1.0/devices/{device_id}"
    assert world.na.call("PUT", f"/iocm/app/dm/v1.2.0/devices/{device_id}", {"name": "n"}).status == 204
    shown = world.na.call("GET", path).json
    assert (shown["deviceInfo"]["name"], shown["creationTime"]) == ("n", one(world, device_id)["createTime"])
    assert world.na.call("GET", "/iocm/app/dm/v1.3.0/devices?pageNo=0").json["totalCount"] == 1
    assert world.na.call("GET", f"/iocm/app/reg/v1.1.0/devices/{device_id}").json["activated"] is False
    assert world.na.call("GET", f"/iocm/app/data/v1.1.0/deviceDataHistory?deviceId={device_id}").status == 200
    assert world.na.call("DELETE", path).status == 204
    assert world.na.call("GET", path).error == "100403"


def test_a_muted_command_is_refused_and_others_are_not(world):
    subscribe(world, "serviceInfoChanged")
    device = world.device(PahoDevice)
    device_id = device.credentials.device_id
    path = f"/iocm/app/dm/v1.1.0/devices/{device_id}/services/Lamp"
    muted = world.na.call("PUT", path, {"serviceInfo": {"muteCmds": ["SWITCH"]}})
    assert (muted.status, muted.body) == (204, b"")
    refused = world.na.create_raw(device_id, world.receiver.url)
    assert (refused.status, refused.error) == (409, "100432"), refused
    [body] = until(lambda: told(world, device_id, "serviceInfoChanged"), what="word of it")
    assert body.endswith('"serviceId":"Lamp","serviceType":"Lamp","serviceInfo":{"muteCmds":["SWITCH"]}}')
    change(world, device_id, mute="TRUE")
    assert world.na.call("PUT", path, {"muteCmds": []}).status == 204
    command = world.create(device)
    device.answer(device.next_command()["mid"])
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
