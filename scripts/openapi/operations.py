"""What can be called: method, path, request, answer, and the errors that are this operation's own."""

from dataclasses import dataclass, field

from schemas import (
    ANY_OBJECT, BOOLEAN, CALLBACK, MAX_SECS, NODE, NOTICES, PSK, SAID, UPGRADES, array, asked, integer, object_of, plain, ref, text,
)  # fmt: skip

TAGS = [
    {"name": "tokens", "description": "An application's secret for tokens"},
    {"name": "devices", "description": "Registering, looking at and changing devices"},
    {"name": "data", "description": "What devices reported and can do"},
    {"name": "commands", "description": "Device commands and their cancel tasks"},
    {"name": "batch", "description": "One command for many devices"},
    {"name": "groups", "description": "Devices under a name"},
    {"name": "subscriptions", "description": "What is told to the application, and where"},
    {"name": "feed", "description": "All changes of commands in one order; an extension"},
]


@dataclass
class Operation:
    """`query` and `headers` name entries of PARAMETERS; `codes` leaves out what every operation may answer."""

    tag: str
    id: str
    method: str
    path: str
    summary: str
    told: str
    answer: dict | None = None
    status: int = 200
    codes: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    body: dict | None = None
    example: dict = field(default_factory=dict)
    more: str = ""
    answer_type: str = "application/json"
    answer_headers: tuple[str, ...] = ()
    token: bool = True
    form: bool = False
    body_required: bool = True
    empty_json: bool = False
    old: bool = False

    def __post_init__(self):
        if self.body:
            self.codes = ("100022", *self.codes)
        if self.token:
            self.query = (*self.query, "appId")


PAGES = ("pageNo", "startTime", "endTime")
DEVICE_FILTERS = (
    "gatewayId", "nodeType", "deviceType", "location", "name", "status:device", "sort", "select", "pageSize:250", *PAGES,
)  # fmt: skip
NOT_KNOWN = ("100403",)
REGISTERING = ("100403", "100203", "100412", "100426")
CREATING = ("100222", "100223", "100227", "100418", "100428", "100431", "100432", "100612")

ID = plain(256, 1)
APP = {"appId": ID, "secret": ID}
TIMEOUT = integer(MAX_SECS, description="Seconds until the registration lapses; 0: never")
INFO = asked(SAID)
BY_CODE = {"nodeId": ID, "verifyCode": ID, "timeout": TIMEOUT, "psk": PSK, "deviceName": plain(256), "gatewayId": plain(256)}
SECRET = text(64, 8, pattern="^[A-Za-z0-9_-]+$")
BY_SECRET = {"timeout": TIMEOUT, "mqttConnect": BOOLEAN, "secret": SECRET, "gatewayId": plain(256)}
KEY = asked({"verifyCode": ID, "nodeId": ID, "timeout": TIMEOUT})
MUTE = object_of({"serviceInfo": object_of({"muteCmds": array(plain(128, 1), 500)})})
DESIRED = object_of({"serviceDesireds": {
    **array(object_of({"serviceId": plain(64, 1), "desired": {**ANY_OBJECT, "minProperties": 1}}), 100), "minItems": 1,
}})
COMMAND = object_of({"serviceId": plain(64, 1), "method": plain(128, 1), "paras": ANY_OBJECT})
CREATE = {
    "command": COMMAND,
    "callbackUrl": CALLBACK,
    "expireTime": integer(MAX_SECS, description="Seconds; 0: now or not at all; at most 30 days count"),
    "maxRetransmit": integer(3),
}
ONE_COMMAND = {"command": {"serviceId": "Lamp", "method": "SWITCH", "paras": {"value": 1}}, "expireTime": 3600}
INVOKE = asked(
    {
        "header": asked({"mode": text(enum=["ACK", "NOACK"]), "method": plain(128, 1), "requestId": plain(128)}, ("method",)),
        "body": ANY_OBJECT,
    },
    ("header",),
)
SUBSCRIBE = asked({"notifyType": text(enum=NOTICES + UPGRADES), "callbackUrl": CALLBACK, "channel": text(enum=["HTTP"])}, ("notifyType", "callbackUrl"))
SUBSCRIBE_BEFORE = object_of({"notifyType": text(enum=NOTICES + UPGRADES), "callbackurl": CALLBACK})
SUBSCRIBE_TO_UPGRADES = object_of({"notifyType": text(enum=UPGRADES), "callbackurl": CALLBACK})
EMPTY = "No body, but a Content-Type: old SDKs fail without"
URL = "http://127.0.0.1:9000/pushes"
DEVICE = "0d0c1f7e-5b4a-4d3c-9b2a-1c0d9e8f7a6b"


