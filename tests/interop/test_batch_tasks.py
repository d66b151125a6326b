"""Batch tasks against the real binary: one command for many devices, exact over kills."""

import json
import os
import threading
from collections import Counter

import pytest

from kit.device import PahoDevice
from kit.na import BATCH_DETAILS, BATCH_TASKS
from kit.wait import until

# Devices of the task that is killed on its way; more by hand: TEST_BATCH_DEVICES=100000, with a release build.
COUNT = int(os.environ.get("TEST_BATCH_DEVICES", "2000"))
COMMAND = {"serviceId": "Lamp", "method": "SWITCH", "paras": {"value": 1}}
TASK = [
    "taskId", "taskName", "appId", "operator", "taskFrom", "taskType", "status", "startTime", "timeout", "progress",
    "totalCnt", "successCnt", "failCnt", "timeoutCnt", "expiredCnt", "completeCnt", "successRate", "param",
]


def body(name="one", tags=None, **param):
    param.setdefault("type", "DeviceList")
    return {
        "taskName": name,
        "taskType": "DeviceCmd",
        "timeout": 10,
        "param": {"command": COMMAND, **param},
        **({"tags": tags} if tags else {}),
    }


def make(na, **more):
    answer = na.call("POST", BATCH_TASKS, body(**more))
    assert answer.status == 200 and list(answer.json) == ["taskID", "taskId"], answer
    return answer.json["taskID"]


def task(na, task_id, query=""):
    answer = na.call("GET", f"{BATCH_TASKS}/{task_id}{query}")
    assert answer.status == 200, answer
    return answer.json


def details(na, task_id, query=""):
    found, page = [], 0
    while True:
        answer = na.call("GET", f"{BATCH_DETAILS}?taskId={task_id}&pageSize=250&pageNo={page}{query}")
        assert answer.status == 200, answer
        found += answer.json["taskDetails"]
        page += 1
        if not answer.json["taskDetails"]:
            assert answer.json["totalCount"] == len(found)
            return found


def pending(na, task_id):
    """How many sub-tasks had no turn yet."""
    return na.call("GET", f"{BATCH_DETAILS}?taskId={task_id}&pageSize=1&status=Pending").json["totalCount"]


