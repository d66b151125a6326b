"""A server on which every operation has something to succeed with: devices seen and unseen, commands, subscriptions, tokens."""

import itertools
import json
import threading
from urllib.parse import urlencode

from kit import metrics
from kit.device import PahoDevice
from kit.na import REGISTER, NA
from kit.server import APP_ID, APP_SECRET, Server
from kit.wait import until
from kit.world import World

DATA = "/iocm/app/data/v1.2.0/deviceDataHistory"
SHADOW = "/iocm/app/shadow/v1.5.0/devices"
BATCH = "/iocm/app/batchtask/v1.1.0/tasks"
GROUPS = "/iocm/app/devgroup/v1.3.0/devGroups"
SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"
PARA = {"paraName": "value", "dataType": "int", "required": True, "min": "0", "max": "1", "step": 1, "maxLength": 1, "unit": "x"}
PROFILE = {
    "manufacturerId": "acme",
    "deviceType": "Lamp",
    "model": "L1",
    "protocolType": "MQTT",
    "services": [
        {
            "serviceId": "Lamp",
            "serviceType": "Lamp",
            "option": "Master",
            "description": "A lamp",
            "commands": [
                {
                    "commandName": "SWITCH",
                    "paras": [PARA, {"paraName": "mode", "dataType": "string", "enumList": ["day", "night"]}],
                    "responses": [{"responseName": "SWITCH_RSP", "paras": [{"paraName": "result", "dataType": "int"}]}],
                }
            ],
            "properties": [{**PARA, "paraName": "", "propertyName": "lux", "method": "R", "enumList": ["1"]}],
        }
    ],
}
# All that is shown of a device only if it was said.
SAID = {
    "imsi": "460000000000001",
    "ip": "192.0.2.1",
    "endUser": "u",
    "endUserId": "u",
    "organization": "o",
    "region": "r",
    "timezone": "UTC",
    "productId": "lamps",
    "deviceConfig": {"dataConfig": {"dataAgingTime": 7}},
    "customFields": [{"fieldName": "f", "fieldType": "string", "fieldValue": "v"}],
    "tags": [{"tagName": "t", "tagValue": "v", "tagType": "x"}],
}


