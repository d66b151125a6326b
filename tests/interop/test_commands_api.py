"""The calls on commands as applications make them, against the real binary: status, headers, members and their order."""

import json
import threading

import pytest

from kit.device import PahoDevice
from kit.na import CANCEL_TASKS, COMMANDS, DEVICES
from kit.wait import until

COMMAND = {"serviceId": "Lamp", "method": "SWITCH", "paras": {"value": 1}}
CREATED = ["commandId", "appId", "deviceId", "command", "expireTime", "status", "creationTime", "issuedTimes"]
TASK = ["taskId", "appId", "deviceId", "status", "totalCount", "deviceCommands"]


def keyed(na, key, body):
    return na.raw("POST", COMMANDS, json.dumps(body).encode(), {**na.headers(), "Idempotency-Key": key})


def at_once(calls):
    """All answers of calls that are made beside each other."""
    answers = [None] * len(calls)

    def make(place):
        answers[place] = calls[place]()

    threads = [threading.Thread(target=make, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_a_created_command_on_the_wire(world):
    device = world.na.register()
    answer = world.na.create_raw(device.device_id, None, None)
    assert (answer.status, answer.headers["Content-Type"]) == (201, "application/json"), answer
    made = answer.json
    assert list(made) == CREATED
    assert (made["expireTime"], made["issuedTimes"], made["status"]) == (172800, 0, "PENDING")
    assert len(made["commandId"]) == 32 and int(made["commandId"], 16)
    # Parameters are passed on as they came; all else is compact, and what is absent is left out.
    around = answer.body.replace(b'{"value": 1}', b"")
    assert b": " not in around and b"null" not in around


def test_an_sdk_that_reads_where_it_should_write_gets_the_command(world):
    made = world.na.create(world.na.register().device_id, None)
    answer = world.na.call("GET", f"{COMMANDS}/{made['commandId']}?appId={made['appId']}")
    assert (answer.status, answer.json) == (200, made)


def test_the_older_path(world):
    device = world.na.register()
    path = f"/iocm/app/cmd/v1.2.0/devices/{device.device_id}/commands"
    answer = world.na.call("POST", path, {"command": COMMAND, "expireTime": 60, "requestId": "r-1"})
    assert (answer.status, list(answer.json)) == (200, CREATED), answer
    assert world.na.call("POST", path.replace(device.device_id, "nobody"), {"command": COMMAND}).error == "100418"
    assert world.na.call("POST", path, {"command": {}}).error == "100022"
    # The token in the header of old clients.
    token = {"app_key": world.na.app[0], "access_token": world.na.token}
    body = json.dumps({"command": COMMAND}).encode()
    assert world.na.raw("POST", path, body, token).status == 200


def test_a_key_makes_one_command(world):
    device = world.device(PahoDevice)
    body = {"deviceId": device.credentials.device_id, "command": COMMAND, "expireTime": 0}
    first = keyed(world.na, "order-7", body)
    assert first.status == 201 and first.headers["Idempotent-Replayed"] is None, first
    device.answer(device.next_command()["mid"])
    until(lambda: world.status(first.json) == "SUCCESSFUL")
    device.stop()
    # The device is gone and the command is over: the first answer all the same, also after a kill.
    for _ in range(2):
        again = keyed(world.na, "order-7", body)
        assert (again.status, again.body) == (201, first.body), again
        assert again.headers["Idempotent-Replayed"] == "true"
        world.server.restart("kill")
    other = keyed(world.na, "order-7", {**body, "expireTime": 1})
    assert (other.status, other.error) == (409, "100227"), other
    assert len(world.na.list()) == 1


def test_callers_with_one_key_at_once(world):
    device = world.na.register()
    world.na.login()
    for n in range(5):
        body = {"deviceId": device.device_id, "command": COMMAND}
        answers = at_once([lambda key=f"k{n}": keyed(world.na, key, body)] * 8)
        assert {answer.status for answer in answers} == {201}
        assert len({answer.body for answer in answers}) == 1
        assert [answer.headers["Idempotent-Replayed"] for answer in answers].count(None) == 1
    assert len(world.na.list()) == 5


@pytest.mark.settings(commands_idempotency_keep_secs=1)
def test_a_key_is_kept_for_its_time(world):
    body = {"deviceId": world.na.register().device_id, "command": COMMAND}
    first = keyed(world.na, "k", body).json
    until(lambda: keyed(world.na, "k", body).json["commandId"] != first["commandId"])


def task_of(world, task):
    page = world.na.call("GET", f"{CANCEL_TASKS}?taskId={task}").json
    assert list(page) == ["pagination", "data"] and page["pagination"]["totalSize"] == 1
    return page["data"][0]


def over(world, task):
    def ended():
        found = task_of(world, task)
        return found if found["status"] not in ("WAITTING", "RUNNING") else None

    return until(ended, timeout=60)


def test_a_cancel_task_on_the_wire(world):
    device = world.na.register()
    commands = [world.create(device) for _ in range(3)]
    answer = world.na.call("POST", CANCEL_TASKS, {"deviceId": device.device_id})
    assert (answer.status, list(answer.json)) == (201, TASK), answer
    made = answer.json
    assert (made["status"], made["totalCount"], made["deviceId"]) == ("WAITTING", 3, device.device_id)
    assert [one["commandId"] for one in made["deviceCommands"]] == [one["commandId"] for one in commands]
    ended = over(world, made["taskId"])
    assert (list(ended), ended["status"], ended["totalCount"]) == (TASK, "SUCCESS", 3)
    assert [one["status"] for one in ended["deviceCommands"]] == ["CANCELED"] * 3
    for command in commands:
        world.receiver.expect(command, "CANCELED")
    assert world.na.cancel_raw(commands[0]["commandId"]).error == "100435"


def test_a_cancel_task_leaves_what_was_sent(world):
    device = world.device(auto_ack=False)
    sent, waits = world.create(device), world.create(device)
    device.next_publish()
    task = world.na.call("POST", CANCEL_TASKS, {"deviceId": device.credentials.device_id}).json
    assert over(world, task["taskId"])["status"] == "SUCCESS"
    assert (task["totalCount"], world.status(sent), world.status(waits)) == (1, "SENT", "CANCELED")


@pytest.mark.settings(commands_queue_limit=100000)
def test_a_cancel_task_goes_on_after_a_kill(world, rng):
    device = world.na.register()
    world.na.login()

    def some(count):
        for _ in range(count):
            world.na.create(device.device_id, None)

    at_once([lambda: some(500)] * 4)
    task = world.na.call("POST", CANCEL_TASKS, {"deviceId": device.device_id}).json
    assert (task["totalCount"], len(task["deviceCommands"])) == (2000, 100)
    later = world.na.create(device.device_id, None)
    for _ in range(3):
        threading.Event().wait(rng.random() * 0.05)
        world.server.restart("kill")
    assert over(world, task["taskId"])["status"] == "SUCCESS"
    left = [one["commandId"] for one in world.na.list() if one["status"] == "PENDING"]
    assert left == [later["commandId"]]


def test_bad_calls_are_told_by_field(world):
    device = world.na.register()
    for path, body, status, code, field in [
        (COMMANDS, {"deviceId": device.device_id}, 400, "100022", "command"),
        (COMMANDS, {"deviceId": device.device_id, "command": {**COMMAND, "paras": None}}, 400, "100022", "paras"),
        (CANCEL_TASKS, {}, 400, "100022", "deviceId"),
        (CANCEL_TASKS, {"deviceId": "nobody"}, 404, "100418", ""),
    ]:
        answer = world.na.call("POST", path, body)
        assert (answer.status, answer.error) == (status, code), answer
        assert field in answer.json["error_desc"] and isinstance(answer.json["error_code"], str)
    assert world.na.call("DELETE", f"{DEVICES}/{device.device_id}").status == 204
    assert world.na.call("POST", CANCEL_TASKS, {"deviceId": device.device_id}).error == "100418"


def invoke(world, device_id, header, body=None, service="Lamp"):
    path = f"/iocm/app/signaltrans/v1.1.0/devices/{device_id}/services/{service}/sendCommand"
    return world.na.call("POST", path, {"header": header, "body": body})


def notices(world, kind):
    """The notices of a kind that were accepted, each once."""
    found = {}
    for push in world.receiver.requests():
        body = json.loads(push.body)
        if push.accepted and body.get("notifyType") == kind:
            found[push.webhook_id] = body
    return list(found.values())


def subscribe(world, *kinds):
    for kind in kinds:
        body = {"notifyType": kind, "callbackUrl": world.receiver.url}
        assert world.na.call("POST", "/iocm/app/sub/v1.2.0/subscriptions", body).status == 201


def test_a_service_is_invoked_and_its_steps_are_told(world):
    subscribe(world, "messageConfirm", "commandRsp")
    device = world.device(PahoDevice)
    header = {"mode": "ACK", "method": "SWITCH", "requestId": "mine-1", "from": "/users/7", "toType": "GATEWAY"}
    answer = invoke(world, device.credentials.device_id, header, {"value": 1})
    assert (answer.status, answer.headers["Content-Type"]) == (202, "application/json"), answer
    told = answer.json
    assert list(told) == ["requestId", "status", "timestamp", "timeStamp"]
    assert (told["requestId"], told["status"]) == ("mine-1", "sent") and told["timestamp"] == told["timeStamp"]
    came = device.next_command()
    assert (came["msgType"], came["serviceId"], came["cmd"], came["paras"]) == ("cloudReq", "Lamp", "SWITCH", {"value": 1})
    device.answer(came["mid"])
    until(lambda: len(notices(world, "messageConfirm")) == 3 and notices(world, "commandRsp"))
    steps = [(one["header"]["requestId"], one["header"]["status"]) for one in notices(world, "messageConfirm")]
    assert steps == [("mine-1", "sent"), ("mine-1", "delivered"), ("mine-1", "executed")]
    (response,) = notices(world, "commandRsp")
    assert list(response) == ["notifyType", "header", "body"]
    assert response["header"]["requestId"] == "mine-1" and response["header"]["method"] == "SWITCH-RSP"
    assert (response["header"]["serviceType"], response["body"]) == ("Lamp", {"result": 0})


def test_an_invocation_without_an_answer_and_without_an_id(world):
    device = world.device(PahoDevice)
    answer = invoke(world, device.credentials.device_id, {"mode": "NOACK", "method": "BLINK"})
    assert answer.status == 202, answer
    assert device.next_command()["paras"] == {}
    # It is over when the device has it, and goes by its own id.
    record = until(lambda: next((one for one in world.na.list() if one["status"] == "DELIVERED"), None))
    assert record["commandId"] == answer.json["requestId"] and record["expireTime"] == 0


def test_an_invocation_is_never_kept_for_later(world):
    credentials = world.na.register()
    answer = invoke(world, credentials.device_id, {"method": "SWITCH"}, {})
    assert (answer.status, answer.error) == (409, "100428"), answer
    assert invoke(world, "nobody", {"method": "SWITCH"}).error == "100418"
    assert world.na.list() == []
