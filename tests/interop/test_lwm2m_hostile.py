"""Noise, lies and floods at the ports for devices: nothing ends, nothing grows, the counters say it, and real devices go on."""

import json
import re
import socket
import struct
import time
from pathlib import Path

import pytest

from kit import coapwire, dtlswire, metrics
from kit.coapwire import Coap
from kit.lwm2msim import Lwm2mSim
from kit.rawcoap import OUT, RawCoapDevice, done
from kit.relay import Relay
from kit.wait import until
from kit.world import World

SECRET = "000102030405060708090a0b0c0d0e0f"
# At a time, so that the server's socket has room for them.
BURST = 64
HELLOS, WARM_UP = 100_000, 30_000
GROWTH_KIB = 1024
# ip(7); Python does not name it everywhere.
IP_PKTINFO = 8


@pytest.fixture
def engine_env():
    """Hints or sweeps: nothing here depends on it."""
    return {}


@pytest.fixture
def world(server):
    server.listeners |= {"coap": "127.0.0.1:0", "coaps": "127.0.0.1:0"}
    server.start()
    world = World(server)
    yield world
    world.close()


@pytest.fixture
def device(world):
    """A real device, in clear."""
    credentials = world.na.register()
    device = RawCoapDevice(world.server.address("coap"), credentials.node_id, result=done)
    device.credentials = credentials
    yield device.start()
    device.stop()


@pytest.fixture
def secure(world):
    """A real device over DTLS, behind a relay."""
    relays, sims = [], []

    def play(*more: str, copies: int = 0):
        credentials = world.na.register(secret=SECRET, isSecure=True)
        relays.append(Relay(world.server.address("coaps"), copies))
        which = ["--node-id", credentials.node_id, "--secret", SECRET]
        sims.append(Lwm2mSim("--coaps", relays[-1].address, *which, *more))
        sims[-1].wait_for("observed")
        return credentials, relays[-1], sims[-1]

    yield play
    for one in sims + relays:
        one.stop()


def check_commanded(world, credentials, detail: str) -> None:
    """One command from its creation to its end."""
    command = world.create(credentials)
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", detail))


def garbage(rng, count: int):
    """Anything, some of it beginning like CoAP or like DTLS."""
    starts = [b"", b"", b"\x40", b"\x48", b"\x54\x45", b"\x16\xfe\xfd", b"\x16\xfe\xfd\0\0", b"\x17\xfe\xfd\0\1"]
    for _ in range(count):
        yield rng.choice(starts) + rng.randbytes(rng.choice([0, 1, 3, 4, 12, 13, 40, 300, 1400]))


def registration(rng, node_id: str) -> bytes:
    options = [(coapwire.URI_PATH, b"rd"), (coapwire.URI_QUERY, f"ep={node_id}".encode()), (coapwire.URI_QUERY, b"lt=99")]
    return Coap(coapwire.CON, coapwire.POST, rng.randrange(1 << 16), b"tokn", options, b"</19/0>").encode()


def bent(rng, node_id: str):
    """A good registration of nobody, cut at each place, and with options that cannot be."""
    for _ in range(20):
        whole = registration(rng, node_id)
        yield from (whole[:end] for end in range(len(whole)))
        for _ in range(40):
            spoilt = bytearray(whole)
            spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
            yield bytes(spoilt)
    for byte in range(256):
        head = bytes([0x40, coapwire.POST]) + rng.randbytes(2)
        yield head + bytes([byte])
        yield head + bytes([byte]) + rng.randbytes(3)
        yield bytes([byte, coapwire.POST]) + rng.randbytes(12)
    # Options as long as can be said, numbers beyond any, a payload marker with nothing behind it.
    yield from (head + tail for tail in [b"\xee\xff\xff\xff\xff", b"\xe0\xff\xff" * 8, b"\xff", b"\xf1x", b"\x1fx"])


def strangers(rng, count: int):
    """Messages in order, about what nobody knows."""
    for _ in range(count):
        mid, token = rng.randrange(1 << 16), rng.randbytes(8)
        path = [(coapwire.URI_PATH, b"rd"), (coapwire.URI_PATH, b"0123456789")]
        yield from (
            one.encode()
            for one in (
                Coap(coapwire.ACK, coapwire.CHANGED, mid, token),
                Coap(coapwire.ACK, coapwire.EMPTY, mid),
                Coap(coapwire.RST, coapwire.EMPTY, mid),
                Coap(coapwire.CON, coapwire.CONTENT, mid, token, [(coapwire.OBSERVE, b"\5")], b'{"msgType":"deviceRsp"}'),
                Coap(coapwire.NON, coapwire.CONTENT, mid, token, [(coapwire.OBSERVE, b"\5")], b"\0"),
                Coap(coapwire.CON, coapwire.POST, mid, token, path),
                Coap(coapwire.CON, coapwire.DELETE, mid, token, path),
                Coap(coapwire.CON, coapwire.GET, mid, token, [(coapwire.URI_PATH, b"rd")]),
                Coap(coapwire.CON, coapwire.EMPTY, mid),
            )
        )


