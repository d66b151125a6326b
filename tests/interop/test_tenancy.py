"""One application and what another may do to it: nothing. The matrix is over the routes of the router's source: a route
without an entry here fails, and so does an entry whose route is gone.

A is the application under test, and owns all that is named in the entries; B calls. B has one device and one command of
its own, so that a total that counts both is seen."""

import http.client
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest

from kit.device import PahoDevice
from kit.na import CANCEL_TASKS, COMMANDS, DEVICES, GROUP_ADD, GROUP_MEMBERS, GROUP_TAKE, GROUPS, LOGIN, NA, REGISTER
from kit.receiver import Receiver
from kit.routes import northbound_routes
from kit.server import APP_ID
from kit.wait import until

COMMAND = {"serviceId": "Lamp", "method": "SWITCH", "paras": {"value": 1}}
SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"
HISTORY = "/iocm/app/data/v1.2.0/deviceDataHistory"
FEED = "/downlink/v1/feed"
SHADOW = "/iocm/app/shadow/v1.5.0"
TASKS = "/iocm/app/batchtask/v1.1.0/tasks"
TOKENS = "/iocm/app/sec/v1.1.0"


@dataclass
class Try:
    """A call of B on what is A's. `{device}` and the like stand for A's ids, `{own_device}` for B's."""

    status: int
    code: str | None = None
    query: dict | None = None
    body: dict | None = None
    # What must hold of the answer's JSON besides.
    holds: Callable[[dict], bool] | None = None
    # The answer repeats what B itself named.
    repeats: bool = False


def total(count: int, name: str = "totalCount") -> Callable[[dict], bool]:
    def holds(answer: dict) -> bool:
        lists = [value for value in answer.values() if isinstance(value, list)]
        counted = answer.get("pagination", answer)[name]
        return counted == count and len(lists) == 1 and len(lists[0]) == count

    return holds


def totals(count: int) -> Callable[[dict], bool]:
    return total(count, "totalSize")


def lists_of_devices() -> list[Try]:
    return [
        Try(200, holds=total(1)),
        Try(200, query={"gatewayId": "{device}"}, holds=total(0)),
        Try(200, query={"name": "of A"}, holds=total(0)),
        Try(200, query={"status": "INACTIVE", "pageNo": "0", "pageSize": "1"}, holds=total(1)),
        Try(200, query={"nodeType": "GATEWAY", "sort": "ASC"}, holds=total(1)),
    ]


NO_DEVICE, NO_DATA = [Try(404, "100403")], [Try(404, "100418", query={"deviceId": "{device}"})]
OF_GATEWAY = [*NO_DATA, Try(404, "100418", query={"gatewayId": "{device}"}), Try(400, "100419")]
SUBSCRIBE = {"notifyType": "{kind}", "callbackUrl": "{callback}"}
CREATE = {"deviceId": "{device}", "command": COMMAND}
LIST = {"type": "DeviceList", "deviceList": ["{device}"], "command": COMMAND}
BATCH = {"appId": "{own_app}", "taskName": "t", "taskType": "DeviceCmd", "timeout": 10, "param": LIST}
REGISTER_V1 = [Try(400, "100426", body={"nodeId": "{node}"}), Try(404, "100403", body={"nodeId": "n", "gatewayId": "{device}"})]


def of_groups() -> list[Try]:
    tries = []
    for kind, group in [("GroupList", "{group}"), ("GroupIdList", "{group}"), ("GroupList", "of A")]:
        param = {"type": kind, "groupList": [group], "command": COMMAND}
        tries.append(Try(404, "100603", body={**BATCH, "taskName": "g", "param": param}))
    return tries


