"""Devices: credentials and topics of both families; a paho client; the mosquitto programs."""

import hashlib
import hmac
import json
import queue
import subprocess
import threading
import time

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from kit.na import Credentials

KEEP_ALIVE = 60


def login_of(credentials: Credentials, stamp: str | None = None, sign: int = 0) -> tuple[str, str, str]:
    """Client id, user name and password of a device."""
    stamp = stamp or time.strftime("%Y%m%d%H", time.gmtime())
    password = hmac.new(stamp.encode(), credentials.secret.encode(), hashlib.sha256).hexdigest()
    return f"{credentials.device_id}_0_{sign}_{stamp}", credentials.device_id, password


def legacy_topics(device_id: str) -> tuple[str, str]:
    """Down and up."""
    base = f"/huawei/v1/devices/{device_id}"
    return f"{base}/command/json", f"{base}/data/json"


def legacy_result(mid: int, errcode: int = 0, body: str | None = '{"result":0}') -> str:
    tail = "" if body is None else f',"body":{body}'
    return f'{{"msgType":"deviceRsp","mid":{mid},"errcode":{errcode}{tail}}}'


class PahoDevice:
    """A device on paho. `commands` holds what came down: (topic, payload). Reconnects by itself."""

    def __init__(self, address: tuple[str, int], credentials: Credentials, version: int = 4, subscribe: str | None = ""):
        """`subscribe`: a filter, none, or "" for the command topic of the legacy family."""
        self.credentials = credentials
        self.down, self.up = legacy_topics(credentials.device_id)
        self.filter = self.down if subscribe == "" else subscribe
        self.commands: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.ready = threading.Event()
        self.connects: list[int] = []
        client_id, user, password = login_of(credentials)
        protocol = MQTTProtocolVersion.MQTTv5 if version == 5 else MQTTProtocolVersion.MQTTv311
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=protocol)
        self.client.username_pw_set(user, password)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._connected
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_message = lambda _client, _data, message: self._came(message)
        self.address = address

    def start(self) -> "PahoDevice":
        self.client.connect(*self.address, keepalive=KEEP_ALIVE)
        self.client.loop_start()
        assert self.ready.wait(20), "not connected and subscribed"
        return self

    def _connected(self, client, _data, _flags, reason, _properties):
        self.connects.append(reason.value)
        if self.filter:
            client.subscribe(self.filter, qos=1)
        elif not reason.is_failure:
            self.ready.set()

    def _came(self, message) -> None:
        self.commands.put((message.topic, message.payload))

    def next_command(self, timeout: float = 20) -> dict:
        return json.loads(self.commands.get(timeout=timeout)[1])

    def publish(self, topic: str, payload: str, qos: int = 1) -> None:
        self.client.publish(topic, payload, qos).wait_for_publish(20)

    def answer(self, mid: int, errcode: int = 0, body: str | None = '{"result":0}') -> None:
        self.publish(self.up, legacy_result(mid, errcode, body))

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class OcDevice(PahoDevice):
    """A device of the `$oc` family that never subscribes, as the Java and Python SDKs do not."""

    def __init__(self, address, credentials, version: int = 4, subscribe: str | None = None):
        super().__init__(address, credentials, version, subscribe)
        self.base = f"$oc/devices/{credentials.device_id}/sys"

    def start(self) -> "OcDevice":
        super().start()
        report = {"services": [{"service_id": "Lamp", "properties": {"lux": 7}}]}
        self.publish(f"{self.base}/properties/report", json.dumps(report))
        return self

    def next_request(self, timeout: float = 20) -> tuple[str, dict]:
        """Request id and body of the next command."""
        topic, payload = self.commands.get(timeout=timeout)
        assert topic.startswith(f"{self.base}/commands/request_id="), topic
        return topic.split("request_id=", 1)[1], json.loads(payload)

    def answer_request(self, request_id: str, payload: str = '{"result_code":0,"paras":{"state":"ON"}}') -> None:
        self.publish(f"{self.base}/commands/response/request_id={request_id}", payload)


class MosquittoDevice:
    """A device made of mosquitto_sub and mosquitto_pub. Each publication is a connection of its own, which takes over;
    mosquitto_sub comes back after a second, as it does."""

    def __init__(self, address: tuple[str, int], credentials: Credentials, version: str = "mqttv311"):
        self.address, self.version = address, version
        self.login = login_of(credentials)
        self.down, self.up = legacy_topics(credentials.device_id)
        self.commands: queue.Queue[dict] = queue.Queue()
        self.ready = threading.Event()
        self.process: subprocess.Popen | None = None

    def _command(self, program: str, topic: str, *more: str) -> list[str]:
        (host, port), (client_id, user, password) = self.address, self.login
        place = ["-h", host, "-p", str(port), "-V", self.version, "-k", str(KEEP_ALIVE), "-q", "1", "-t", topic]
        return [program, *place, "-i", client_id, "-u", user, "-P", password, *more]

    def start(self) -> "MosquittoDevice":
        self.process = subprocess.Popen(
            ["stdbuf", "-oL", *self._command("mosquitto_sub", self.down, "-d")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        assert self.ready.wait(20), "mosquitto_sub has not subscribed"
        return self

    def _read(self) -> None:
        for line in self.process.stdout:
            if line.startswith("{"):
                self.commands.put(json.loads(line))
            elif line.startswith("Subscribed"):
                self.ready.set()

    def next_command(self, timeout: float = 20) -> dict:
        return self.commands.get(timeout=timeout)

    def answer(self, mid: int, errcode: int = 0, body: str | None = '{"result":0}') -> None:
        payload = legacy_result(mid, errcode, body)
        done = subprocess.run(
            self._command("mosquitto_pub", self.up, "-m", payload), stdin=subprocess.DEVNULL, capture_output=True, timeout=20
        )
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