def pour(world, listener: str, datagrams) -> int:
    """Sends all from one more socket, without a flood. How many."""
    count = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
        source.bind(("127.0.0.1", 0))
        for count, datagram in enumerate(datagrams, 1):
            source.sendto(datagram, world.server.address(listener))
            if count % BURST == 0:
                time.sleep(0.01)
    return count


def test_noise_on_both_ports_stops_no_device(world, device, secure, rng):
    credentials, _, sim = secure()
    server = world.server
    sent = 0
    for round in range(1, 4):
        for listener in ("coap", "coaps"):
            sent += pour(world, listener, garbage(rng, 1000))
        sent += pour(world, "coap", bent(rng, "nobody"))
        sent += pour(world, "coap", strangers(rng, 100))
        check_commanded(world, device, '{"state":1}')
        check_commanded(world, credentials, '{"result":0}')
        assert server.running()
        assert (len(device.writes()), sim.count("received")) == (round, round)
    for what in ("garbage", "malformed", "bad_requests", "unknown_token", "unknown_location", "stray_acks"):
        assert metrics.messages(server, what) > 100, what
    assert metrics.dtls(server, "garbage") > 100
    assert sent > 10_000 and metrics.messages(server, "received") > sent / 4
    assert metrics.value(server, "registrations") == 2
    assert metrics.dtls(server, "completed") == 1 == metrics.value(server, "dtls_sessions")
    until(lambda: metrics.value(server, "dtls_handshakes") == 0, what="no handshake under way")


def test_what_is_said_again_is_done_once(world, device):
    """The same datagrams from the same address, and reports from another one: the device keeps its place."""
    check_commanded(world, device, '{"state":1}')
    said = list(dict.fromkeys(seen.message.encode() for seen in device.seen if seen.way == OUT))
    reports = [datagram for datagram in said if coapwire.decode(datagram).code == coapwire.CONTENT and datagram[0] >> 4 == 4]
    assert len(said) >= 4 and len(reports) == 1
    before = {what: metrics.messages(world.server, what) for what in ("duplicates", "stray_acks")}
    location = device.location
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
        for _ in range(200):
            for datagram in said:
                device.socket.sendto(datagram, device.address)
            for datagram in reports:
                elsewhere.sendto(datagram, device.address)
            time.sleep(0.002)
        check_commanded(world, device, '{"state":1}')
        elsewhere.settimeout(0.2)
        answers = []
        try:
            while True:
                answers.append(coapwire.decode(elsewhere.recv(2048)))
        except TimeoutError:
            pass
    assert all(answer.code == coapwire.EMPTY for answer in answers), "the other address got a command"
    assert metrics.messages(world.server, "duplicates") > before["duplicates"] + 200
    assert metrics.messages(world.server, "stray_acks") > before["stray_acks"]
    assert metrics.value(world.server, "registrations") == 1 and metrics.value(world.server, "unmatched_total") == 0
    assert device.update().code == coapwire.CHANGED and device.location == location
    assert [json.loads(write.payload)["paras"] for write in device.writes()] == [{"value": 1}] * 2


def test_over_dtls_nothing_from_outside_ends_a_session_and_nothing_counts_twice(world, secure, rng):
    """All that the device says comes four times, later again, and from elsewhere; and in its name come hellos and ends."""
    credentials, relay, sim = secure(copies=3)
    check_commanded(world, credentials, '{"result":0}')
    said = list(relay.said)
    for _ in range(20):
        for datagram in said:
            relay.inject(datagram)
            relay.elsewhere(datagram)
        for lie in (
            dtlswire.close_notify(),
            dtlswire.record(dtlswire.ALERT, b"\2\x28", epoch=1, sequence=1 << 40),
            dtlswire.record(dtlswire.APPLICATION, rng.randbytes(60), epoch=1, sequence=rng.randrange(1 << 30)),
            dtlswire.record(dtlswire.HANDSHAKE, rng.randbytes(80)),
            dtlswire.hello(rng.randbytes(32)),
            dtlswire.hello(rng.randbytes(32), cookie=rng.randbytes(32), message=1),
        ):
            relay.inject(lie)
        time.sleep(0.005)
    for _ in range(3):
        check_commanded(world, credentials, '{"result":0}')
    assert sim.count("received") == 4 == sim.count("executed") and sim.count("secured") == 1
    assert sim.count("registered") == 1 and sim.count("unsecured") == 0
    assert metrics.dtls(world.server, "ignored") > 100 and metrics.dtls(world.server, "stray") > 100
    assert metrics.dtls(world.server, "completed") == 1 == metrics.value(world.server, "dtls_sessions")
    assert metrics.value(world.server, "unmatched_total") == 0