# In this order: what ends B's own things comes last.
ENTRIES: dict[str, list[Try]] = {
    f"GET {DEVICES}": lists_of_devices(),
    f"GET {DEVICES}/{{id}}": NO_DEVICE,
    f"PUT {DEVICES}/{{id}}": [Try(404, "100403", body={"name": "taken"}), Try(404, "100403", body={"psk": "00112233445566778899aabbccddeeff"})],
    f"DELETE {DEVICES}/{{id}}": [*NO_DEVICE, Try(404, "100403", query={"cascade": "true"})],
    f"POST {REGISTER}": [
        Try(400, "100426", body={"deviceInfo": {"nodeId": "{node}"}}),
        Try(404, "100403", body={"deviceInfo": {"nodeId": "n"}, "gatewayId": "{device}"}),
    ],
    f"POST {COMMANDS}": [
        Try(404, "100418", body=CREATE),
        Try(404, "100418", body={**CREATE, "expireTime": 0}),
        Try(404, "100418", body={**CREATE, "appId": "{app}"}),
    ],
    f"GET {COMMANDS}": [
        Try(200, holds=totals(1)),
        Try(404, "100418", query={"deviceId": "{device}"}),
        Try(200, query={"startTime": "20200101T000000Z", "pageSize": "1"}, holds=totals(1)),
        Try(200, query={"deviceId": "{own_device}"}, holds=totals(1)),
    ],
    f"GET {COMMANDS}/{{id}}": [Try(404, "100434")],
    f"PUT {COMMANDS}/{{id}}": [Try(404, "100434", body={"status": "CANCELED"})],
    f"POST {CANCEL_TASKS}": [Try(404, "100418", body={"deviceId": "{device}"})],
    f"GET {CANCEL_TASKS}": [
        Try(200, holds=totals(0)),
        Try(200, query={"taskId": "{task}"}, holds=totals(0)),
        Try(404, "100418", query={"deviceId": "{device}"}),
        Try(200, query={"status": "SUCCESS"}, holds=totals(0)),
    ],
    "POST /iocm/app/cmd/v1.2.0/devices/{id}/commands": [Try(404, "100418", body={"command": COMMAND})],
    "POST /iocm/app/signaltrans/v1.1.0/devices/{device}/services/{service}/sendCommand": [
        Try(404, "100418", body={"header": {"method": "SWITCH"}, "body": {"value": 1}})
    ],
    "GET /downlink/v1/commands/{id}": [Try(404, "100434")],
    f"GET {FEED}": [
        Try(200, holds=lambda page: len(page["items"]) == 1 and page["more"] is False),
        Try(400, "100022", query={"cursor": "{cursor}"}),
    ],
    # Without a cursor it would go on for ever; it reads as the other one does.
    f"GET {FEED}/stream": [Try(400, "100022", query={"cursor": "{cursor}"})],
    # The same kind as A has: no conflict.
    f"POST {SUBSCRIPTIONS}": [Try(201, body=SUBSCRIBE)],
    "POST /iocm/app/sub/v1.1.0/subscribe": [Try(201, body={**SUBSCRIBE, "notifyType": "bindDevice"})],
    "POST /iocm/app/sub/v1.2.0/subscribe": [Try(201, body={**SUBSCRIBE, "notifyType": "deviceDeleted"})],
    "POST /iodm/app/sub/v1.1.0/subscribe": [Try(200, body={**SUBSCRIBE, "notifyType": "fwUpgradeResultNotify"})],
    f"GET {SUBSCRIPTIONS}": [Try(200, holds=total(4)), Try(200, query={"notifyType": "deviceDataChanged"}, holds=total(0))],
    f"GET {SUBSCRIPTIONS}/{{id}}": [Try(404, "100225")],
    f"DELETE {SUBSCRIPTIONS}/{{id}}": [Try(404, "100225")],
    f"DELETE {SUBSCRIPTIONS}": [Try(204, query={"callbackUrl": "{callback}"}), Try(204)],
    f"GET {TASKS}/{{id}}": [Try(404, "105005")],
    "GET /iocm/app/batchtask/v1.1.0/taskDetails": [Try(404, "105005", query={"taskId": "{batch}"})],
    # The name of A's group is free for B.
    f"POST {GROUPS}": [
        Try(200, body={"name": "lamps"}),
        Try(404, "100403", body={"name": "h", "deviceIds": ["{device}"]}, repeats=True),
        Try(403, "100217", body={"name": "h", "appId": "{app}"}),
    ],
    f"GET {GROUPS}": [
        Try(200, holds=total(1)),
        Try(200, query={"name": "of A"}, holds=total(0)),
        Try(403, "100217", query={"accessAppId": "{app}"}),
    ],
    f"GET {GROUPS}/{{id}}": [Try(404, "100603")],
    f"PUT {GROUPS}/{{id}}": [Try(404, "100603", body={"name": "taken"})],
    f"DELETE {GROUPS}/{{id}}": [Try(404, "100603")],
    f"GET {GROUP_MEMBERS}": [Try(404, "100603", query={"devGroupId": "{group}"})],
    f"POST {GROUP_ADD}": [Try(404, "100603", body={"devGroupId": "{group}", "deviceIds": ["{own_device}"]})],
    f"POST {GROUP_TAKE}": [Try(404, "100603", body={"devGroupId": "{group}", "deviceIds": ["{device}"]})],
    # Taken, as each device of a list is looked at later. That it fails is waited for.
    f"POST {TASKS}": [Try(200, body=BATCH), Try(403, "100217", body={**BATCH, "taskName": "u", "appId": "{app}"}), *of_groups()],
}
for version in ("v1.1.0", "v1.2.0"):
    ENTRIES[f"GET /iocm/app/data/{version}/deviceDataHistory"] = OF_GATEWAY
    ENTRIES[f"GET /iocm/app/data/{version}/deviceCapabilities"] = OF_GATEWAY
