"""One application in the name of another: only if the operator authorized it, only that way round, until it is taken back."""

import pytest

from kit import cli
from kit.device import PahoDevice
from kit.na import COMMANDS, DEVICES, NA, REGISTER
from kit.server import APP_ID

SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"
FEED = "/downlink/v1/feed"
COMMAND = {"serviceId": "Lamp", "method": "SWITCH", "paras": {"value": 1}}
OF_A = f"?appId={APP_ID}"


def application(world, name: str) -> NA:
    made = world.admin.call("POST", "/apps", {"id": name})
    return NA(world.server, app=(made["id"], made["secret"]))


def may(na: NA, owner: str = APP_ID) -> bool:
    answer = na.call("GET", f"{DEVICES}?appId={owner}")
    assert answer.status == 200 or (answer.status, answer.error) == (403, "100217"), answer
    return answer.status == 200


@pytest.fixture
def other(world) -> NA:
    """B, authorized for A."""
    other = application(world, "other-app")
    assert not may(other)
    assert cli.call(world.server, "app", "authorize", APP_ID, "other-app") == {"authorized": "other-app"}
    return other


def test_an_authorized_application_works_on_the_others_devices(world, other):
    device = world.device(PahoDevice)
    device_id = device.credentials.device_id
    assert other.call("GET", f"{DEVICES}/{device_id}{OF_A}").json["deviceId"] == device_id
    assert other.call("GET", f"{DEVICES}/{device_id}").error == "100403", "not in its own name"
    assert other.call("PUT", f"{DEVICES}/{device_id}{OF_A}", {"name": "by B"}).status == 204
    body = {"deviceId": device_id, "command": COMMAND, "callbackUrl": world.receiver.url}
    made = other.call("POST", COMMANDS + OF_A, body)
    assert (made.status, made.json["appId"]) == (201, APP_ID), made
    device.answer(device.next_command()["mid"])
    world.receiver.expect(made.json, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    assert world.na.list()[0]["commandId"] == made.json["commandId"], "it is A's"
    child = other.call("POST", REGISTER + OF_A, {"deviceInfo": {"nodeId": "by B"}}).json["deviceId"]
    waits = other.call("POST", COMMANDS + OF_A, {"deviceId": child, "command": COMMAND}).json["commandId"]
    assert other.call("PUT", f"{COMMANDS}/{waits}{OF_A}", {"status": "CANCELED"}).status == 200
    subscription = {"notifyType": "deviceAdded", "callbackUrl": world.receiver.url}
    assert other.call("POST", f"{SUBSCRIPTIONS}{OF_A}&ownerFlag=true", subscription).status == 201
    assert world.na.call("GET", SUBSCRIPTIONS).json["totalCount"] == 1
    assert world.na.totals() == (2, 2) and other.totals() == (0, 0)
    assert other.call("DELETE", f"{DEVICES}/{child}{OF_A}").status == 204
    assert world.na.totals() == (2, 1)


def test_nobody_else_and_nothing_else(world, other):
    third = application(world, "third-app")
    assert may(other) and not may(third) and not may(world.na, "other-app") and not may(other, "nobody")
    assert other.call("GET", FEED + OF_A).error == "100217", "the feed is read by its own application"
    headers = {**other.headers(), "app_key": APP_ID}
    assert other.raw("GET", DEVICES, None, headers).json["resultcode"] == "1010005"
    # It goes through nobody: whom B authorizes is not A's friend.
    cli.call(world.server, "app", "authorize", "other-app", "third-app")
    assert may(third, "other-app") and not may(third)
    assert cli.run(world.server, "app", "authorize", APP_ID, APP_ID).returncode != 0
    assert cli.run(world.server, "app", "authorize", APP_ID, "nobody").returncode != 0


def test_an_authorization_is_kept_until_it_is_taken_back(world, other):
    world.server.restart("kill")
    assert may(other)
    assert cli.call(world.server, "app", "authorized", APP_ID) == {"authorized": ["other-app"]}
    cli.call(world.server, "app", "unauthorize", APP_ID, "other-app")
    assert not may(other)
    assert cli.call(world.server, "app", "authorized", APP_ID) == {"authorized": []}
    assert cli.run(world.server, "app", "unauthorize", APP_ID, "other-app").returncode != 0
