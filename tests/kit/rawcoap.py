"""An LwM2M device on a bare socket: it keeps every datagram with its time, loses those that a test picks, and sleeps when
it is told to."""

import itertools
import json
import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from kit import coapwire
from kit.coapwire import Coap
from kit.wait import until

IN, OUT = "in", "out"
# What becomes of a datagram.
PASSED, LOST, ASLEEP = "passed", "lost", "asleep"
RESEND_SECS, LIMIT = 0.5, 20


@dataclass
class Seen:
    """A datagram at the device's radio."""

    at: float
    way: str
    message: Coap
    fate: str

    @property
    def is_write(self) -> bool:
        return self.way == IN and self.message.code == coapwire.PUT and self.message.path == "19/1/0"


def nothing_lost(_way: str, _number: int, _copy: int) -> bool:
    return False


class RawCoapDevice:
    """`lose(way, number, copy)` says whether a datagram gets lost: the messages of each way are numbered from 0, and the
    copies of each message. `result` makes the report that answers a command, if it does."""

    def __init__(
        self,
        address: tuple[str, int],
        node_id: str,
        lose: Callable[[str, int, int], bool] = nothing_lost,
        result: Callable[[bytes], bytes | None] = lambda _: None,
    ):
        self.address, self.node_id, self.lose, self.result = address, node_id, lose, result
        self.asleep, self._stopping = False, False
        self.seen: list[Seen] = []
        self.written: queue.Queue[bytes] = queue.Queue()
        self.location: list[str] = []
        self.observation = b""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self._copies: dict[str, dict[bytes, tuple[int, int]]] = {IN: {}, OUT: {}}
        self._heard: dict[int, bytes] = {}
        self._answers: dict[int, Coap] = {}
        self._mids = itertools.count(int(time.monotonic() * 1000) & 0x7FFF)
        self._order = itertools.count(2)
        self._reports: queue.Queue[bytes | None] = queue.Queue()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._tell)]
        for thread in self._threads:
            thread.start()

    def _fate(self, way: str, datagram: bytes) -> str:
        known = self._copies[way]
        number, copy = known.get(datagram, (len(known), -1))
        known[datagram] = (number, copy + 1)
        if self.lose(way, number, copy + 1):
            return LOST
        return ASLEEP if self.asleep else PASSED

    def _note(self, way: str, datagram: bytes, message: Coap) -> str:
        fate = self._fate(way, datagram)
        self.seen.append(Seen(time.monotonic(), way, message, fate))
        return fate

    def send(self, message: Coap) -> None:
        datagram = message.encode()
        if self._note(OUT, datagram, message) == PASSED:
            self.socket.sendto(datagram, self.address)

    def _listen(self) -> None:
        while True:
            try:
                datagram = self.socket.recv(4096)
            except OSError:
                return
            if datagram == b"stop":
                return
            message = coapwire.decode(datagram)
            if self._note(IN, datagram, message) == PASSED:
                self._hear(message)

    def _hear(self, message: Coap) -> None:
        if message.kind in (coapwire.ACK, coapwire.RST):
            self._answers[message.mid] = message
            return
        known = self._heard.get(message.mid)
        if known is None:
            self._answer(message)
        else:
            self.send(coapwire.decode(known))

    def _answer(self, request: Coap) -> None:
        answer = Coap(coapwire.ACK, coapwire.CHANGED, request.mid, request.token)
        if request.code == coapwire.GET:
            self.observation = request.token
            octets = (coapwire.CONTENT_FORMAT, bytes([coapwire.OCTETS]))
            answer.code, answer.options, answer.payload = coapwire.CONTENT, [(coapwire.OBSERVE, b"\1"), octets], b"\0"
        self._heard[request.mid] = answer.encode()
        self.send(answer)
        if request.code == coapwire.PUT:
            self.written.put(request.payload)
            report = self.result(request.payload)
            if report is not None:
                self._reports.put(report)

    def _tell(self) -> None:
        while (payload := self._reports.get()) is not None and not self._stopping:
            self.report(payload)

    def ask(self, message: Coap) -> Coap:
        """Sends a confirmable message until it is answered."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            self.send(message)
            began = time.monotonic()
            while time.monotonic() < began + RESEND_SECS:
                if message.mid in self._answers:
                    return self._answers[message.mid]
                if self._stopping:
                    return message
                time.sleep(0.002)
        raise AssertionError(f"no answer to {message}")

    def mid(self) -> int:
        return next(self._mids) & 0xFFFF

    def register(self, lifetime: int = 3600, binding: str = "UQ") -> Coap:
        query = [f"ep={self.node_id}", "lwm2m=1.0", f"lt={lifetime}", f"b={binding}"]
        options = [(coapwire.URI_PATH, b"rd")] + [(coapwire.URI_QUERY, text.encode()) for text in query]
        answer = self.ask(Coap(coapwire.CON, coapwire.POST, self.mid(), b"reg", options))
        self.location = answer.texts(coapwire.LOCATION_PATH)
        return answer

    def start(self, **more) -> "RawCoapDevice":
        answer = self.register(**more)
        assert answer.code == coapwire.CREATED, answer
        until(lambda: self.observation, what="the server observes the device")
        return self

    def update(self) -> Coap:
        options = [(coapwire.URI_PATH, part.encode()) for part in self.location]
        return self.ask(Coap(coapwire.CON, coapwire.POST, self.mid(), b"upd", options))

    def notification(self, payload: bytes) -> Coap:
        octets = (coapwire.CONTENT_FORMAT, bytes([coapwire.OCTETS]))
        options = [(coapwire.OBSERVE, coapwire.uint(next(self._order))), octets]
        return Coap(coapwire.CON, coapwire.CONTENT, self.mid(), self.observation, options, payload)

    def report(self, payload: bytes) -> Coap:
        return self.ask(self.notification(payload))

    def writes(self) -> list[Coap]:
        """The commands that it heard, in order, without the copies."""
        heard = {}
        for seen in list(self.seen):
            if seen.is_write and seen.fate == PASSED:
                heard.setdefault(seen.message.mid, seen.message)
        return list(heard.values())

    def stop(self) -> None:
        self._stopping = True
        self._reports.put(None)
        self.socket.sendto(b"stop", self.socket.getsockname())
        for thread in self._threads:
            thread.join(LIMIT)
        self.socket.close()


def done(command: bytes) -> bytes:
    """The report of a device without a codec that it has carried out a command."""
    body = {"msgType": "deviceRsp", "mid": json.loads(command)["mid"], "errcode": 0, "body": {"state": 1}}
    return json.dumps(body, separators=(",", ":")).encode()
