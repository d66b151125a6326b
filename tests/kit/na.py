"""An application of the legacy interface (NA), on nothing but http.client."""

import http.client
import itertools
import json
import ssl
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlencode

from kit.server import APP_ID, APP_SECRET, Server

COMMANDS = "/iocm/app/cmd/v1.4.0/deviceCommands"
CANCEL_TASKS = "/iocm/app/cmd/v1.4.0/deviceCommandCancelTasks"
BATCH_TASKS = "/iocm/app/batchtask/v1.1.0/tasks"
BATCH_DETAILS = "/iocm/app/batchtask/v1.1.0/taskDetails"
GROUPS = "/iocm/app/devgroup/v1.3.0/devGroups"
GROUP_MEMBERS = "/iocm/app/dm/v1.2.0/devices/ids"
GROUP_ADD = "/iocm/app/dm/v1.1.0/devices/addDevGroupTagToDevices"
GROUP_TAKE = "/iocm/app/dm/v1.1.0/devices/deleteDevGroupTagFromDevices"
LOGIN = "/iocm/app/sec/v1.1.0/login"
REGISTER = "/iocm/app/reg/v2.0.0/deviceCredentials"
DEVICES = "/iocm/app/dm/v1.4.0/devices"

FINAL = {"SUCCESSFUL", "FAILED", "TIMEOUT", "EXPIRED", "CANCELED"}

_node_ids = itertools.count(1)


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self) -> str | None:
        """The code of a business error."""
        try:
            return self.json.get("error_code")
        except (ValueError, AttributeError):
            return None

    def __str__(self) -> str:
        return f"{self.status} {self.body[:500]!r}"


@dataclass
class Credentials:
    device_id: str
    node_id: str
    secret: str


class NA:
    """Logs in when it is first used. One kept connection per thread and life of the server."""

    def __init__(self, server: Server, listener: str = "northbound-plain", app=(APP_ID, APP_SECRET)):
        self.server, self.listener, self.app = server, listener, app
        self.token: str | None = None
        self._local = threading.local()

    def _connection(self) -> http.client.HTTPConnection:
        address = self.server.address(self.listener)
        kept = getattr(self._local, "connection", None)
        if kept is None or self._local.life != self.server.lives:
            if self.listener == "northbound":
                context = ssl._create_unverified_context()
                kept = http.client.HTTPSConnection(*address, timeout=30, context=context)
            else:
                kept = http.client.HTTPConnection(*address, timeout=30)
            self._local.connection, self._local.life = kept, self.server.lives
        return kept

    def raw(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """One request as it is given. A connection error is the caller's."""
        connection = self._connection()
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        except Exception:
            connection.close()
            self._local.connection = None
            raise

    def login(self) -> str:
        form = urlencode({"appId": self.app[0], "secret": self.app[1]}).encode()
        answer = self.raw("POST", LOGIN, form, {"Content-Type": "application/x-www-form-urlencoded"})
        assert answer.status == 200, answer
        self.token = answer.json["accessToken"]
        return self.token

    def headers(self) -> dict[str, str]:
        token = self.token or self.login()
        return {"app_key": self.app[0], "Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body=None) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        return self.raw(method, path, data, self.headers())

    def register(self, node_id: str | None = None, secret: str | None = None, **info) -> Credentials:
        node_id = node_id or f"node-{next(_node_ids)}-{time.monotonic_ns()}"
        body = {
            "deviceInfo": {"nodeId": node_id, "protocolType": "MQTT", "deviceType": "Lamp", "model": "L1", **info},
            "mqttConnect": True,
            **({"secret": secret} if secret else {}),
        }
        answer = self.call("POST", REGISTER, body)
        assert answer.status == 200, answer
        return Credentials(answer.json["deviceId"], node_id, answer.json["secret"])

    def create_raw(self, device_id: str, callback: str | None, expire: int | None = 600, **more) -> Answer:
        body = {"deviceId": device_id, "command": {"serviceId": "Lamp", "method": "SWITCH", "paras": {"value": 1}}}
        if callback is not None:
            body["callbackUrl"] = callback
        if expire is not None:
            body["expireTime"] = expire
        return self.call("POST", COMMANDS, {**body, **more})

    def create(self, device_id: str, callback: str | None, expire: int | None = 600, **more) -> dict:
        answer = self.create_raw(device_id, callback, expire, **more)
        assert answer.status == 201, answer
        return answer.json

    def cancel_raw(self, command_id: str) -> Answer:
        return self.call("PUT", f"{COMMANDS}/{command_id}", {"status": "CANCELED"})

    def list(self, device_id: str | None = None) -> list[dict]:
        """Every command (of a device), over all pages."""
        found, page = [], 0
        while True:
            query = {"pageNo": page, "pageSize": 1000, **({"deviceId": device_id} if device_id else {})}
            answer = self.call("GET", f"{COMMANDS}?{urlencode(query)}")
            assert answer.status == 200, answer
            found += answer.json["data"]
            page += 1
            if not answer.json["data"] or len(found) >= answer.json["pagination"]["totalSize"]:
                return found

    def get(self, device_id: str, command_id: str) -> dict:
        return next(command for command in self.list(device_id) if command["commandId"] == command_id)

    def status(self, device_id: str, command_id: str) -> str:
        return self.get(device_id, command_id)["status"]

    def totals(self) -> tuple[int, int]:
        """How many commands and devices there are."""
        commands = self.call("GET", f"{COMMANDS}?pageNo=0&pageSize=1")
        devices = self.call("GET", f"{DEVICES}?pageNo=0&pageSize=1")
        return commands.json["pagination"]["totalSize"], devices.json["totalCount"]
