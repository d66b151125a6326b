"""Shadows of devices: what a device reports over LwM2M is shown, what is desired reaches it when it can be written to, and
its application is told how that ended. The device is a foreign implementation of CoAP."""

import json

import pytest
from aiocoap.numbers.codes import Code

from kit import metrics
from kit.coapdevice import CoapDevice
from kit.device import PahoDevice
from kit.na import COMMANDS, DEVICES, NA
from kit.wait import until
from kit.world import World

SHADOW = "/iocm/app/shadow/v1.5.0/devices"
DESIRED = "/iocm/app/shadow/v1.5.0/deviceDesiredHistory"
SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"
LUX = {"propertyName": "lux", "dataType": "int", "min": "0", "max": "9", "method": "RWE"}
CODEC = """
kind = "binary"
[[messages]]
type = "command"
service = "Lamp"
command = "writeProperties"
id = 3
fields = [{ is = "id", type = "uint8" }, { is = "mid", type = "uint16" }, { name = "lux", type = "uint8" }]
[[messages]]
type = "report"
service = "Lamp"
id = 1
fields = [{ is = "id", type = "uint8" }, { name = "lux", type = "uint8" }]
"""
KIND = "deviceDesiredPropertiesModifyStatusChanged"


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

    def make(**info) -> CoapDevice:
        credentials = world.na.register(**{"protocolType": "LWM2M", **info})
        device = CoapDevice(world.server.address("coap"), credentials.node_id)
        devices.append(device)
        device.id = credentials.device_id
        return device

    yield make
    for device in devices:
        device.stop()


def report(**services) -> bytes:
    data = [{"serviceId": name, "serviceData": data, "eventTime": at} for name, (data, at) in services.items()]
    return json.dumps({"msgType": "deviceReq", "hasMore": 0, "data": data}).encode()


def shadow(world, device) -> dict:
    answer = world.na.call("GET", f"{SHADOW}/{device.id}")
    assert answer.status == 200, answer
    return {one["serviceId"]: one for one in answer.json["services"]}


def desire(world, device, **services) -> None:
    body = {"serviceDesireds": [{"serviceId": name, "desired": desired} for name, desired in services.items()]}
    answer = world.na.call("PUT", f"{SHADOW}/{device.id}", body)
    assert (answer.status, answer.json) == (200, {}), answer


def history(world, device, query="") -> list[tuple]:
    page = world.na.call("GET", f"{DESIRED}?deviceId={device.id}{query}").json
    assert page["totalCount"] == len(page["deviceDesiredHistory"])
    return [(one["serviceId"], one["desired"], one["status"]) for one in page["deviceDesiredHistory"]]


def written(device) -> tuple:
    """What the next command sets: service and properties."""
    command = json.loads(device.next_command())
    assert (command["msgType"], command["cmd"]) == ("cloudReq", "writeProperties"), command
    return command["serviceId"], command["paras"]


def subscribe(world, *kinds) -> None:
    for kind in kinds:
        made = world.na.call("POST", SUBSCRIPTIONS, {"notifyType": kind, "callbackUrl": world.receiver.url})
        assert made.status == 201, made


def told(world) -> list[bytes]:
    """What was told, each once."""
    return list({push.webhook_id: push.body for push in world.receiver.requests()}.values())


def notice(device, service: str, properties: str, status: str) -> bytes:
    head = f'{{"notifyType":"{KIND}","deviceId":"{device.id}","serviceId":"{service}"'
    return f'{head},"properties":{properties},"status":"{status}"}}'.encode()


def test_what_a_device_reported_last_is_shown(world, connect):
    device = connect().start()
    assert shadow(world, device) == {}
    device.report(report(Lamp=({"lux": 7, "on": True}, "20230101T000000Z"), Meter=({"kwh": 1.5}, "20230101T000000Z")))
    until(lambda: "Meter" in shadow(world, device), what="the first report")
    device.report(report(Lamp=({"lux": 8}, "20230101T000002Z")))
    until(lambda: shadow(world, device)["Lamp"]["reportedProps"]["lux"] == 8, what="the second report")
    device.report(report(Lamp=({"lux": 9, "on": False}, "20230101T000001Z")))
    until(lambda: shadow(world, device)["Lamp"]["reportedProps"]["on"] is False, what="one that came late")
    assert shadow(world, device)["Lamp"] == {
        "serviceId": "Lamp",
        "serviceType": "Lamp",
        "reportedProps": {"lux": 8, "on": False},
        "desiredProps": {},
        "eventTime": "20230101T000002Z",
    }
    world.server.restart("kill")
    assert shadow(world, device)["Meter"]["reportedProps"] == {"kwh": 1.5}
    whole = world.na.call("GET", f"{SHADOW}/{device.id}").json
    same = world.na.call("GET", f"{DEVICES}/{device.id}").json
    assert list(whole) == ["deviceId", "gatewayId", "nodeType", "createTime", "lastModifiedTime", "deviceInfo", "services"]
    assert whole["deviceInfo"]["nodeId"] == same["deviceInfo"]["nodeId"] == device.node_id


