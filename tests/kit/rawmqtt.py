"""A device on a bare socket: MQTT 3.1.1 with every acknowledgement under the test's control, and broken bytes."""

import queue
import socket
import struct
import threading
from dataclasses import dataclass

from kit.device import KEEP_ALIVE, legacy_result, legacy_topics, login_of
from kit.na import Credentials

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 14


def packet(kind: int, flags: int, body: bytes) -> bytes:
    head, left = bytes([kind << 4 | flags]), len(body)
    while True:
        byte, left = left & 0x7F, left >> 7
        head += bytes([byte | (0x80 if left else 0)])
        if not left:
            return head + body


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def connect_packet(client_id: str, user: str, password: str, keep_alive: int = KEEP_ALIVE) -> bytes:
    return packet(CONNECT, 0, text("MQTT") + b"\x04\xc2" + struct.pack(">H", keep_alive) + text(client_id) + text(user) + text(password))


def publish_packet(topic: str, payload: bytes, packet_id: int = 0, dup: bool = False) -> bytes:
    """QoS 1 with a packet id, else QoS 0."""
    flags = (2 if packet_id else 0) | (8 if dup else 0)
    return packet(PUBLISH, flags, text(topic) + (struct.pack(">H", packet_id) if packet_id else b"") + payload)


@dataclass
class Came:
    """A PUBLISH from the server."""

    topic: str
    packet_id: int
    qos: int
    payload: bytes


class RawDevice:
    """`auto_ack`: acknowledge what comes. Packets come in on a thread; `closed` is set when the connection ends."""

    def __init__(self, address: tuple[str, int], credentials: Credentials | None, auto_ack: bool = True):
        self.address, self.credentials, self.auto_ack = address, credentials, auto_ack
        if credentials:
            self.down, self.up = legacy_topics(credentials.device_id)
        self.publishes: queue.Queue[Came] = queue.Queue()
        self.acks: queue.Queue[int] = queue.Queue()
        self.others: queue.Queue[tuple[int, bytes]] = queue.Queue()
        self.closed = threading.Event()
        self.on_publish = None
        self._next_id = 0
        self._send_lock = threading.Lock()

    def open(self) -> "RawDevice":
        """The socket only."""
        self.socket = socket.create_connection(self.address, 20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(None)
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def connect(self, expect: int | None = 0, **more) -> int:
        """CONNECT; gives the return code of the CONNACK."""
        self.open()
        self.send(connect_packet(*login_of(self.credentials), **more))
        code = self.wait_for(CONNACK)[1]
        assert expect is None or code == expect, f"CONNACK {code}"
        return code

    def start(self) -> "RawDevice":
        """Connects and subscribes at QoS 1."""
        self.connect()
        assert self.subscribe(self.down) == 1
        return self

    def subscribe(self, topic: str, qos: int = 1) -> int:
        """Gives the granted QoS, or 128."""
        self.send(packet(SUBSCRIBE, 2, struct.pack(">H", self.next_id()) + text(topic) + bytes([qos])))
        return self.wait_for(SUBACK)[2]

    def next_id(self) -> int:
        self._next_id = self._next_id % 65535 + 1
        return self._next_id

    def publish(self, topic: str, payload: str | bytes, packet_id: int = 0, dup: bool = False) -> None:
        data = payload.encode() if isinstance(payload, str) else payload
        self.send(publish_packet(topic, data, packet_id, dup))

    def answer(self, mid: int, errcode: int = 0, body: str | None = '{"result":0}', packet_id: int = 0) -> int:
        """A result at QoS 1, not waiting for its PUBACK; gives its packet id."""
        packet_id = packet_id or self.next_id()
        self.publish(self.up, legacy_result(mid, errcode, body), packet_id)
        return packet_id

    def ack(self, came: Came) -> None:
        self.send(packet(PUBACK, 0, struct.pack(">H", came.packet_id)))

    def next_publish(self, timeout: float = 20) -> Came:
        return self.publishes.get(timeout=timeout)

    def send(self, data: bytes) -> None:
        with self._send_lock:
            self.socket.sendall(data)

    def wait_for(self, kind: int, timeout: float = 20) -> bytes:
        got, body = self.others.get(timeout=timeout)
        assert got == kind, f"packet {got} instead of {kind}"
        return body

    def close(self) -> None:
        """Without DISCONNECT, as a device that lost its power."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    stop = close

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionError
            data += more
        return data

    def _read(self) -> None:
        try:
            while True:
                self._take()
        except (OSError, ValueError):
            self.closed.set()
            self.others.put((0, b""))

    def _take(self) -> None:
        first, length, shift = self._exactly(1)[0], 0, 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        body = self._exactly(length) if length else b""
        if first >> 4 == PUBLISH:
            self._take_publish(first, body)
        elif first >> 4 == PUBACK:
            self.acks.put(struct.unpack(">H", body[:2])[0])
        else:
            self.others.put((first >> 4, body))

    def _take_publish(self, first: int, body: bytes) -> None:
        qos, topic_len = first >> 1 & 3, struct.unpack(">H", body[:2])[0]
        at = 2 + topic_len
        packet_id = struct.unpack(">H", body[at : at + 2])[0] if qos else 0
        came = Came(body[2:at].decode(), packet_id, qos, body[at + 2 * bool(qos) :])
        if qos and self.auto_ack:
            self.ack(came)
        if self.on_publish:
            self.on_publish(came)
        else:
            self.publishes.put(came)
