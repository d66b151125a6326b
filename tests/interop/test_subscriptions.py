"""Subscriptions against the real binary: made, shown and ended over REST, and what devices do reaches the subscriber."""

import json

import pytest

from kit import metrics
from kit.device import PahoDevice
from kit.na import DEVICES
from kit.receiver import Reply
from kit.wait import until

SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"
REPORT = '{"msgType":"deviceReq","data":[{"serviceId":"Lamp","serviceData":{"lux":7}}]}'


def subscribe(world, *kinds):
    for kind in kinds:
        made = world.na.call("POST", SUBSCRIPTIONS, {"notifyType": kind, "callbackUrl": world.receiver.url})
        assert made.status == 201, made


def told(world, device_id):
    """The kinds of notices that were accepted of a device, in order, each once."""
    seen, kinds = set(), []
    for push in world.receiver.requests():
        body = json.loads(push.body)
        if push.accepted and body.get("deviceId") == device_id and push.webhook_id not in seen:
            seen.add(push.webhook_id)
            kinds.append(body.get("notifyType"))
    return kinds


def test_subscriptions_are_kept_over_a_restart(world):
    subscribe(world, "deviceAdded", "deviceDeleted")
    world.server.restart("kill")
    page = world.na.call("GET", SUBSCRIPTIONS).json
    assert [one["notifyType"] for one in page["subscriptions"]] == ["deviceAdded", "deviceDeleted"]
    assert world.na.call("DELETE", SUBSCRIPTIONS).status == 204
    assert world.na.call("GET", SUBSCRIPTIONS).json["totalCount"] == 0


@pytest.mark.parametrize("away", [False, True])
def test_a_devices_life_is_told_in_order(world, away):
    subscribe(world, "deviceAdded", "bindDevice", "deviceDataChanged", "deviceDeleted")
    if away:
        world.receiver.away()
    device = world.device(PahoDevice)
    device.publish(device.up, REPORT)
    device_id = device.credentials.device_id
    assert world.na.call("DELETE", f"{DEVICES}/{device_id}").status == 204
    if away:
        world.receiver.back()
    expected = ["deviceAdded", "bindDevice", "deviceDataChanged", "deviceDeleted"]
    until(lambda: told(world, device_id) == expected, what="all that was told", timeout=60)


def test_a_push_that_is_given_up_is_told(world):
    subscribe(world, "pushGivenUp")

    def decide(push):
        return Reply(410 if b'"resultCode":"SENT"' in push.body and b"notifyType" not in push.body else 200)

    world.receiver.decide = decide
    device = world.device(PahoDevice)
    command = world.create(device)
    device.answer(device.next_command()["mid"])
    device_id = device.credentials.device_id
    until(lambda: "pushGivenUp" in told(world, device_id), what="word of what was given up")
    [dead] = world.admin.pushes(state="dead")
    [word] = [json.loads(push.body) for push in world.receiver.requests() if b"pushGivenUp" in push.body]
    assert (word["webhookId"], word["commandId"]) == (dead["webhookId"], command["commandId"])
    assert (word["resultCode"], word["attempts"], word["receiver"]) == ("SENT", 1, dead["origin"])
    assert "410" in word["reason"]


@pytest.mark.settings(push_max_stored_per_app=3, push_retry_first_ms=100, push_retry_longest_ms=500)
def test_an_application_of_which_too_much_waits_is_told_of_no_reports_until_it_was_told_the_rest(world):
    """Reports are acknowledged all the same, and whether the device is there is told."""
    subscribe(world, "deviceDataChanged", "deviceInfoChanged", "commandRsp")
    world.receiver.away()
    device = world.device(PahoDevice)
    device_id = device.credentials.device_id

    def dropped() -> bool:
        device.publish(device.up, REPORT)
        return "\ndownlink_push_reports_dropped_total 0\n" not in metrics.text(world.server)

    until(dropped, what="a report that is not told")
    kept = len(world.admin.pushes())
    assert kept > 3
    refused = world.na.create_raw(device_id, None)
    assert (refused.status, refused.json["error_code"]) == (503, "100501"), "it would be told of its result"
    device.stop()
    until(lambda: len(world.admin.pushes()) == kept + 1, what="word of its going, and no report")
    world.receiver.back()
    until(lambda: not world.admin.any_push(), 60, "all told that waits")
    assert told(world, device_id)[-1] == "deviceInfoChanged"
    before = len(told(world, device_id))
    until(lambda: world.na.create_raw(device_id, None).status == 201, what="room for a command")
    again = world.device(PahoDevice, credentials=device.credentials)
    again.publish(again.up, REPORT)
    until(lambda: told(world, device_id)[before:] == ["deviceInfoChanged", "deviceDataChanged"], what="all as before")