@pytest.mark.parametrize("kill", [False, True])
def test_what_is_desired_of_a_device_that_sleeps_reaches_it_when_it_registers(world, connect, kill):
    subscribe(world, KIND, "messageConfirm", "commandRsp")
    device = connect()
    desire(world, device, Lamp={"lux": 7, "on": True}, Meter={"unit": "kWh"})
    desire(world, device, Lamp={"lux": 8})
    if kill:
        world.server.restart("kill")
        device.address = world.server.address("coap")
    pending = [("Lamp", {"lux": 8}, "PENDING"), ("Meter", {"unit": "kWh"}, "PENDING"), ("Lamp", {"lux": 7, "on": True}, "PENDING")]
    assert history(world, device) == pending
    assert shadow(world, device)["Lamp"]["desiredProps"] == {"lux": 8, "on": True}
    assert told(world) == []
    device.start()
    assert [written(device) for _ in range(3)] == [(service, desired) for service, desired, _ in reversed(pending)]
    expected = [
        notice(device, "Lamp", '{"lux":7,"on":true}', "DELIVERED"),
        notice(device, "Meter", '{"unit":"kWh"}', "DELIVERED"),
        notice(device, "Lamp", '{"lux":8}', "DELIVERED"),
    ]
    until(lambda: len(told(world)) == 3, what="how that ended")
    assert told(world) == expected, "in order, and nothing else is told of it"
    assert history(world, device) == [(service, desired, "DELIVERED") for service, desired, _ in pending]
    assert history(world, device, "&property=unit") == [("Meter", {"unit": "kWh"}, "DELIVERED")]
    assert shadow(world, device)["Lamp"]["desiredProps"] == {"lux": 8, "on": True}, "what is desired stays so"


def test_what_is_desired_of_a_device_that_is_awake_goes_at_once(world, connect):
    subscribe(world, KIND)
    device = connect().start()
    desire(world, device, Lamp={"lux": 7})
    assert written(device) == ("Lamp", {"lux": 7})
    device.report(report(Lamp=({"lux": 7}, "20230101T000000Z")))
    until(lambda: shadow(world, device)["Lamp"]["reportedProps"] == {"lux": 7}, what="that it is so")
    until(lambda: told(world) == [notice(device, "Lamp", '{"lux":7}', "DELIVERED")], what="the notice")
    desire(world, device, Lamp={"lux": None})
    assert shadow(world, device)["Lamp"]["desiredProps"] == {}
    assert len(history(world, device)) == 1, "nothing was set"


@pytest.mark.settings(lwm2m_awake_secs=1)
@pytest.mark.parametrize("wake", ["update", "report"])
def test_what_is_desired_of_a_registered_device_that_sleeps_reaches_it_when_it_wakes(world, connect, wake):
    device = connect().start()
    until(lambda: metrics.value(world.server, "awake") == 0, what="it sleeps")
    desire(world, device, Lamp={"lux": 7})
    assert history(world, device) == [("Lamp", {"lux": 7}, "PENDING")]
    assert device.commands.written.empty()
    match wake:
        case "update":
            assert device.update() == Code.CHANGED
        case "report":
            device.report(report(Lamp=({"lux": 1}, "20230101T000000Z")))
    assert written(device) == ("Lamp", {"lux": 7})
    until(lambda: history(world, device) == [("Lamp", {"lux": 7}, "DELIVERED")], what="that it has it")


def test_what_a_device_refuses_and_what_is_cancelled_has_failed(world, connect):
    subscribe(world, KIND)
    device = connect().start()
    device.commands.answer = Code.METHOD_NOT_ALLOWED
    desire(world, device, Lamp={"lux": 7})
    until(lambda: told(world) == [notice(device, "Lamp", '{"lux":7}', "FAILED")], what="the notice")
    away = connect()
    desire(world, away, Lamp={"lux": 7})
    [command] = world.na.list(away.id)
    assert (command["command"]["method"], command["status"]) == ("writeProperties", "PENDING")
    assert world.na.cancel_raw(command["commandId"]).status == 200
    until(lambda: len(told(world)) == 2, what="the other notice")
    assert told(world)[1] == notice(away, "Lamp", '{"lux":7}', "FAILED")
    assert history(world, away) == [("Lamp", {"lux": 7}, "FAILED")]


