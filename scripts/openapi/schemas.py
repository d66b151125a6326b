"""What bodies, parameters and headers look like. Members stand in the order of the wire; limits are the server's."""

TIME_PATTERN = "^[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]Z$"
# Texts of requests have no control characters.
PLAIN = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"
URL_PATTERN = r"^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}/"
NOTICES = [
    "deviceAdded", "bindDevice", "deviceInfoChanged", "deviceDataChanged", "deviceDatasChanged", "deviceDeleted", "deviceEvent",
    "messageConfirm", "commandRsp", "pushGivenUp", "ruleEvent", "deviceDesiredPropertiesModifyStatusChanged",
    "serviceInfoChanged", "deviceModelAdded", "deviceModelDeleted", "deviceCapabilitiesAdded", "deviceCapabilitiesChanged",
    "deviceCapabilitiesDeleted",
]  # fmt: skip
UPGRADES = ["swUpgradeStateChangeNotify", "swUpgradeResultNotify", "fwUpgradeStateChangeNotify", "fwUpgradeResultNotify"]
MAX_SECS = 2147483647
COMMAND_STATES = ["PENDING", "EXPIRED", "SENT", "DELIVERED", "SUCCESSFUL", "FAILED", "TIMEOUT", "CANCELED"]
BATCH_STATES = ["Pending", "Running", "Complete", "Timeout"]
SUBTASK_STATES = ["Pending", "WaitResult", "Success", "Fail", "Timeout"]
TASK_STATES = ["WAITTING", "RUNNING", "SUCCESS", "PART_SUCCESS", "FAILED"]


def text(most: int | None = None, least: int | None = None, **more) -> dict:
    limits = {name: value for name, value in (("minLength", least), ("maxLength", most)) if value is not None}
    return {"type": "string", **limits, **more}


def plain(most: int, least: int | None = None, **more) -> dict:
    """A text of a request."""
    return text(most, least, **{"pattern": PLAIN, **more})


def integer(most: int | None = None, least: int = 0, **more) -> dict:
    return {"type": "integer", "minimum": least, **({} if most is None else {"maximum": most}), **more}


def array(items: dict, most: int | None = None) -> dict:
    return {"type": "array", "items": items, **({} if most is None else {"maxItems": most})}


def object_of(members: dict, optional: tuple[str, ...] = (), **more) -> dict:
    """An object whose members are all required but these."""
    required = [name for name in members if name not in optional]
    return {"type": "object", **({"required": required} if required else {}), "properties": members, **more}


def asked(members: dict, required: tuple[str, ...] = ()) -> dict:
    """What a request may have: optional but for these."""
    return object_of(members, tuple(name for name in members if name not in required))


def ref(name: str) -> dict:
    return {"$ref": f"#/components/schemas/{name}"}


def or_null(schema: dict) -> dict:
    return {**schema, "type": [schema["type"], "null"]}


TIME = text(pattern=TIME_PATTERN)
ISO_TIME = text(description="With milliseconds, RFC 3339")
ANY_OBJECT: dict = {"type": "object"}
FLAG = text(enum=["TRUE", "FALSE"])
BOOLEAN: dict = {"type": "boolean"}
CALLBACK = plain(1024, pattern=URL_PATTERN, description="http or https, a host, an explicit port, a path or `/`")
PSK = text(32, 8, pattern="^[0-9a-fA-F]+$")
PAGE_COUNTS = {"totalCount": integer(), "pageNo": integer(), "pageSize": integer()}

# What an application may say of a device, and how long it may be.
SAID_OF_DEVICES = {
    "name": 256, "description": 2048, "manufacturerId": 256, "manufacturerName": 256, "mac": 256, "location": 1024,
    "deviceType": 256, "model": 256, "swVersion": 256, "fwVersion": 256, "hwVersion": 256, "protocolType": 256,
    "bridgeId": 256, "serialNumber": 256, "sigVersion": 256, "imsi": 64, "ip": 256, "endUser": 256, "endUserId": 256,
    "organization": 256, "region": 256, "timezone": 256, "productId": 256,
}  # fmt: skip
DEVICE_CONFIG = asked({"dataConfig": asked({"dataAgingTime": integer(90, description="Days")})})
LABEL = {"type": ["string", "number", "boolean", "null"], "maxLength": 256, "pattern": PLAIN}
CUSTOM_FIELDS = array(asked({"fieldName": LABEL, "fieldType": LABEL, "fieldValue": LABEL}), 100)
TAG_LIST = array(asked({"tagName": LABEL, "tagValue": LABEL, "tagType": LABEL}), 100)
SAID = {
    **{name: plain(most) for name, most in SAID_OF_DEVICES.items()},
    "isSecure": BOOLEAN,
    "mute": {**FLAG, "description": "TRUE: what it reports is neither kept nor told"},
    "deviceConfig": DEVICE_CONFIG,
    "customFields": CUSTOM_FIELDS,
    "tags": TAG_LIST,
}
NODE = {"nodeId": plain(256, 1)}

