"""Products: what a profile package says of a device's commands, from the archive to the last push."""

import json
import zipfile
from pathlib import Path

import pytest

from kit import cli
from kit.na import REGISTER, Answer
from kit.server import APP_ID

SWITCH = {
    "commandName": "SWITCH",
    "paras": [{"paraName": "value", "dataType": "int", "required": True, "min": "0", "max": "1", "step": 1}],
    "responses": [{"responseName": "SWITCH_RSP", "paras": [{"paraName": "result", "dataType": "int"}]}],
}
BLINK = {"commandName": "BLINK", "paras": None, "responses": None}


def package(directory: Path, *commands: dict) -> Path:
    """A profile package as the platform takes it."""
    device = {
        "manufacturerId": "acme",
        "manufacturerName": "Acme",
        "protocolType": "MQTT",
        "deviceType": "Lamp",
        "model": "L1",
        "serviceTypeCapabilities": [{"serviceId": "Lamp", "serviceType": "Switch", "option": "Master"}],
    }
    service = {"serviceType": "Switch", "commands": list(commands), "properties": []}
    path = directory / "Lamp_acme_L1.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("profile/devicetype-capability.json", json.dumps({"devices": [device]}))
        archive.writestr("service/Switch/profile/servicetype-capability.json", json.dumps({"services": [service]}))
    return path


def put(world, directory: Path, *commands: dict, more: tuple[str, ...] = ()) -> dict:
    return cli.call(world.server, "product", "put", APP_ID, str(package(directory, *commands)), *more)


def asked(world, device, method: str, paras: dict, service: str = "Lamp") -> Answer:
    command = {"serviceId": service, "method": method, "paras": paras}
    return world.na.create_raw(device.credentials.device_id, world.receiver.url, command=command)


def made(world, device, method: str, paras: dict) -> dict:
    answer = asked(world, device, method, paras)
    assert answer.status == 201, answer
    return answer.json


def test_capabilities_are_those_of_the_product(world, tmp_path):
    device = world.na.register(manufacturerId="acme").device_id
    other = world.na.register(model="L2").device_id
    product = put(world, tmp_path, SWITCH, BLINK)

    def capabilities(device_id: str, version: str = "v1.1.0") -> dict:
        answer = world.na.call("GET", f"/iocm/app/data/{version}/deviceCapabilities?deviceId={device_id}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json"), answer
        assert list(answer.json) == ["deviceCapabilities"]
        [one] = answer.json["deviceCapabilities"]
        assert list(one) == ["deviceId", "serviceCapabilities"] and one["deviceId"] == device_id
        return one["serviceCapabilities"]

    [lamp] = capabilities(device)
    assert (lamp["serviceId"], lamp["serviceType"], lamp["option"]) == ("Lamp", "Switch", "Master")
    assert [command["commandName"] for command in lamp["commands"]] == ["SWITCH", "BLINK"]
    [para] = lamp["commands"][0]["paras"]
    assert (para["paraName"], para["dataType"], para["min"], para["max"]) == ("value", "int", "0", "1")
    [response] = lamp["commands"][0]["responses"]
    assert response["responseName"] == "SWITCH_RSP"
    assert capabilities(device, "v1.2.0") == [lamp] and capabilities(other) == []
    child = {"deviceInfo": {"nodeId": f"child of {device}", "manufacturerId": "nobody"}, "gatewayId": device}
    child_id = world.na.call("POST", REGISTER, child).json["deviceId"]
    behind = world.na.call("GET", f"/iocm/app/data/v1.1.0/deviceCapabilities?gatewayId={device}").json["deviceCapabilities"]
    assert [(one["deviceId"], one["serviceCapabilities"]) for one in behind] == [(device, [lamp]), (child_id, [])]
    cli.call(world.server, "product", "delete", APP_ID, product["id"])
    assert capabilities(device) == []


@pytest.mark.settings(commands_response_wait_secs=1)
def test_a_command_without_a_response_ends_delivered(world, tmp_path):
    product = put(world, tmp_path, SWITCH, BLINK)
    device = world.device(credentials=world.na.register(manufacturerId="acme"))
    silent = made(world, device, "BLINK", {"x": 1})
    device.next_publish()
    world.receiver.expect(silent, "SENT", "DELIVERED")
    # What is under way keeps its terms when the product goes, and when the server does.
    cli.call(world.server, "product", "delete", APP_ID, product["id"])
    world.server.restart()
    device = world.device(credentials=device.credentials)
    answered = made(world, device, "BLINK", {"x": 1})
    device.next_publish()
    world.receiver.expect(answered, "SENT", "DELIVERED", "TIMEOUT")
    assert world.status(silent) == "DELIVERED", "its time would have been over too"
    world.receiver.expect(silent, "SENT", "DELIVERED")


def test_what_does_not_fit_is_refused_by_name(world, tmp_path):
    assert put(world, tmp_path, SWITCH, more=("--check-paras", "reject"))["checkParas"] == "reject"
    device = world.device(credentials=world.na.register(manufacturerId="acme"))
    for answer, code, named in [
        (asked(world, device, "SWITCH", {"value": 1}, service="Switch"), "100431", "command.serviceId"),
        (asked(world, device, "BLINK", {"value": 1}), "100431", "command.method"),
        (asked(world, device, "SWITCH", {"value": 2}), "100022", "command.paras.value: must be at most 1"),
        (asked(world, device, "SWITCH", {"value": "1"}), "100022", "command.paras.value: must be a whole number"),
    ]:
        assert (answer.status, answer.error) == (400, code), answer
        assert named in answer.json["error_desc"]
    command = made(world, device, "SWITCH", {"value": 1})
    device.answer(json.loads(device.next_publish().payload)["mid"])
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    assert device.publishes.empty(), "nothing of what was refused came"