ENTRIES |= {
    f"GET {SHADOW}/devices/{{id}}": NO_DEVICE,
    f"PUT {SHADOW}/devices/{{id}}": [Try(404, "100403", body={"serviceDesireds": [{"serviceId": "Lamp", "desired": {"lux": 1}}]})],
    f"GET {SHADOW}/deviceDesiredHistory": OF_GATEWAY,
}
for path in ("v1.1.0/deviceCredentials", "v1.1.0/devices", "v1.2.0/devices"):
    ENTRIES[f"POST /iocm/app/reg/{path}"] = REGISTER_V1
    ENTRIES[f"GET /iocm/app/reg/{path}/{{id}}"] = NO_DEVICE
    ENTRIES[f"PUT /iocm/app/reg/{path}/{{id}}"] = [Try(404, "100403", body={"verifyCode": "taken"})]
for version in ("v1.1.0", "v1.2.0", "v1.3.0"):
    path = f"/iocm/app/dm/{version}/devices"
    ENTRIES[f"GET {path}"] = lists_of_devices()
    ENTRIES[f"GET {path}/{{id}}"] = NO_DEVICE
    ENTRIES[f"PUT {path}/{{id}}"] = [Try(404, "100403", body={"name": "taken"})]
    ENTRIES[f"DELETE {path}/{{id}}"] = NO_DEVICE
    ENTRIES[f"PUT {path}/{{id}}/services/{{service}}"] = [Try(404, "100403", body={"muteCmds": ["SWITCH"]})]

# Called without a token: the secret or the token in the body is the proof. What is wrong there is in the tests of logins.
WITHOUT_TOKEN = {f"POST {TOKENS}/login", f"POST {TOKENS}/refreshToken", f"POST {TOKENS}/logout"}


def plain(route: str) -> str:
    """The same route with its parameters unnamed."""
    return re.sub(r"\{\w+\}", "{}", route)


def routes() -> list[str]:
    return [plain(f"{method} {path}") for method, path in northbound_routes()]


def filled(value, names: dict[str, str]):
    """The same with names put in, at any depth."""
    if isinstance(value, dict):
        return {name: filled(one, names) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, names) for one in value]
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda name: names[name[1]], value)
    return value