NULLABLE = or_null(text())
SHOWN_ALWAYS = {
    "nodeId": text(), "name": NULLABLE, "description": NULLABLE, "manufacturerId": NULLABLE, "manufacturerName": NULLABLE,
    "mac": NULLABLE, "location": NULLABLE, "deviceType": NULLABLE, "model": NULLABLE, "swVersion": NULLABLE,
    "fwVersion": NULLABLE, "hwVersion": NULLABLE, "protocolType": NULLABLE, "bridgeId": NULLABLE,
    "status": text(enum=["ONLINE", "OFFLINE", "ABNORMAL"]), "statusDetail": text(enum=["NONE", "NOT_ACTIVE"]), "mute": FLAG,
    "supportedSecurity": NULLABLE, "isSecurity": FLAG, "signalStrength": NULLABLE, "sigVersion": NULLABLE,
    "serialNumber": NULLABLE, "batteryLevel": NULLABLE,
}  # fmt: skip
LABEL_SHOWN = or_null(text())
SHOWN_IF_SAID = {
    **{name: text() for name in ("imsi", "ip", "productId", "endUser", "endUserId", "organization", "region", "timezone")},
    "deviceConfig": DEVICE_CONFIG,
    "customFields": array(object_of(dict.fromkeys(("fieldName", "fieldType", "fieldValue"), LABEL_SHOWN))),
    "tags": array(object_of(dict.fromkeys(("tagName", "tagValue", "tagType"), LABEL_SHOWN), ("tagType",))),
}
DEVICE = {
    "deviceId": text(), "gatewayId": text(), "nodeType": text(enum=["ENDPOINT", "GATEWAY", "UNKNOW"]), "createTime": TIME,
    "lastModifiedTime": TIME, "deviceInfo": ref("DeviceInfo"), "services": array(ref("DeviceService")),
}  # fmt: skip

BOUND = {"type": ["number", "string"]}
BOUNDS = {"min": BOUND, "max": BOUND, "step": BOUND, "maxLength": BOUND}
PARA_REST = {"dataType": text(), "required": BOOLEAN, **BOUNDS, "unit": text(), "enumList": array({})}
COMMAND_OPTIONAL = ("callbackUrl", "result", "executeTime", "platformIssuedTime", "deliveredTime", "maxRetransmit")

BATCH_PARAM_SHOWN = {
    "type": text(enum=["DeviceList", "DeviceType", "DeviceArea", "GroupList", "GroupIdList", "Broadcast"]), "deviceType": text(),
    "manufacturerId": text(), "model": text(), "deviceLocation": text(), "groupList": array(text()),
    "command": object_of({"serviceId": text(), "method": text(), "paras": or_null(ANY_OBJECT)}),
    "callbackUrl": text(), "maxRetransmit": integer(3),
}  # fmt: skip
BATCH_PARAM_OPTIONAL = ("deviceType", "manufacturerId", "model", "deviceLocation", "groupList", "callbackUrl", "maxRetransmit")

DEVICE_GROUP = {
    "name": text(), "description": NULLABLE, "id": text(pattern="^[0-9a-f]{32}$"), "appId": text(), "maxDevNum": integer(),
    "curDevNum": integer(), "creator": text(),
}  # fmt: skip