def tokens() -> list[Operation]:
    wrong = ("100022", "100208", "102202")
    base = "/iocm/app/sec/v1.1.0"
    secret = {"appId": "meters", "secret": "secret-of-the-application"}
    common = {"token": False, "codes": wrong, "answer": ref("Tokens")}
    return [
        Operation("tokens", "login", "post", f"{base}/login", "Log in", "A pair of tokens", body=asked(APP, tuple(APP)),
                  example=secret, form=True, **common),
        Operation("tokens", "refreshToken", "post", f"{base}/refreshToken", "Another pair of tokens", "A new pair; the old one stays good to its end",
                  body=asked({**APP, "refreshToken": ID}, (*APP, "refreshToken")), example={**secret, "refreshToken": "9ab1"}, **common),
        Operation("tokens", "logout", "post", f"{base}/logout", "End a token", "Ended, or it was over already", status=204,
                  token=False, codes=("102202",), body=object_of({"accessToken": ID}), example={"accessToken": "4f0c"}),
    ]  # fmt: skip


def registering() -> list[Operation]:
    made: list[Operation] = []
    base = "/iocm/app/reg"
    code = asked({**BY_CODE, "deviceInfo": INFO, **SAID}, ("nodeId",))
    for version, path, old in [("", "v1.1.0/deviceCredentials", False), ("V110", "v1.1.0/devices", True), ("V120", "v1.2.0/devices", True)]:
        common = {"old": old}
        made += [
            Operation("devices", f"registerByCode{version}", "post", f"{base}/{path}", "Register a device", "Registered",
                      ref("RegisteredByCode"), codes=REGISTERING, body=code, example={"nodeId": "861000000000017", "timeout": 0}, **common),
            Operation("devices", f"activation{version}", "get", f"{base}/{path}/{{deviceId}}", "Whether a device ever connected", "It did, or not",
                      ref("Activation"), codes=NOT_KNOWN, **common),
            Operation("devices", f"refreshKey{version}", "put", f"{base}/{path}/{{deviceId}}", "Another verification code", "The code",
                      ref("RefreshedKey"), codes=("100403", "100426", "100610", "100611"), body=KEY, body_required=False,
                      example={"timeout": 0}, **common),
        ]  # fmt: skip
    secret = asked({"deviceInfo": asked({**NODE, **SAID}, ("nodeId",)), **BY_SECRET, **SAID}, ("deviceInfo",))
    made.append(
        Operation("devices", "registerBySecret", "post", f"{base}/v2.0.0/deviceCredentials", "Register a device of MQTT", "Registered",
                  ref("RegisteredBySecret"), codes=REGISTERING, body=secret,
                  example={"deviceInfo": {"nodeId": "lamp-17", "deviceType": "Lamp", "model": "L1"}, "mqttConnect": True})
    )  # fmt: skip
    return made


def managing() -> list[Operation]:
    made: list[Operation] = []
    change = asked({"psk": PSK, "deviceInfo": INFO, **SAID})
    for version, path in [("", "v1.4.0"), ("V110", "v1.1.0"), ("V120", "v1.2.0"), ("V130", "v1.3.0")]:
        base, before, old = f"/iocm/app/dm/{path}/devices", "Before" if version else "", bool(version)
        one = base + "/{deviceId}"
        made += [
            Operation("devices", f"listDevices{version}", "get", base, "Devices, a page at a time", "A page", ref(f"DevicePage{before}"),
                      codes=("100022",), query=DEVICE_FILTERS, old=old),
            Operation("devices", f"oneDevice{version}", "get", one, "One device", "The device", ref(f"Device{before}"), codes=NOT_KNOWN,
                      query=("select",), old=old),
            Operation("devices", f"modifyDevice{version}", "put", one, "Change a device", "Changed", status=204, codes=NOT_KNOWN, body=change,
                      example={"name": "Lamp 17", "tags": [{"tagName": "floor", "tagValue": "3"}]}, old=old),
            Operation("devices", f"removeDevice{version}", "delete", one, "Remove a device", "Removed", status=204,
                      codes=("100022", "100403"), query=("cascade",), old=old),
        ]  # fmt: skip
        if old:
            made.append(
                Operation("devices", f"muteCommands{version}", "put", one + "/services/{serviceId}", "Mute commands of a service", "Muted",
                          status=204, codes=NOT_KNOWN, body=MUTE, example={"serviceInfo": {"muteCmds": ["BLINK"]}})
            )  # fmt: skip
    return made