class Tenants:
    """A with one of each, and B with a device and a command of its own."""

    def __init__(self, world):
        self.world, self.a = world, world.na
        made = world.admin.call("POST", "/apps", {"id": "other-app", "feed": True})
        world.admin.call("PATCH", f"/apps/{APP_ID}", {"feed": True})
        self.b = NA(world.server, app=(made["id"], made["secret"]))
        self.names = {"app": APP_ID, "own_app": self.b.app[0], "callback": world.receiver.url, "kind": "deviceAdded"}
        self.names["service"] = "Lamp"
        self._of_a()
        own = self.b.register(name="of B")
        self.names["own_device"] = own.device_id
        command = self.b.create(own.device_id, None)
        assert self.b.cancel_raw(command["commandId"]).status == 200

    def _of_a(self) -> None:
        a, names = self.a, self.names
        made = a.call("POST", SUBSCRIPTIONS, filled(SUBSCRIBE, names))
        a.call("POST", SUBSCRIPTIONS, filled({**SUBSCRIBE, "notifyType": "deviceDataChanged"}, names))
        names["subscription"] = made.json["subscriptionId"]
        gateway = a.register(name="of A")
        names["device"], names["node"] = gateway.device_id, gateway.node_id
        child = {"deviceInfo": {"nodeId": f"child of {gateway.node_id}", "name": "of A"}, "gatewayId": gateway.device_id}
        assert a.call("POST", REGISTER, child).status == 200
        device = PahoDevice(self.world.server.mqtt, gateway).start()
        device.publish(device.up, '{"msgType":"deviceReq","data":[{"serviceId":"Lamp","serviceData":{"lux":7}}]}')
        device.stop()
        until(lambda: self._status() == "OFFLINE", what="word that it went")
        a.create(gateway.device_id, None)
        task = a.call("POST", CANCEL_TASKS, {"deviceId": gateway.device_id}).json["taskId"]
        names["task"] = task
        until(lambda: a.call("GET", f"{CANCEL_TASKS}?taskId={task}").json["data"][0]["status"] == "SUCCESS")
        names["command"] = a.create(gateway.device_id, None)["commandId"]
        names["cursor"] = a.call("GET", FEED).json["nextCursor"]
        for name in ("lamps", "of A"):
            names["group"] = a.call("POST", GROUPS, {"name": name, "deviceIds": [names["device"]]}).json["id"]
        names["batch"] = "none"
        if f"POST {TASKS}" in routes():
            answer = a.call("POST", TASKS, filled({**BATCH, "appId": "{app}"}, names))
            names["batch"] = answer.json["taskID"]
            until(lambda: len(a.list()) == 3, what="the command of the batch")

    def _status(self) -> str:
        return self.a.call("GET", f"{DEVICES}/{self.names['device']}").json["deviceInfo"]["status"]

    def path(self, path: str) -> str:
        """With A's ids in place of the names."""
        kinds = {"/cmd/v1.4.0": "command", "/downlink/v1/commands": "command", "/subscriptions": "subscription"}
        kinds["/batchtask"], kinds["/devGroups"] = "batch", "group"
        kind = next((kind for part, kind in kinds.items() if part in path and "/devices/" not in path), "device")
        return filled(path, {**self.names, "id": self.names[kind]})

    def call(self, route: str, one: Try):
        method, path = route.split(" ")
        query = "?" + urlencode(filled(one.query, self.names)) if one.query else ""
        return self.b.call(method, self.path(path) + query, filled(one.body, self.names))

    def see_batch_fail(self, task: str) -> None:
        """B's batch over a device of A fails at that device."""
        counts = ("totalCnt", "successCnt", "failCnt")
        shown = lambda: self.b.call("GET", f"{TASKS}/{task}").json  # noqa: E731
        until(lambda: [shown()[count] for count in counts] == [1, 0, 1], what=shown)

    def secrets(self) -> list[str]:
        """What no answer to B may hold."""
        return [self.names[name] for name in ("device", "command", "task", "subscription", "cursor")]

    def all_of_a(self) -> list[dict]:
        """All that A sees."""
        device = self.names["device"]
        queries = [DEVICES, COMMANDS, CANCEL_TASKS, SUBSCRIPTIONS, f"{HISTORY}?deviceId={device}", FEED, GROUPS, f"{GROUP_MEMBERS}?devGroupId={self.names['group']}"]
        return [self.a.call("GET", query).json for query in queries]


@pytest.fixture
def tenants(world):
    return Tenants(world)


def wrong(one: Try, answer, secrets: list[str]) -> str | None:
    """What is wrong with an answer."""
    if one.status and answer.status != one.status:
        return f"{one.status} should come"
    if one.code and answer.error != one.code:
        return f"{one.code} should come"
    if one.holds and not one.holds(answer.json):
        return "not what should be in it"
    if not one.repeats and any(secret in answer.body.decode() for secret in secrets):
        return "names what is another's"
    return None


def test_every_route_has_an_entry():
    there, known = set(routes()), {plain(route) for route in ENTRIES} | WITHOUT_TOKEN
    assert there - known == set(), "routes without an entry"
    assert known - there == set(), "entries without a route"


def test_the_other_application_gets_and_changes_nothing(tenants):
    before = tenants.all_of_a()
    assert [len(page.get("devices", page.get("data", ()))) for page in before[:3]] >= [2, 2, 1]
    assert before[4]["totalCount"] == 1 and before[3]["totalCount"] == 2 and before[5]["items"]
    found = []
    for route, tries in ENTRIES.items():
        for one in tries:
            answer = tenants.call(route, one)
            if fault := wrong(one, answer, tenants.secrets()):
                found.append(f"{route} {one.query or ''} {one.body or ''}: {fault}; came: {answer}")
            elif route == f"POST {TASKS}" and answer.status == 200:
                tenants.see_batch_fail(answer.json["taskID"])
    assert not found, "\n".join(found)
    assert tenants.all_of_a() == before, "what is A's is as it was"


def refused(answer, code: str) -> bool:
    body = answer.json
    return answer.status == 403 and (body.get("resultcode") or body.get("error_code")) == code