def test_bad_bodies_name_the_field(world, connect):
    device = connect()
    good = {"serviceId": "Lamp", "desired": {"lux": 1}}
    for one, field in [
        ({}, "serviceDesireds"),
        ({"serviceDesireds": []}, "serviceDesireds"),
        ({"serviceDesireds": [good, {"serviceId": "Lamp"}]}, "serviceDesireds[1].desired"),
        ({"serviceDesireds": [good, good]}, "serviceDesireds[1].serviceId"),
        ({"serviceDesireds": [{**good, "desired": []}]}, "serviceDesireds[0].desired"),
        ({"serviceDesireds": [{**good, "serviceId": 7}]}, "serviceDesireds[0].serviceId"),
        ({"serviceDesireds": [{**good, "desired": {"x": "y" * 1100}}]}, "serviceDesireds[0].desired.x"),
        ({"serviceDesireds": [{**good, "desired": {f"p{n}": 1 for n in range(101)}}]}, "serviceDesireds"),
    ]:
        answer = world.na.call("PUT", f"{SHADOW}/{device.id}", one)
        assert (answer.status, answer.error) == (400, "100022"), answer
        assert f"{field}:" in answer.json["error_desc"], answer
    assert (shadow(world, device), history(world, device), world.na.list(device.id)) == ({}, [], [])
    services = [{"serviceId": f"s{n}", "desired": {"x": 1}} for n in range(21)]
    answer = world.na.call("PUT", f"{SHADOW}/{device.id}", {"serviceDesireds": services})
    assert (answer.status, answer.error) == (400, "100223"), "more than may wait for it"
    assert (shadow(world, device), world.na.list(device.id)) == ({}, [])


def put_product(world, *properties, **more) -> None:
    service = {"serviceId": "Lamp", "serviceType": "Lamp", "commands": [], "properties": properties}
    profile = {"manufacturerId": "acme", "deviceType": "Lamp", "model": "L1", "protocolType": "LWM2M", "services": [service]}
    world.admin.call("PUT", f"/apps/{world.na.app[0]}/products", {"id": "lamps", "profile": profile, **more})


def test_a_device_with_a_codec_gets_its_own_bytes(world, connect):
    subscribe(world, KIND)
    put_product(world, LUX, {**LUX, "propertyName": "other"}, codec={"kind": "binary", "text": CODEC})
    device = connect(manufacturerId="acme", productId="lamps").start()
    device.report(b"\x01\x05")
    until(lambda: shadow(world, device).get("Lamp", {}).get("reportedProps") == {"lux": 5}, what="the report")
    desire(world, device, Lamp={"lux": 7})
    written = device.next_command()
    assert (written[0], written[3:]) == (3, b"\x07")
    desire(world, device, Lamp={"other": 7})
    expected = [notice(device, "Lamp", '{"lux":7}', "DELIVERED"), notice(device, "Lamp", '{"other":7}', "FAILED")]
    until(lambda: told(world) == expected, what="that the codec has no such field")


def test_only_what_the_product_lets_be_written(world, connect):
    put_product(world, LUX, {**LUX, "propertyName": "kwh", "method": "R"})
    device = connect(manufacturerId="acme", productId="lamps")

    def put(service: str, **desired) -> tuple:
        body = {"serviceDesireds": [{"serviceId": service, "desired": desired}]}
        answer = world.na.call("PUT", f"{SHADOW}/{device.id}", body)
        return answer.status, answer.error, answer.json.get("error_desc", "").partition(":")[0]

    assert put("Heater", lux=1)[1] == "100431"
    assert put("Lamp", kwh=1)[:2] == put("Lamp", other=1)[:2] == (400, "100022")
    assert put("Lamp", lux=1)[0] == 200
    device.start()
    assert written(device) == ("Lamp", {"lux": 1})


def test_a_device_over_mqtt_has_no_shadow(world):
    device = world.device(PahoDevice)
    device.id = device.credentials.device_id
    device.publish(device.up, '{"msgType":"deviceReq","data":[{"serviceId":"Lamp","serviceData":{"lux":7}}]}')
    told = lambda: world.na.call("GET", f"{DEVICES}/{device.id}").json["services"]  # noqa: E731
    until(told, what="the report")
    assert shadow(world, device) == {}
    answer = world.na.call("PUT", f"{SHADOW}/{device.id}", {"serviceDesireds": [{"serviceId": "Lamp", "desired": {"lux": 1}}]})
    assert (answer.status, answer.error) == (400, "100022"), answer
    assert world.na.call("GET", f"{COMMANDS}?deviceId={device.id}").json["data"] == []


@pytest.mark.settings(shadow_of_mqtt="true")
def test_but_it_has_one_where_that_is_switched_on(world):
    device = world.device(PahoDevice)
    device.id = device.credentials.device_id
    device.publish(device.up, '{"msgType":"deviceReq","data":[{"serviceId":"Lamp","serviceData":{"lux":7}}]}')
    until(lambda: shadow(world, device).get("Lamp", {}).get("reportedProps") == {"lux": 7}, what="the report")


def test_another_application_sees_nothing_and_a_removed_device_has_nothing(world, connect):
    device = connect()
    desire(world, device, Lamp={"lux": 7})
    made = world.admin.call("POST", "/apps", {"id": "other-app"})
    other = NA(world.server, app=(made["id"], made["secret"]))
    calls = [("GET", f"{SHADOW}/{device.id}", "100403"), ("GET", f"{DESIRED}?deviceId={device.id}", "100418")]
    for na in (other, world.na):
        for method, path, code in calls:
            answer = na.call(method, path)
            assert (answer.status, answer.error) == (404, code), answer
        if na is other:
            assert world.na.call("DELETE", f"{DEVICES}/{device.id}").status == 204