def data() -> list[Operation]:
    made: list[Operation] = []
    for version, history_is_old in [("v1.2.0", False), ("v1.1.0", True)]:
        base = f"/iocm/app/data/{version}"
        suffix = version.replace(".", "").upper()
        named = ("100418", "100419")
        made += [
            Operation("data", f"deviceDataHistory{suffix}", "get", f"{base}/deviceDataHistory", "What a device reported", "A page, newest first",
                      ref("DataPage"), codes=(*named, "100216"), old=history_is_old,
                      query=("deviceId", "gatewayId", "serviceId", "property", "pageSize:2000", *PAGES)),
            Operation("data", f"deviceCapabilities{suffix}", "get", f"{base}/deviceCapabilities", "What a device can do",
                      "The profile of its product, or none", ref("Capabilities"), codes=named, query=("deviceId", "gatewayId"),
                      old=not history_is_old),
        ]  # fmt: skip
    return made


def shadows() -> list[Operation]:
    base = "/iocm/app/shadow/v1.5.0"
    one = f"{base}/devices/{{deviceId}}"
    lux = {"serviceDesireds": [{"serviceId": "Lamp", "desired": {"lux": 1}}]}
    return [
        Operation("data", "oneShadow", "get", one, "What a device's properties are, and shall be", "As last reported, and as desired",
                  ref("Shadow"), codes=NOT_KNOWN, query=("select",)),
        Operation("data", "desireProperties", "put", one, "Say what a device's properties shall be",
                  "It is on disk, and goes to the device when that can be written to", ref("Nothing"),
                  codes=("100403", "100223", "100418", "100431"), body=DESIRED, example=lux),
        Operation("data", "desiredHistory", "get", f"{base}/deviceDesiredHistory", "What a device's properties were to be", "A page, newest first",
                  ref("DesiredPage"), codes=("100418", "100419", "100216"),
                  query=("deviceId", "gatewayId", "serviceId", "property", "pageSize:2000", *PAGES)),
    ]  # fmt: skip


def commands() -> list[Operation]:
    base = "/iocm/app/cmd/v1.4.0"
    made_once = {"headers": ("Idempotency-Key",), "answer_headers": ("Idempotent-Replayed",), "codes": CREATING}
    create = asked({"deviceId": plain(64, 1), **CREATE}, ("deviceId", "command"))
    unknown = ("100434",)
    return [
        Operation("commands", "createCommand", "post", f"{base}/deviceCommands", "Create a command", "It is on disk", ref("Command"), 201,
                  body=create, example={"deviceId": DEVICE, **ONE_COMMAND}, **made_once),
        Operation("commands", "listCommands", "get", f"{base}/deviceCommands", "Commands, a page at a time", "A page, newest first",
                  ref("CommandPage"), codes=("100022", "100418"), query=("deviceId", "pageSize:1000", *PAGES)),
        Operation("commands", "oneCommand", "get", f"{base}/deviceCommands/{{commandId}}", "One command", "The command", ref("Command"),
                  codes=unknown),
        Operation("commands", "cancelCommand", "put", f"{base}/deviceCommands/{{commandId}}", "Cancel a command", "The command",
                  ref("Command"), codes=(*unknown, "100435"), body=object_of({"status": text(enum=["CANCELED"])}), example={"status": "CANCELED"}),
        Operation("commands", "createCancelTask", "post", f"{base}/deviceCommandCancelTasks", "Cancel all that waits for a device",
                  "The task, on disk", ref("CancelTask"), 201, codes=("100418",), body=object_of({"deviceId": plain(64, 1)}),
                  example={"deviceId": DEVICE}),
        Operation("commands", "listCancelTasks", "get", f"{base}/deviceCommandCancelTasks", "Cancel tasks, a page at a time",
                  "A page, newest first", ref("CancelTaskPage"), codes=("100022", "100418"),
                  query=("taskId", "deviceId", "status:task", "pageSize:1000", *PAGES)),
        Operation("commands", "createCommandBefore", "post", "/iocm/app/cmd/v1.2.0/devices/{deviceId}/commands", "Create a command",
                  "It is on disk", ref("Command"), body=asked(CREATE, ("command",)), example=ONE_COMMAND, old=True, **made_once),
        Operation("commands", "sendCommand", "post", "/iocm/app/signaltrans/v1.1.0/devices/{deviceId}/services/{serviceId}/sendCommand",
                  "Invoke a service now", "Sent", ref("Invoked"), 202, codes=("100418", "100428", "100431", "100432", "100612"),
                  body=INVOKE, example={"header": {"mode": "ACK", "method": "SWITCH", "requestId": "call-7"}, "body": {"value": 1}}),
        Operation("commands", "commandHistory", "get", "/downlink/v1/commands/{commandId}", "All that happened to a command",
                  "The command and its events", ref("CommandHistory"), codes=unknown, more="An extension."),
    ]  # fmt: skip