class Spoofer:
    """Hellos from as many addresses as wanted, over one socket: the source address of each datagram is chosen."""

    def __init__(self, server: tuple[str, int], rng):
        self.server, self.rng = server, rng
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(("0.0.0.0", 0))
        self.socket.settimeout(0.05)
        # The shortest hello, an ordinary one, and one with a cookie that was never given.
        self.kinds = [
            dtlswire.hello(rng.randbytes(32), extensions=b""),
            dtlswire.hello(rng.randbytes(32)),
            dtlswire.hello(rng.randbytes(32), cookie=rng.randbytes(32), message=1),
        ]
        self.answers, self.longest = 0, 0

    def flood(self, count: int) -> None:
        for sent in range(0, count, BURST):
            for n in range(sent, min(sent + BURST, count)):
                self._send(n)
            self._read(min(BURST, count - sent))

    def _send(self, n: int) -> None:
        source = bytes([127]) + (self.rng.randrange(1 << 24) | 1 << 8).to_bytes(3)
        chosen = (socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4s", 0, source, bytes(4)))
        self.socket.sendmsg([self.kinds[n % len(self.kinds)]], [chosen], 0, self.server)

    def _read(self, most: int) -> None:
        """An answer to each, or a moment without one."""
        for _ in range(most):
            try:
                answer = self.socket.recv(4096)
            except TimeoutError:
                return
            assert answer[13] == dtlswire.HELLO_VERIFY_REQUEST, answer
            self.answers, self.longest = self.answers + 1, max(self.longest, len(answer))

    def shortest_hello(self) -> int:
        return min(map(len, self.kinds))


def resident_kib(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1])


def test_a_hundred_thousand_forged_hellos_leave_nothing_behind(world, secure, rng):
    credentials, _, sim = secure()
    check_commanded(world, credentials, '{"result":0}')
    server = world.server
    spoofer = Spoofer(server.address("coaps"), rng)
    with spoofer.socket:
        spoofer.flood(WARM_UP)
        before, asked = resident_kib(server.process.pid), metrics.dtls(server, "asked")
        spoofer.flood(HELLOS)
        growth = resident_kib(server.process.pid) - before
    answered = metrics.dtls(server, "asked") - asked
    print(f"{answered} of {HELLOS} answered, grew by {growth} KiB")
    assert answered > HELLOS * 0.9, "most were seen"
    assert spoofer.answers >= answered
    assert spoofer.longest <= spoofer.shortest_hello() < 70, "the answer is no larger than the request"
    assert growth <= GROWTH_KIB
    assert metrics.dtls(server, "begun") == 1 and metrics.value(server, "dtls_handshakes") == 0
    assert metrics.value(server, "dtls_sessions") == 1
    check_commanded(world, credentials, '{"result":0}')
    assert sim.count("secured") == 1 == metrics.dtls(server, "completed"), "its session was still there"


@pytest.mark.settings(lwm2m_max_dtls_sessions=1)
def test_a_full_table_keeps_a_session_that_was_heard_of_lately(world, secure):
    """Even from a device that has its key."""
    credentials, _, sim = secure()
    other = world.na.register(secret=SECRET)
    host, port = world.server.address("coaps")
    late = Lwm2mSim("--coaps", f"{host}:{port}", "--node-id", other.node_id, "--secret", SECRET)
    try:
        until(lambda: metrics.dtls(world.server, "full") > 0, what="there is no room")
        check_commanded(world, credentials, '{"result":0}')
        assert sim.count("secured") == 1 and late.count("registered") == 0
        assert metrics.dtls(world.server, "completed") == 1 == metrics.value(world.server, "dtls_sessions")
    finally:
        late.stop()


@pytest.mark.settings(lwm2m_dtls_idle_secs=2)
def test_a_session_that_nobody_speaks_over_ends_and_the_device_comes_again(world, secure):
    credentials, _, sim = secure("--lifetime", "8")
    sim.wait_for("unsecured")
    assert metrics.value(world.server, "dtls_sessions") == 0
    assert metrics.value(world.server, "registrations") == 1, "its registration outlives it"
    sim.wait_for("updated")
    check_commanded(world, credentials, '{"result":0}')
    assert (sim.count("registered"), sim.count("secured")) == (1, 2)
