"""Device groups against the real binary: as documented on the wire, and one command for all devices of some groups."""

import json

import pytest

from kit import cli
from kit.device import PahoDevice
from kit.na import BATCH_DETAILS, BATCH_TASKS, GROUP_ADD, GROUP_MEMBERS, GROUP_TAKE, GROUPS, NA
from kit.wait import until

COMMAND = {"serviceId": "Lamp", "method": "SWITCH", "paras": {"value": 1}}
GROUP = ["name", "description", "id", "appId", "maxDevNum", "curDevNum", "creator"]


def make(na, name, devices=(), **more):
    answer = na.call("POST", GROUPS, {"name": name, "deviceIds": list(devices), **more})
    assert answer.status == 200, answer
    return answer.json


def members(na, group, query=""):
    answer = na.call("GET", f"{GROUP_MEMBERS}?devGroupId={group}{query}")
    assert answer.status == 200, answer
    return answer.json


def batch(na, kind, groups, name="one"):
    param = {"type": kind, "groupList": groups, "command": COMMAND}
    return na.call("POST", BATCH_TASKS, {"taskName": name, "taskType": "DeviceCmd", "timeout": 10, "param": param})


def details(na, task):
    return na.call("GET", f"{BATCH_DETAILS}?taskId={task}&pageSize=250").json["taskDetails"]


def test_groups_on_the_wire(world):
    na = world.na
    a, b, c = sorted((na.register().device_id for _ in range(3)), key=str)
    made = make(na, "lamps", [a, b, a], description="all lamps", maxDevNum=3)
    assert list(made) == [*GROUP, "deviceIds"] and made["deviceIds"] == [a, b]
    assert (made["maxDevNum"], made["curDevNum"], made["appId"], made["description"]) == (3, 2, na.app[0], "all lamps")
    group = made["id"]
    shown = na.call("GET", f"{GROUPS}/{group}")
    assert shown.status == 200 and list(shown.json) == GROUP
    added = na.call("POST", GROUP_ADD, {"devGroupId": group, "deviceIds": [c, a]})
    assert (added.status, added.json) == (200, {"devGroupId": group, "deviceIds": [c, a]})
    page = members(na, group)
    assert list(page) == ["totalCount", "pageNo", "pageSize", "deviceIds"]
    assert (page["totalCount"], page["pageSize"], set(page["deviceIds"])) == (3, 10, {a, b, c})
    assert len(members(na, group, "&pageNo=1&pageSize=2")["deviceIds"]) == 1
    other = make(na, "valves")["id"]
    assert [one["name"] for one in na.call("GET", GROUPS).json["list"]] == ["lamps", "valves"]
    assert [one["id"] for one in na.call("GET", f"{GROUPS}?pageNo=1&pageSize=1").json["list"]] == [other]
    found = na.call("GET", f"{GROUPS}?name=valves").json
    assert (found["totalCount"], found["list"][0]["id"]) == (1, other)
    changed = na.call("PUT", f"{GROUPS}/{group}", {"name": "lights"})
    assert changed.status == 200 and list(changed.json) == GROUP
    assert (changed.json["name"], changed.json["description"], changed.json["maxDevNum"]) == ("lights", "all lamps", 3)
    taken = na.call("POST", GROUP_TAKE, {"devGroupId": group, "deviceIds": [b, "nobody"]})
    assert (taken.status, taken.body) == (200, b"")
    # A device that is removed leaves its groups.
    assert na.call("DELETE", f"/iocm/app/dm/v1.4.0/devices/{c}").status == 204
    assert members(na, group)["deviceIds"] == [a]
    gone = na.call("DELETE", f"{GROUPS}/{group}")
    assert (gone.status, gone.body) == (200, b"")
    assert na.call("GET", f"/iocm/app/dm/v1.4.0/devices/{a}").status == 200
    world.server.restart("kill")
    assert [one["id"] for one in na.call("GET", GROUPS).json["list"]] == [other]