def register_many(na, count):
    """Ids of so many devices, registered by four callers at once."""
    ids, lock = [], threading.Lock()
    na.login()

    def some():
        for _ in range(count // 4):
            one = na.register().device_id
            with lock:
                ids.append(one)

    threads = [threading.Thread(target=some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == count
    return ids


def test_a_batch_on_the_wire(world):
    device, away = world.device(PahoDevice), world.na.register()
    ids = [device.credentials.device_id, "nobody", away.device_id]
    tags = [{"tagName": "a", "tagValue": "b"}]
    made = make(world.na, deviceList=ids, callbackUrl=world.receiver.url, tags=tags)
    came = device.next_command()
    assert (came["serviceId"], came["cmd"], came["paras"]) == ("Lamp", "SWITCH", {"value": 1})
    device.answer(came["mid"])
    shown = until(lambda: (found := task(world.na, made))["completeCnt"] == 2 and found)
    assert list(shown) == TASK
    assert (shown["status"], shown["progress"], shown["successRate"]) == ("Running", 666, 500)
    counts = [shown[name] for name in ("totalCnt", "successCnt", "failCnt", "timeoutCnt", "expiredCnt")]
    assert counts == [3, 1, 1, 0, 0]
    assert shown["param"] == {"type": "DeviceList", "command": COMMAND, "callbackUrl": world.receiver.url}
    assert (shown["timeout"], shown["taskFrom"], shown["taskType"]) == (10, "Northbound", "DeviceCmd")
    assert task(world.na, made, "?select=tag")["tags"] == tags
    first, unknown, waits = details(world.na, made)
    assert [one["status"] for one in (first, unknown, waits)] == ["Success", "Fail", "WaitResult"]
    assert [one["param"]["deviceId"] for one in (first, unknown, waits)] == ids
    assert json.loads(first["output"]) == {"result": 0}
    assert json.loads(unknown["error"])["error_code"] == "100418" and "commandId" not in unknown["param"]
    assert details(world.na, made, "&status=WaitResult") == [waits]
    assert details(world.na, made, f"&deviceId={ids[0]}") == [first]
    command = world.na.get(away.device_id, waits["param"]["commandId"])
    assert command["status"] == "PENDING" and 0 < command["expireTime"] <= 600
    told = world.na.get(ids[0], first["param"]["commandId"])
    world.receiver.expect(told, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    # The last one is withdrawn: all is over.
    assert world.na.cancel_raw(command["commandId"]).status == 200
    until(lambda: task(world.na, made)["status"] == "Complete")
    assert task(world.na, made)["progress"] == 1000


def test_devices_of_a_kind_a_place_and_all(world):
    kind = {"deviceType": "Valve", "manufacturerId": "maker", "model": "V1"}
    valve = world.na.register(**kind).device_id
    here = world.na.register(location="here").device_id
    for name, param, expected in [
        ("kind", {"type": "DeviceType", **kind}, {valve}),
        ("place", {"type": "DeviceArea", "deviceLocation": "here"}, {here}),
        ("all", {"type": "Broadcast"}, {valve, here}),
    ]:
        made = make(world.na, name=name, **param)
        until(lambda made=made, expected=expected: len(details(world.na, made, "&status=WaitResult")) == len(expected))
        assert {one["param"]["deviceId"] for one in details(world.na, made)} == expected
        assert {name: value for name, value in task(world.na, made)["param"].items() if name != "command"} == param


@pytest.mark.settings(batch_max_open_per_app=1, batch_max_devices=2)
def test_what_is_refused(world):
    device = world.na.register().device_id
    make(world.na, deviceList=[device])
    for asked, status, code, said in [
        (body("two", deviceList=[device]), 400, "105001", "unfinished"),
        (body("one", deviceList=[device]), 409, "105002", "name"),
        (body("two", deviceList=["a", "b", "c"]), 400, "100022", "deviceList"),
        (body("two", type="GroupList", groupList=[]), 400, "100022", "param.groupList"),
        ({**body("two", deviceList=[device]), "timeout": 9}, 400, "100022", "timeout"),
        ({**body("two", deviceList=[device]), "taskType": "DeviceReg"}, 400, "100022", "taskType"),
        ({**body("two", deviceList=[device]), "appId": "other"}, 403, "100217", ""),
        (body("two", deviceList=[device], callbackUrl="ftp://x"), 400, "100222", ""),
    ]:
        answer = world.na.call("POST", BATCH_TASKS, asked)
        assert (answer.status, answer.error) == (status, code), answer
        assert said in answer.json["error_desc"], answer
    for path in (f"{BATCH_TASKS}/nothing", f"{BATCH_DETAILS}?taskId=nothing"):
        answer = world.na.call("GET", path)
        assert (answer.status, answer.error) == (404, "105005"), answer
    assert world.na.call("GET", BATCH_DETAILS).error == "100022"


@pytest.mark.settings(
    batch_rate_per_sec=COUNT // 4,
    northbound_max_body_bytes=8 << 20,
    # The connection by which the task is made rests while others register the devices.
    northbound_request_timeout_secs=600,
)
def test_a_batch_over_kills_reaches_each_device_once(world, rng):
    ids = register_many(world.na, COUNT)
    made = make(world.na, deviceList=ids)
    for made_so_far in (COUNT * 3 // 20, COUNT * 3 // 10, COUNT // 2):
        # Somewhere on the way, not before it and not after.
        until(lambda least=made_so_far: world.na.totals()[0] >= least, timeout=120)
        threading.Event().wait(rng.random() * 0.05)
        world.server.restart("kill")
    at_the_last = world.na.totals()[0]
    print(f"{at_the_last} of {COUNT} devices had their command after the last kill")
    assert at_the_last < COUNT, "it was over before the last kill"
    until(lambda: pending(world.na, made) == 0, timeout=300)
    found = details(world.na, made)
    assert task(world.na, made)["totalCnt"] == len(ids)
    assert Counter(one["param"]["deviceId"] for one in found) == Counter(ids)
    commands = world.na.list()
    assert Counter(one["deviceId"] for one in commands) == Counter(ids)
    assert {one["commandId"] for one in commands} == {one["param"]["commandId"] for one in found}


@pytest.mark.settings(batch_rate_per_sec=100)
def test_single_commands_go_between(world):
    ids = register_many(world.na, 400)
    device = world.device(PahoDevice)
    made = make(world.na, deviceList=ids)
    until(lambda: world.na.totals()[0] > 0)
    single = world.create(device)
    device.answer(device.next_command()["mid"])
    until(lambda: world.status(single) == "SUCCESSFUL")
    assert pending(world.na, made) > 0, "the batch was over first"