def all_with(tenants, headers: dict[str, str], code: str, query: str = "") -> list[str]:
    """Routes that do not refuse a call with these headers by that code."""
    found = []
    for route in ENTRIES:
        method, path = route.split(" ")
        answer = tenants.b.raw(method, tenants.path(path) + query, None, headers)
        if not refused(answer, code):
            found.append(f"{route}: {answer}")
    return found


def test_no_route_answers_without_the_right_token(tenants):
    before = tenants.all_of_a()
    own, token = tenants.b.app[0], tenants.b.login()
    bearer = {"Authorization": f"Bearer {token}"}
    assert all_with(tenants, {}, "1010005") == []
    assert all_with(tenants, {"app_key": APP_ID}, "1010005") == []
    assert all_with(tenants, {"app_key": APP_ID, "Authorization": "Bearer x"}, "1010005") == []
    assert all_with(tenants, {"app_key": APP_ID, **bearer}, "1010005") == [], "the key of A, the token of B"
    assert all_with(tenants, {"app_key": own, **bearer}, "100217", f"?appId={APP_ID}") == []
    assert all_with(tenants, {"app_key": own, **bearer}, "100217", f"?APPID={APP_ID}") == []
    assert tenants.b.raw("POST", f"{TOKENS}/logout", json.dumps({"accessToken": token}).encode()).status == 204
    assert all_with(tenants, {"app_key": own, **bearer}, "1010005") == [], "after the logout"
    assert tenants.all_of_a() == before


@pytest.mark.settings(auth_access_token_secs=2)
def test_no_route_answers_once_the_token_is_over(world):
    made = world.admin.call("POST", "/apps", {"id": "other-app"})
    b = NA(world.server, app=(made["id"], made["secret"]))
    headers = {"app_key": b.app[0], "Authorization": f"Bearer {b.login()}"}
    until(lambda: refused(b.raw("GET", DEVICES, None, headers), "1010005"), what="the end of the token")
    for route in ENTRIES:
        method, path = route.split(" ")
        assert refused(b.raw(method, re.sub(r"\{\w+\}", "x", path), None, headers), "1010005"), route


def test_the_tokens_of_one_are_not_renewed_by_the_other(tenants):
    form = urlencode({"appId": APP_ID, "secret": tenants.a.app[1]}).encode()
    refresh = tenants.a.raw("POST", LOGIN, form).json["refreshToken"]
    own, secret = tenants.b.app
    body = {"appId": own, "secret": secret, "refreshToken": refresh}
    answer = tenants.b.raw("POST", f"{TOKENS}/refreshToken", json.dumps(body).encode())
    assert (answer.status, answer.error) == (401, "100208"), answer


def test_a_key_of_one_is_not_the_others(tenants):
    def keyed(na: NA, device_id: str):
        body = json.dumps({"deviceId": device_id, "command": COMMAND}).encode()
        return na.raw("POST", COMMANDS, body, {**na.headers(), "Idempotency-Key": "k"})

    first = keyed(tenants.a, tenants.names["device"])
    second = keyed(tenants.b, tenants.names["own_device"])
    assert (first.status, second.status) == (201, 201), second
    assert second.headers["Idempotent-Replayed"] is None and first.json["commandId"] != second.json["commandId"]


def test_what_devices_do_is_told_to_their_own_application(tenants):
    other = Receiver()
    try:
        names = {**tenants.names, "callback": other.url}
        for kind in ("deviceAdded", "deviceDeleted"):
            assert tenants.b.call("POST", SUBSCRIPTIONS, filled({**SUBSCRIBE, "notifyType": kind}, names)).status == 201
        of_a, of_b = tenants.a.register().device_id, tenants.b.register().device_id
        until(lambda: any(of_a in push.body.decode() for push in tenants.world.receiver.requests()), what="A's notice")
        until(lambda: any(of_b in push.body.decode() for push in other.requests()), what="B's notice")
        assert all(of_a not in push.body.decode() for push in other.requests())
        assert all(of_b not in push.body.decode() for push in tenants.world.receiver.requests())
    finally:
        other.close()


def test_the_methods_read_from_the_source_are_those_of_the_router(world):
    """So that what reads the source is known to read all of it: what it did not find is refused as no method of the path."""
    there = set(northbound_routes())
    for path in sorted({path for _, path in there}):
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            connection = http.client.HTTPConnection(*world.server.address("northbound-plain"), timeout=20)
            connection.request(method, re.sub(r"\{\w+\}", "x", path))
            allowed = connection.getresponse().status != 405
            connection.close()
            assert allowed == ((method, path) in there), f"{method} {path}"