BATCH_PARAM = asked(
    {
        "type": text(enum=["DeviceList", "DeviceType", "DeviceArea", "GroupList", "GroupIdList", "Broadcast"]),
        "deviceList": array(plain(64, 1), 100000),
        **{name: plain(256, 1) for name in ("deviceType", "manufacturerId", "model", "deviceLocation")},
        "groupList": array(plain(64, 1), 100),
        "command": COMMAND,
        "callbackUrl": CALLBACK,
        "maxRetransmit": integer(3),
    },
    ("type", "command"),
)
BATCH = asked(
    {
        "appId": plain(64),
        "taskName": plain(256, 1),
        "taskType": text(enum=["DeviceCmd"]),
        "timeout": integer(2880, 10, description="Minutes"),
        "param": BATCH_PARAM,
        "tags": array(object_of({"tagName": plain(256), "tagValue": plain(256)}), 100),
    },
    ("taskName", "taskType", "timeout", "param"),
)
ONE_BATCH = {
    "taskName": "all lamps on",
    "taskType": "DeviceCmd",
    "timeout": 60,
    "param": {"type": "DeviceList", "deviceList": [DEVICE], "command": ONE_COMMAND["command"]},
    "tags": [{"tagName": "floor", "tagValue": "3"}],
}


def batch_tasks() -> list[Operation]:
    base = "/iocm/app/batchtask/v1.1.0"
    return [
        Operation("batch", "createBatchTask", "post", f"{base}/tasks", "One command for many devices", "The task, on disk",
                  ref("BatchTaskCreated"), codes=("100222", "100603", "105001", "105002"), body=BATCH, example=ONE_BATCH),
        Operation("batch", "oneBatchTask", "get", f"{base}/tasks/{{taskId}}", "One batch task", "The task and its counts", ref("BatchTask"),
                  codes=("105005",), query=("select:tag",)),
        Operation("batch", "batchTaskDetails", "get", f"{base}/taskDetails", "Sub-tasks of a batch task, a page at a time", "A page",
                  ref("SubtaskPage"), codes=("100022", "105005"),
                  query=("taskId:batch", "status:subtask", "deviceId", "commandId", "pageNo", "pageSize:250")),
    ]  # fmt: skip


GROUP = {"name": plain(50, 1), "description": plain(1024), "maxDevNum": integer(MAX_SECS, description="0: no limit of its own")}
GROUP_MEMBERS = {"devGroupId": plain(50, 1), "deviceIds": array(plain(64, 1), 1000)}