@pytest.mark.settings(groups_max_per_app=2, groups_max_devices=2)
def test_what_is_refused(world):
    na = world.na
    a, b, c = (na.register().device_id for _ in range(3))
    group, _ = make(na, "g", [a], maxDevNum=1)["id"], make(na, "h", [a, b])
    full = [members(na, group)]
    for method, path, body, status, code, said in [
        ("POST", GROUPS, {"name": "g"}, 409, "100602", ""),
        ("POST", GROUPS, {"name": "i"}, 503, "100501", "device groups"),
        ("POST", GROUPS, {"description": "x"}, 400, "100022", "name"),
        ("PUT", f"{GROUPS}/{group}", {"name": "h"}, 409, "100602", ""),
        ("PUT", f"{GROUPS}/nothing", {"name": "i"}, 404, "100603", ""),
        ("DELETE", f"{GROUPS}/nothing", None, 404, "100603", ""),
        ("GET", f"{GROUPS}/nothing", None, 404, "100603", ""),
        ("GET", f"{GROUP_MEMBERS}?devGroupId=nothing", None, 404, "100603", ""),
        ("GET", GROUP_MEMBERS, None, 400, "100022", "devGroupId"),
        ("POST", GROUP_ADD, {"devGroupId": group, "deviceIds": [b]}, 400, "100601", ""),
        ("POST", GROUP_ADD, {"devGroupId": group, "deviceIds": [a, "nobody"]}, 404, "100403", "nobody"),
        ("POST", GROUP_ADD, {"devGroupId": "nothing", "deviceIds": [a]}, 404, "100603", ""),
        ("POST", GROUP_TAKE, {"devGroupId": "nothing", "deviceIds": [a]}, 404, "100603", ""),
        ("POST", GROUP_TAKE, {"devGroupId": group}, 400, "100022", "deviceIds"),
    ]:
        answer = na.call(method, path, body)
        assert (answer.status, answer.error) == (status, code), f"{method} {path} {body}: {answer}"
        assert said in answer.json["error_desc"], answer
    assert members(na, group) == full[0]
    # The operator's limit holds where the group has none of its own.
    assert na.call("PUT", f"{GROUPS}/{group}", {"name": "g", "maxDevNum": 0}).status == 200
    assert na.call("POST", GROUP_ADD, {"devGroupId": group, "deviceIds": [b]}).status == 200
    assert na.call("POST", GROUP_ADD, {"devGroupId": group, "deviceIds": [c]}).error == "100601"


def test_a_batch_over_groups_reaches_each_device_once(world):
    na = world.na
    devices = [world.device(PahoDevice) for _ in range(4)]
    a, b, c, left_out = (device.credentials.device_id for device in devices)
    lamps, lights = make(na, "lamps", [a, b])["id"], make(na, "lights", [b, c])["id"]
    made = batch(na, "GroupList", ["lamps", lights])
    assert made.status == 200, made
    task = made.json["taskID"]
    for device in devices[:3]:
        came = device.next_command()
        assert came["paras"] == {"value": 1}
        device.answer(came["mid"])
    shown = until(lambda: (found := na.call("GET", f"{BATCH_TASKS}/{task}").json)["status"] == "Complete" and found)
    assert (shown["totalCnt"], shown["successCnt"]) == (3, 3)
    assert (shown["param"]["type"], shown["param"]["groupList"]) == ("GroupList", ["lamps", lights])
    assert [one["param"]["deviceId"] for one in details(na, task)] == [a, b, c]
    assert {one["deviceId"] for one in na.list()} == {a, b, c}, "not the one that is in no group"
    for kind, groups, unknown in [("GroupList", ["lamps", "none"], "none"), ("GroupIdList", [lamps, "lights"], "lights")]:
        answer = batch(na, kind, groups, name="two")
        assert (answer.status, answer.error) == (404, "100603") and f"groupList: {unknown}" in answer.json["error_desc"], answer
    assert batch(na, "GroupIdList", [lamps], name="two").status == 200
    assert left_out not in json.dumps(na.list())


def test_an_application_that_is_authorized_makes_groups_in_the_name_of_another(world):
    made = world.admin.call("POST", "/apps", {"id": "other-app"})
    other, owner = NA(world.server, app=(made["id"], made["secret"])), world.na.app[0]
    device = world.na.register().device_id
    assert other.call("POST", GROUPS, {"name": "g", "appId": owner}).error == "100217"
    cli.call(world.server, "app", "authorize", owner, "other-app")
    group = make(other, "g", [device], appId=owner)
    assert (group["appId"], group["creator"]) == (owner, owner)
    assert members(world.na, group["id"])["deviceIds"] == [device]
    for word in ("accessAppId", "appId"):
        assert other.call("GET", f"{GROUPS}/{group['id']}?{word}={owner}").status == 200
    assert other.call("GET", f"{GROUPS}/{group['id']}").error == "100603"