SCHEMAS = {
    "Tokens": object_of({
        "scope": text(enum=["default"]), "tokenType": text(enum=["bearer"]), "expiresIn": integer(description="Seconds"),
        "accessToken": text(), "refreshToken": text(),
    }),
    "RegisteredByCode": object_of({"deviceId": text(), "verifyCode": text(), "timeout": integer(MAX_SECS), "psk": text()}),
    "RegisteredBySecret": object_of({"deviceId": text(), "secret": text(), "psk": text()}),
    "RefreshedKey": object_of({"verifyCode": text(), "timeout": integer(MAX_SECS)}),
    "Activation": object_of({"deviceId": text(), "activated": BOOLEAN, "name": NULLABLE}),
    "DeviceInfo": object_of({**SHOWN_ALWAYS, **SHOWN_IF_SAID}, tuple(SHOWN_IF_SAID)),
    "DeviceService": object_of({
        "serviceId": text(), "serviceType": text(), "serviceInfo": object_of({"muteCmds": array(text())}),
        "data": ANY_OBJECT, "eventTime": or_null(TIME),
    }),
    "Device": object_of(DEVICE),
    "DevicePage": object_of({**PAGE_COUNTS, "devices": array(ref("Device"))}),
    "DeviceBefore": object_of({**DEVICE, "creationTime": TIME}),
    "DevicePageBefore": object_of({**PAGE_COUNTS, "devices": array(ref("DeviceBefore"))}),
    "DataPage": object_of({**PAGE_COUNTS, "deviceDataHistoryDTOs": array(object_of({
        "serviceId": text(), "deviceId": text(), "gatewayId": text(), "appId": text(), "data": ANY_OBJECT, "timestamp": TIME,
    }))}),
    "Shadow": object_of({**DEVICE, "services": array(object_of({
        "serviceId": text(), "serviceType": text(), "reportedProps": ANY_OBJECT, "desiredProps": ANY_OBJECT, "eventTime": or_null(TIME),
    }))}),
    "Nothing": object_of({}),
    "DesiredPage": object_of({**PAGE_COUNTS, "deviceDesiredHistory": array(object_of({
        "serviceId": text(), "deviceId": text(), "gatewayId": text(), "appId": text(), "desired": ANY_OBJECT,
        "status": text(enum=["PENDING", "DELIVERED", "FAILED"]), "timestamp": TIME,
    }))}),
    "Para": object_of({"paraName": text(), **PARA_REST}, (*BOUNDS, "unit", "enumList")),
    "Property": object_of({"propertyName": text(), "method": text(), **PARA_REST}, (*BOUNDS, "method", "unit", "enumList")),
    "Capabilities": object_of({"deviceCapabilities": array(object_of({
        "deviceId": text(),
        "serviceCapabilities": array(object_of({
            "serviceId": text(), "serviceType": text(), "option": text(), "description": text(),
            "commands": array(object_of({
                "commandName": text(), "paras": array(ref("Para")),
                "responses": array(object_of({"responseName": text(), "paras": array(ref("Para"))})),
            })),
            "properties": array(ref("Property")),
        }, ("option", "description"))),
    }))}),
    "Command": object_of({
        "commandId": text(pattern="^[0-9a-f]{32}$"), "appId": text(), "deviceId": text(),
        "command": object_of({"serviceId": text(), "method": text(), "paras": or_null(ANY_OBJECT)}),
        "callbackUrl": text(), "expireTime": integer(), "status": text(enum=COMMAND_STATES),
        "result": object_of({"resultCode": text(enum=["SUCCESSFUL", "FAILED"]), "resultDetail": ANY_OBJECT}, ("resultDetail",)),
        "creationTime": TIME, "executeTime": TIME, "platformIssuedTime": TIME, "deliveredTime": TIME, "issuedTimes": integer(),
        "maxRetransmit": integer(3),
    }, COMMAND_OPTIONAL),
    "Pagination": object_of({"pageNo": integer(), "pageSize": integer(), "totalSize": integer()}),
    "CommandPage": object_of({"pagination": ref("Pagination"), "data": array(ref("Command"))}),
    "CommandHistory": object_of({"command": ref("Command"), "events": array(object_of(
        {"seq": integer(least=1), "status": text(enum=COMMAND_STATES), "at": ISO_TIME, "detail": text()}, ("detail",)
    ))}),
    "CancelTask": object_of({
        "taskId": text(pattern="^[0-9a-f]{32}$"), "appId": text(), "deviceId": text(), "status": text(enum=TASK_STATES),
        "totalCount": integer(), "deviceCommands": array(ref("Command")),
    }),
    "CancelTaskPage": object_of({"pagination": ref("Pagination"), "data": array(ref("CancelTask"))}),
    "BatchTaskCreated": object_of({"taskID": text(pattern="^[0-9a-f]{32}$"), "taskId": text(pattern="^[0-9a-f]{32}$")}),
    "BatchTask": object_of({
        "taskId": text(pattern="^[0-9a-f]{32}$"), "taskName": text(), "appId": text(), "operator": text(),
        "taskFrom": text(enum=["Northbound"]), "taskType": text(enum=["DeviceCmd"]), "status": text(enum=BATCH_STATES),
        "startTime": TIME, "timeout": integer(description="Minutes"), "progress": integer(1000),
        **{f"{name}Cnt": integer() for name in ("total", "success", "fail", "timeout", "expired", "complete")},
        "successRate": integer(1000), "param": object_of(BATCH_PARAM_SHOWN, BATCH_PARAM_OPTIONAL),
        "tags": array(object_of({"tagName": text(), "tagValue": text()})),
    }, ("tags",)),
    "SubtaskPage": object_of({"pageNo": integer(), "pageSize": integer(), "totalCount": integer(), "taskDetails": array(object_of({
        "status": text(enum=SUBTASK_STATES), "output": text(), "error": text(),
        "param": object_of({"deviceId": text(), "commandId": text(pattern="^[0-9a-f]{32}$")}, ("commandId",)),
    }, ("output", "error")))}),
    "DeviceGroup": object_of(DEVICE_GROUP),
    "DeviceGroupMade": object_of({**DEVICE_GROUP, "deviceIds": array(text())}),
    "DeviceGroupPage": object_of({**PAGE_COUNTS, "list": array(ref("DeviceGroup"))}),
    "GroupMemberPage": object_of({**PAGE_COUNTS, "deviceIds": array(text())}),
    "GroupDevices": object_of({"devGroupId": text(), "deviceIds": array(text())}),
    "Invoked": object_of({"requestId": text(), "status": text(enum=["sent"]), "timestamp": TIME, "timeStamp": TIME}),
    "Subscription": object_of({"subscriptionId": text(), "notifyType": text(), "callbackUrl": text()}),
    "SubscriptionPage": object_of({**PAGE_COUNTS, "subscriptions": array(ref("Subscription"))}),
    "FeedPage": object_of({
        "items": array(object_of({
            "cursor": text(), "webhookId": text(), "commandId": text(), "deviceId": text(), "sequence": integer(least=1),
            "status": text(enum=COMMAND_STATES), "at": ISO_TIME, "resultDetail": or_null(ANY_OBJECT),
        })),
        "nextCursor": text(), "more": BOOLEAN,
    }),
}  # fmt: skip

