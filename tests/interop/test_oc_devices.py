"""Devices of the `$oc` family: subscribed implicitly, at QoS 0, answered by request id."""

import json

import pytest

from kit.device import OcDevice
from kit.na import DEVICES

DONE = ("SUCCESSFUL", '{"state":"ON"}')


@pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])
def test_a_device_that_never_subscribes_runs_commands(world, version):
    device = world.device(OcDevice, version=version)
    for _ in range(3):
        command = world.create(device)
        request_id, body = device.next_request()
        assert request_id == command["commandId"]
        assert body["service_id"] == "Lamp" and body["command_name"] == "SWITCH" and body["paras"] == {"value": 1}
        device.answer_request(request_id)
        world.receiver.expect(command, "SENT", "DELIVERED", DONE)
        assert world.status(command) == "SUCCESSFUL"
    assert device.commands.empty(), "each command once"


def test_what_it_reports_is_found_again(world):
    device = world.device(OcDevice)
    device_id = device.credentials.device_id
    services = [
        {"service_id": "Lamp", "properties": {"lux": 8}, "event_time": "20260102T030405Z"},
        {"service_id": "Meter", "properties": {"kwh": "7"}},
    ]
    device.publish(f"{device.base}/properties/report", json.dumps({"services": services}))
    answer = world.na.call("GET", f"/iocm/app/data/v1.2.0/deviceDataHistory?deviceId={device_id}&serviceId=Lamp")
    assert (answer.status, answer.json["totalCount"]) == (200, 2), "the report at its start, too"
    assert {"lux": 8} in [row["data"] for row in answer.json["deviceDataHistoryDTOs"]]
    [at] = [row["timestamp"] for row in answer.json["deviceDataHistoryDTOs"] if row["data"] == {"lux": 8}]
    assert at == "20260102T030405Z"
    shown = world.na.call("GET", f"{DEVICES}/{device_id}").json["services"]
    assert sorted(service["serviceId"] for service in shown) == ["Lamp", "Meter"]


def test_a_refusal_is_told_as_failed(world):
    device = world.device(OcDevice)
    command = world.create(device)
    device.answer_request(device.next_request()[0], '{"result_code":3,"paras":{"state":"STUCK"}}')
    world.receiver.expect(command, "SENT", "DELIVERED", ("FAILED", '{"state":"STUCK"}'))


def test_an_answer_without_result_code_is_a_success(world):
    device = world.device(OcDevice)
    command = world.create(device)
    device.answer_request(device.next_request()[0], '{"paras":{"state":"ON"}}')
    world.receiver.expect(command, "SENT", "DELIVERED", DONE)


def test_at_most_once_over_a_reconnect(world):
    """QoS 0: what may have been written is not written again, and the result may come over a later connection."""
    first = world.device(OcDevice)
    command = world.create(first)
    request_id, _ = first.next_request()
    first.stop()

    again = world.device(OcDevice, first.credentials)
    again.answer_request(request_id)
    world.receiver.expect(command, "SENT", "DELIVERED", DONE)
    following = world.create(again)
    assert again.next_request()[0] == following["commandId"], "the first one did not come again"
    again.answer_request(following["commandId"])
    world.receiver.expect(following, "SENT", "DELIVERED", DONE)
    assert first.commands.empty() and again.commands.empty()


def test_a_device_that_subscribes_gets_each_command_once(world):
    """Implicit and explicit subscription together are one delivery, acknowledged at QoS 1."""
    credentials = world.na.register()
    device = world.device(OcDevice, credentials, subscribe=f"$oc/devices/{credentials.device_id}/sys/commands/#")
    for _ in range(3):
        command = world.create(device)
        request_id, _ = device.next_request()
        assert request_id == command["commandId"]
        device.answer_request(request_id)
        world.receiver.expect(command, "SENT", "DELIVERED", DONE)
    assert device.commands.empty(), "neither twice, nor its own answers back"
