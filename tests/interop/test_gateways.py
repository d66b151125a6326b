"""What a gateway reports over MQTT of the devices behind it: theirs, if they are registered there, and nobody's else."""

import json

import pytest

from kit import metrics
from kit.device import OcDevice
from kit.na import DEVICES, NA, REGISTER
from kit.wait import until

SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"
HISTORY = "/iocm/app/data/v1.2.0/deviceDataHistory"


def child_of(na, gateway: str, node_id: str) -> str:
    answer = na.call("POST", REGISTER, {"deviceInfo": {"nodeId": node_id}, "gatewayId": gateway})
    assert answer.status == 200, answer
    return answer.json["deviceId"]


def history(na, device_id: str) -> list[dict]:
    return na.call("GET", f"{HISTORY}?deviceId={device_id}").json["deviceDataHistoryDTOs"]


def service(value: int) -> list[dict]:
    return [{"service_id": "Meter", "properties": {"kwh": value}}]


def dropped(world) -> int:
    name = "downlink_mqtt_child_reports_dropped_total "
    [line] = [line for line in metrics.text(world.server).splitlines() if line.startswith(name)]
    return int(line.split()[1])


@pytest.fixture
def gateway(world):
    for kind in ("deviceDataChanged", "deviceDatasChanged", "bindDevice"):
        assert world.na.call("POST", SUBSCRIPTIONS, {"notifyType": kind, "callbackUrl": world.receiver.url}).status == 201
    return world.device(OcDevice)


def told(world, device_id: str) -> list[dict]:
    bodies = [json.loads(push.body) for push in world.receiver.requests()]
    return [one for one in bodies if one["deviceId"] == device_id]


def test_what_a_gateway_reports_of_its_children_is_theirs(world, gateway):
    own = gateway.credentials.device_id
    first, second = child_of(world.na, own, "meter-1"), child_of(world.na, own, "meter-2")
    devices = [{"device_id": first, "services": service(1)}, {"device_id": "meter-2", "services": service(2)}]
    gateway.publish(f"{gateway.base}/gateway/sub_devices/properties/report", json.dumps({"devices": devices}))
    gateway.publish(f"{gateway.base}/properties/report", json.dumps({"object_device_id": second, "services": service(3)}))
    until(lambda: len(history(world.na, first)) == 1 and len(history(world.na, second)) == 2, what="their reports")
    assert {row["data"]["kwh"] for row in history(world.na, second)} == {2, 3}
    assert {row["gatewayId"] for row in history(world.na, first)} == {own}
    until(lambda: len(told(world, first)) == 3 and len(told(world, second)) == 5, what="bound, and each report twice")
    data = [one for one in told(world, first) if one["notifyType"] == "deviceDataChanged"]
    assert [(one["gatewayId"], one["service"]["data"]) for one in data] == [(own, {"kwh": 1})]
    assert [one["resultCode"] for one in told(world, first) if one["notifyType"] == "bindDevice"] == ["succeeded"]
    assert all(row["serviceId"] != "Meter" for row in history(world.na, own)), "not the gateway's own"
    assert dropped(world) == 0


def test_of_others_it_is_counted_and_dropped(world, gateway):
    made = world.admin.call("POST", "/apps", {"id": "other-app"})
    other = NA(world.server, app=(made["id"], made["secret"]))
    theirs = other.register()
    neighbour = world.na.register()
    behind = child_of(world.na, neighbour.device_id, "meter-3")
    names = [theirs.device_id, theirs.node_id, neighbour.device_id, behind, "meter-3", "nobody"]
    devices = [{"device_id": name, "services": service(1)} for name in names]
    gateway.publish(f"{gateway.base}/gateway/sub_devices/properties/report", json.dumps({"devices": devices}))
    until(lambda: dropped(world) == len(names), what="all of them")
    for na, device_id in [(other, theirs.device_id), (world.na, neighbour.device_id), (world.na, behind)]:
        assert history(na, device_id) == [] and told(world, device_id) == []
    # One that moved away is no child any more.
    child = child_of(world.na, gateway.credentials.device_id, "meter-4")
    assert world.na.call("DELETE", f"{DEVICES}/{child}").status == 204
    gateway.publish(f"{gateway.base}/properties/report", json.dumps({"object_device_id": child, "services": service(1)}))
    until(lambda: dropped(world) == len(names) + 1, what="that of a device that is gone")
    # And the gateway is still heard.
    gateway.publish(f"{gateway.base}/properties/report", json.dumps({"services": service(9)}))
    own = gateway.credentials.device_id
    until(lambda: any(row["data"] == {"kwh": 9} for row in history(world.na, own)), what="its own report")