HEADERS = {
    "Retry-After": {"description": "In how many seconds it is worth trying again", "schema": integer(least=0)},
    "Idempotent-Replayed": {"description": "`true`: nothing was made; this is the first answer", "schema": text(enum=["true"])},
}

_ID = text(least=1)
_TIME = {"schema": TIME, "example": "20260102T030405Z"}
# By name on the wire; where a name means several things, one of them after a colon.
PARAMETERS = {
    "deviceId": {"schema": _ID, "example": "0d0c1f7e-5b4a-4d3c-9b2a-1c0d9e8f7a6b"},
    "gatewayId": {"schema": _ID, "description": "The device by which others are connected"},
    "serviceId": {"schema": plain(64, 1), "example": "Lamp"},
    "commandId": {"schema": _ID, "example": "0199123456787abc800017ffffffffff"},
    "subscriptionId": {"schema": _ID, "example": "7c9e6679-7425-40de-944b-e07fc1f90ae7"},
    "taskId": {"schema": _ID},
    "appId": {"schema": text(), "description": "Of the owner. Another application than that of the token is 100217 unless the operator authorised the caller"},
    "accessAppId": {"schema": text(), "description": "Another word for appId"},
    "devGroupId": {"schema": _ID},
    "devGroupId:query": {"schema": _ID, "required": True},
    "name:group": {"schema": text(50)},
    "pageNo": {"schema": integer(MAX_SECS), "description": "From 0", "example": 0},
    **{f"pageSize:{most}": {"schema": integer(most, 1), "example": 10} for most in (250, 1000, 2000)},
    "startTime": {**_TIME, "example": "20200102T030405Z"},
    "endTime": {**_TIME, "example": "20990102T030405Z", "description": "To the end of its second"},
    "select": {"schema": text(), "description": "`imsi`: shows the IMSI", "example": "imsi"},
    "cascade": {"schema": text(enum=["true", "false"]), "description": "Also what is connected by it"},
    "nodeType": {"schema": text(enum=["ENDPOINT", "GATEWAY", "UNKNOW"])},
    "deviceType": {"schema": text(256)},
    "location": {"schema": text(1024)},
    "name": {"schema": text(256)},
    "status:device": {"schema": text(enum=["ONLINE", "OFFLINE", "INACTIVE", "ABNORMAL"])},
    "select:tag": {"schema": text(), "description": "`tag`: shows the tags", "example": "tag"},
    "taskId:batch": {"schema": _ID, "required": True, "description": "Of a batch task"},
    "status:subtask": {"schema": text(enum=SUBTASK_STATES)},
    "status:task": {"schema": text(enum=TASK_STATES)},
    "sort": {"schema": text(enum=["ASC", "DESC"]), "description": "By registration; DESC", "example": "ASC"},
    "property": {"schema": text(), "description": "Reports that have this property"},
    "notifyType": {"schema": text(enum=NOTICES + UPGRADES)},
    "callbackUrl": {"schema": CALLBACK},
    "channel": {"schema": text(32)},
    "ownerFlag": {"schema": text(enum=["true", "false"]), "description": "Is not read: the callback is of the application in whose name is called"},
    "cursor": {"schema": text(), "description": "What a page called `nextCursor`; none: the oldest; `head`: the end", "example": "head"},
    "limit": {"schema": integer(4294967295, least=1), "example": 10},
    "Idempotency-Key": {"schema": text(255, 1, pattern="^[!-~]+$"), "description": "The call is made once, however often it is repeated"},
    "Last-Event-ID": {"schema": text(pattern="^[!-~]*$"), "description": "The newer word for `cursor`"},
}
