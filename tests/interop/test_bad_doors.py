"""Every door over TCP, with bytes that follow from a printed seed: noise, and what the door speaks with a few bytes changed, cut anywhere.
Nobody else notices, and nothing of it stays."""

import contextlib
import random
import socket
import ssl
import struct

import pytest

from kit.metrics import text
from kit.wait import until
from kit.world import World

STREAMS = 150
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture
def world(server):
    server.listeners.update({"northbound": "127.0.0.1:0", "mqtts": "127.0.0.1:0"})
    server.start()
    world = World(server)
    yield world
    world.close()


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One of HTTP/2."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def http_2() -> list[bytes]:
    settings = frame(4, 0, 0, b"")
    # POST http / to :authority, by the static table of HPACK.
    head = b"\x83\x86\x84\x41\x01h"
    return [
        PREFACE + settings + frame(1, 4, 1, head) + frame(0, 1, 1, b"appId=x"),
        PREFACE + settings + frame(1, 0, 1, head) + frame(9, 4, 1, b"\x40\x01a\x01b"),
        PREFACE + settings + b"".join(frame(1, 4, n, head) + frame(3, 0, n, b"\0\0\0\x08") for n in range(1, 400, 2)),
        PREFACE + frame(4, 0, 0, b"\0\4\x7f\xff\xff\xff") + frame(8, 0, 0, b"\x7f\xff\xff\xff") * 3 + frame(6, 0, 0, b"x" * 8) * 50,
    ]


def http_1() -> list[bytes]:
    login = b"POST /iocm/app/sec/v1.1.0/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\nappId=x&secret=yyyyy"
    chunked = b"POST /admin/v1/apps HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"id\"\r\n0\r\n\r\n"
    return [login, chunked, b"GET /metrics HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n"]


def client_hello() -> list[bytes]:
    """What a client of TLS says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl._create_unverified_context()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return [outgoing.read()]


def mqtt() -> list[bytes]:
    return [b"\x10\x16\0\4MQTT\4\2\0\x3c\0\x0adev_0_0_20", b"\x10\x0d\0\4MQTT\5\2\0\x3c\0\0\0", b"\x10\xff\xff\xff\x7f" + b"x" * 9000]


SPOKEN = {
    "northbound": client_hello,
    "northbound-plain": lambda: http_1() + http_2(),
    "mqtt": mqtt,
    "mqtts": client_hello,
    "admin": lambda: http_1() + http_2(),
}


def changed(rng: random.Random, spoken: list[bytes]) -> bytes:
    stream = bytearray(rng.choice(spoken) if rng.random() < 0.9 else rng.randbytes(rng.randrange(1, 3000)))
    for _ in range(rng.randrange(4)):
        stream[rng.randrange(len(stream))] = rng.randrange(256)
    return bytes(stream[: rng.randrange(1, len(stream) + 1)]) if rng.random() < 0.3 else bytes(stream)


def say(address: tuple[str, int], stream: bytes, rng: random.Random) -> None:
    """In two pieces; then the answer is read, or not."""
    cut = rng.randrange(len(stream) + 1)
    with contextlib.suppress(OSError), socket.create_connection(address, 5) as door:
        door.settimeout(0.05)
        door.sendall(stream[:cut])
        door.sendall(stream[cut:])
        if rng.random() < 0.5:
            door.recv(4096)


def open_now(world: World, kind: str) -> int:
    start = f"downlink_{kind}_connections "
    return next(int(line.removeprefix(start)) for line in text(world.server).splitlines() if line.startswith(start))


@pytest.mark.parametrize("door", SPOKEN)
def test_whatever_comes_in_harms_nobody(world, door, rng):
    spoken, address = SPOKEN[door](), world.server.address(door)
    device = world.device()
    for _ in range(STREAMS):
        say(address, changed(rng, spoken), rng)
    command = world.create(device)
    world.receiver.wait_for(command["commandId"], "DELIVERED")
    world.check_alive()
    assert world.server.running()
    until(lambda: open_now(world, "mqtt") == 1, what="nothing but the device is connected")
    until(lambda: open_now(world, "http") <= 2, what="what was begun has ended")