class Ready:
    """`names`: values for parameters and members of requests, by name."""

    def __init__(self, directory):
        self.server = Server(directory).start()
        self.world = World(self.server)
        self.na = self.world.na
        self._numbers = itertools.count(1)
        self.world.admin.call("PATCH", f"/apps/{APP_ID}", {"feed": True})
        self.world.admin.call("PUT", f"/apps/{APP_ID}/products", {"id": "lamps", "profile": PROFILE})
        self.connected = self._connected()
        self.away = self._away()
        self.waiting = self.na.register(manufacturerId="acme").device_id
        self.shadowed = self._shadowed()
        kind = {"type": "DeviceType", "deviceType": "none", "manufacturerId": "acme", "model": "none"}
        self.task_of_a_kind = self.batch_task(**kind, callbackUrl=self.world.receiver.url, maxRetransmit=3)
        self.subtasks = self._subtasks()
        self.names = {
            "appId": APP_ID,
            "secret": APP_SECRET,
            "deviceId": self.connected,
            "gatewayId": self.connected,
            "serviceId": "Lamp",
            "commandId": self.done,
            "subscriptionId": self.subscription("deviceAdded")["subscriptionId"],
            "taskId": self.cancel_task(),
            "accessAppId": APP_ID,
            "devGroupId": self.group(),
            "notifyType": "deviceAdded",
        }

    def close(self) -> None:
        self.world.close()

    def still_there(self) -> dict[str, str]:
        """What random calls may change and remove: made anew where they did."""
        if self.na.call("GET", f"/iocm/app/dm/v1.4.0/devices/{self.waiting}").status == 404:
            self.waiting = self.na.register(manufacturerId="acme").device_id
        self.forget("deviceAdded")
        made = {"deviceId": self.waiting, "subscriptionId": self.subscription("deviceAdded")["subscriptionId"]}
        return {**made, "devGroupId": self.group()}

    def number(self) -> int:
        return next(self._numbers)

    def subscription(self, kind: str) -> dict:
        answer = self.na.call("POST", SUBSCRIPTIONS, {"notifyType": kind, "callbackUrl": self.world.receiver.url})
        assert answer.status == 201, answer
        return answer.json

    def forget(self, kind: str) -> None:
        assert self.na.call("DELETE", f"{SUBSCRIPTIONS}?notifyType={kind}").status == 204

    def cancel_task(self) -> str:
        device = self.na.register().device_id
        self.na.create(device, None)
        answer = self.na.call("POST", "/iocm/app/cmd/v1.4.0/deviceCommandCancelTasks", {"deviceId": device})
        return answer.json["taskId"]

    def batch_task(self, **param) -> str:
        command = {"serviceId": "Lamp", "method": "SWITCH", "paras": {"value": 1}}
        body = {"taskName": f"ready {self.number()}", "taskType": "DeviceCmd", "timeout": 10, "param": {**param, "command": command}}
        made = self.na.call("POST", BATCH, {**body, "tags": [{"tagName": "t", "tagValue": "v"}]})
        assert made.status == 200, made
        return made.json["taskId"]

    def _subtasks(self) -> str:
        """A task of which one device waits and one is not there."""
        task = self.batch_task(type="DeviceList", deviceList=[self.waiting, "nobody"])
        failed = lambda: self.na.call("GET", f"{BATCH}/{task}").json["failCnt"] == 1  # noqa: E731
        until(failed, what="the one that is not there")
        return task

    def group(self) -> str:
        """A group with a device in it."""
        made = self.na.call("POST", GROUPS, {"name": f"ready {self.number()}", "deviceIds": [self.waiting]})
        assert made.status == 200, made
        return made.json["id"]

    def command(self) -> str:
        """One that waits."""
        return self.na.create(self.waiting, None, maxRetransmit=3)["commandId"]

    def _connected(self) -> str:
        """A device that reported, ran a command to its end, and is there."""
        body = {"deviceInfo": {"nodeId": "lamp", "manufacturerId": "acme", "deviceType": "Lamp", "model": "L1"}, **SAID}
        made = self.na.call("POST", REGISTER, body).json
        credentials = type("Made", (), {"device_id": made["deviceId"], "secret": made["secret"], "node_id": "lamp"})
        device = self.world.device(PahoDevice, credentials)
        device.publish(device.up, json.dumps({"msgType": "deviceReq", "data": [{"serviceId": "Lamp", "serviceData": {"lux": 7}}]}))
        until(lambda: self.na.call("GET", f"{DATA}?deviceId={device.credentials.device_id}").json["totalCount"], what="the report")
        command = self.world.create(device, maxRetransmit=3)
        device.answer(device.next_command()["mid"])
        until(lambda: self.world.status(command) == "SUCCESSFUL", what="the command's end")
        self.done = command["commandId"]
        self.device = device
        return device.credentials.device_id

    def _away(self) -> str:
        """A device that was there once."""
        device = self.world.device(PahoDevice)
        device_id = device.credentials.device_id
        device.stop()
        self.gone(device_id)
        return device_id

    def _shadowed(self) -> str:
        """A device of which something is desired."""
        device = self.na.register(protocolType="LWM2M").device_id
        lux = {"serviceDesireds": [{"serviceId": "Lamp", "desired": {"lux": 0}}]}
        assert self.na.call("PUT", f"{SHADOW}/{device}", lux).status == 200
        return device

    def gone(self, device_id: str) -> None:
        shown = lambda: self.na.call("GET", f"/iocm/app/dm/v1.4.0/devices/{device_id}").json["deviceInfo"]["status"]  # noqa: E731
        until(lambda: shown() == "OFFLINE", what="its going")

    def tokens(self) -> dict:
        form = urlencode({"appId": APP_ID, "secret": APP_SECRET}).encode()
        return self.na.raw("POST", "/iocm/app/sec/v1.1.0/login", form).json

    def before(self, operation: str) -> dict[str, str]:
        """What an operation needs of its own to succeed once more: names and their values."""
        kind = operation.rstrip("0123456789").removesuffix("V")
        match kind:
            case "registerByCode" | "registerBySecret":
                return {"nodeId": f"contract-{self.number()}"}
            case "oneShadow" | "desireProperties" | "desiredHistory":
                return {"deviceId": self.shadowed, "gatewayId": self.shadowed}
            case "refreshKey":
                return {"deviceId": self.away}
            case "removeDevice":
                return {"deviceId": self.na.register().device_id}
            case "cancelCommand":
                return {"commandId": self.command()}
            case "createCommand":
                return {"Idempotency-Key": f"contract-{self.number()}", "callbackUrl": self.world.receiver.url}
            case "removeSubscription":
                self.forget("deviceDeleted")
                return {"subscriptionId": self.subscription("deviceDeleted")["subscriptionId"]}
            case "removeSubscriptions":
                return {"notifyType": "deviceDeleted", "callbackUrl": "http://127.0.0.1:9/", "channel": "HTTP"}
            case "subscribe":
                kind = "deviceInfoChanged" if operation == "subscribe" else "bindDevice"
                self.forget(kind)
                return {"notifyType": kind}
            case "subscribeToUpgrades":
                self.forget("swUpgradeResultNotify")
                return {"notifyType": "swUpgradeResultNotify"}
            case "refreshToken":
                return {"refreshToken": self.tokens()["refreshToken"]}
            case "logout":
                return {"accessToken": self.tokens()["accessToken"]}
            case "pullFeed":
                return {"cursor": ""}
            case "createBatchTask":
                return {"taskName": f"contract {self.number()}", "appId": APP_ID}
            case "oneBatchTask":
                return {"taskId": self.task_of_a_kind}
            case "batchTaskDetails":
                return {"taskId": self.subtasks, "status": "", "commandId": "", "deviceId": ""}
            case "createDeviceGroup":
                return {"name": f"contract {self.number()}", "deviceIds": [self.waiting]}
            case "listDeviceGroups":
                return {"name": ""}
            case "modifyDeviceGroup":
                return {"devGroupId": self.group(), "name": f"contract {self.number()}"}
            case "addToDeviceGroup" | "takeFromDeviceGroup":
                return {"deviceIds": [self.waiting]}
            case "removeDeviceGroup":
                return {"devGroupId": self.group()}
            case "createCancelTask":
                self.command()
                return {"deviceId": self.waiting}
            case "listCancelTasks" | "listSubscriptions":
                return {"deviceId": "", "taskId": "", "notifyType": ""}
        return {}

    def stream_that_ends(self) -> tuple[NA, threading.Thread]:
        """An application whose feed is switched off once somebody follows it, and who switches it."""
        app = f"follower-{self.number()}"
        made = self.world.admin.call("POST", "/apps", {"id": app, "feed": True})
        na = NA(self.server, app=(app, made["secret"]))
        na.login()
        calls = lambda: next(line for line in metrics.text(self.server).splitlines() if line.startswith("downlink_http_requests_total"))  # noqa: E731
        seen = calls()

        def switch_off():
            until(lambda: calls() != seen, what="the call")
            self.world.admin.call("PATCH", f"/apps/{app}", {"feed": False})

        return na, threading.Thread(target=switch_off, daemon=True)