def device_groups() -> list[Operation]:
    base, devices = "/iocm/app/devgroup/v1.3.0/devGroups", "/iocm/app/dm/v1.1.0/devices"
    one, owner = base + "/{devGroupId}", ("accessAppId",)
    refused = ("100403", "100601", "100602")
    members = {"query": owner, "body": object_of(GROUP_MEMBERS), "example": {"devGroupId": "5b1c", "deviceIds": [DEVICE]}}
    return [
        Operation("groups", "createDeviceGroup", "post", base, "Make a device group", "The group", ref("DeviceGroupMade"), codes=refused,
                  body=asked({**GROUP, "appId": plain(64), "deviceIds": array(plain(64, 1), 1000)}, ("name",)),
                  example={"name": "lamps", "deviceIds": [DEVICE]}),
        Operation("groups", "listDeviceGroups", "get", base, "Device groups", "A page; without pageNo all, up to 1000", ref("DeviceGroupPage"),
                  codes=("100022",), query=("name:group", "pageNo", "pageSize:1000", *owner)),
        Operation("groups", "oneDeviceGroup", "get", one, "One device group", "The group", ref("DeviceGroup"), codes=("100603",), query=owner),
        Operation("groups", "modifyDeviceGroup", "put", one, "Change a device group", "The group", ref("DeviceGroup"),
                  codes=("100601", "100602", "100603"), query=owner, body=asked(GROUP), example={"name": "lights"}),
        Operation("groups", "removeDeviceGroup", "delete", one, "Remove a device group", "Removed; its devices stay", codes=("100603",), query=owner),
        Operation("groups", "deviceGroupMembers", "get", "/iocm/app/dm/v1.2.0/devices/ids", "The devices in a group", "A page",
                  ref("GroupMemberPage"), codes=("100022", "100603"), query=("devGroupId:query", "pageNo", "pageSize:1000", *owner)),
        Operation("groups", "addToDeviceGroup", "post", f"{devices}/addDevGroupTagToDevices", "Put devices into a group", "All of them are in it",
                  ref("GroupDevices"), codes=("100403", "100601", "100603"), **members),
        Operation("groups", "takeFromDeviceGroup", "post", f"{devices}/deleteDevGroupTagFromDevices", "Take devices out of a group",
                  "None of them is in it", codes=("100603",), **members),
    ]  # fmt: skip


def subscriptions() -> list[Operation]:
    base = "/iocm/app/sub/v1.2.0/subscriptions"
    refused = ("100222", "100227", "100203")
    filters = ("notifyType", "callbackUrl", "channel")
    before = {"body": SUBSCRIBE_BEFORE, "empty_json": True, "codes": refused, "old": True}
    old = {"notifyType": "bindDevice", "callbackurl": URL}
    upgrades = {"notifyType": "swUpgradeResultNotify", "callbackurl": URL}
    return [
        Operation("subscriptions", "subscribe", "post", base, "Subscribe to a kind of notice", "The subscription", ref("Subscription"), 201,
                  codes=refused, query=("ownerFlag",), body=SUBSCRIBE, example={"notifyType": "deviceAdded", "callbackUrl": URL}),
        Operation("subscriptions", "listSubscriptions", "get", base, "Subscriptions", "A page; without pageNo all", ref("SubscriptionPage"),
                  codes=("100022",), query=("notifyType", "pageNo", "pageSize:250")),
        Operation("subscriptions", "removeSubscriptions", "delete", base, "End subscriptions", "Ended; without a filter all", status=204,
                  codes=("100022",), query=filters),
        Operation("subscriptions", "oneSubscription", "get", base + "/{subscriptionId}", "One subscription", "The subscription",
                  ref("Subscription"), codes=("100225",)),
        Operation("subscriptions", "removeSubscription", "delete", base + "/{subscriptionId}", "End a subscription", "Ended", status=204,
                  codes=("100225",)),
        Operation("subscriptions", "subscribeV110", "post", "/iocm/app/sub/v1.1.0/subscribe", "Subscribe", EMPTY, status=201, example=old, **before),
        Operation("subscriptions", "subscribeV120", "post", "/iocm/app/sub/v1.2.0/subscribe", "Subscribe", EMPTY, status=201, example=old, **before),
        Operation("subscriptions", "subscribeToUpgrades", "post", "/iodm/app/sub/v1.1.0/subscribe", "Subscribe to what becomes of upgrades",
                  EMPTY, example=upgrades, more="Kept; there are no upgrades to tell of.", **{**before, "old": False, "body": SUBSCRIBE_TO_UPGRADES}),
    ]  # fmt: skip


# `data` is JSON: an item of the feed's pages, or of an `error` the body of an error.
EVENT = object_of({"id": text(), "event": text(enum=["error"]), "data": text()}, ("id", "event", "data"))


def feed() -> list[Operation]:
    refused = ("100022", "900409", "900410")
    return [
        Operation("feed", "pullFeed", "get", "/downlink/v1/feed", "Changes of commands", "A page, oldest first", ref("FeedPage"), codes=refused,
                  query=("cursor", "limit"), more="An extension."),
        Operation("feed", "followFeed", "get", "/downlink/v1/feed/stream", "Follow the changes", "Server-sent events", EVENT, codes=refused,
                  query=("cursor",), headers=("Last-Event-ID",), answer_type="text/event-stream", more="An extension. The answer does not end."),
    ]  # fmt: skip


OPERATIONS = [*tokens(), *registering(), *managing(), *data(), *shadows(), *commands(), *batch_tasks(), *device_groups(), *subscriptions(), *feed()]
