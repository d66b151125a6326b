"""Callback URLs that lead where applications have no business: nothing connects, however the address is spelt, and the
reason is on record."""

import http.client
import json
import socket
import threading
from typing import NamedTuple

import pytest

from kit.receiver import Receiver, Reply
from kit.server import APP_ID
from kit.wait import until
from kit.world import World

pytestmark = pytest.mark.settings(push_retry_first_ms=50, push_retry_longest_ms=200)

# Hosts that would reach the trap, which listens on all addresses of this machine.
LOOPBACK = [
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7F.1",
    "0177.0.0.1",
    "017700000001",
    "127.0x0.0.01",
    "%31%32%37.0.0.1",
    "１２７.0.0.1",
    "127。0。0。1",
    "0.0.0.0",
    "0",
    "0.0.0.0.",
    "user@127.0.0.1",
    "user:secret@127.0.0.1",
    "example.com@127.0.0.1",
    "example.com:80@127.0.0.1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::]",
    "user@[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0.0.0.0]",
    "[::127.0.0.1]",
]

# Names of this machine: a resolver may know them or not.
NAMES = ["localhost", "LOCALHOST", "localhost.", "user@localhost", "localhost.localdomain", "a.localhost", "ip6-localhost"]

# Addresses that no trap can listen on here.
ELSEWHERE = [
    "10.0.0.1",
    "10.255.255.254",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.1.1",
    "3232235777",
    "0xc0a80101",
    "0300.0250.1.1",
    "192.168.257",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "169.254.169.254.",
    "100.64.0.1",
    "100.100.100.200",
    "0.1.2.3",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::2]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:7f00:1::1]",
    "[2002:a00:1::1]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "[fe80::5efe:7f00:1]",
    "[2a00:1450::5efe:7f00:1]",
    "[2a00:1450::200:5efe:7f00:1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[100::1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[::192.168.1.1]",
]


class Arrival(NamedTuple):
    """A request in the trap."""

    command_id: str
    # As it was sent, and the address that was dialled.
    host: str
    dialled: str
    # As in the request line: with a proxy it would be the whole URL.
    path: str


class Trap:
    """Listens on every address of this machine, notes who comes, and takes one push from each."""

    def __init__(self):
        self.socket = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port = self.socket.getsockname()[1]
        self.caught: list[str] = []
        self.arrivals: list[Arrival] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                connection, address = self.socket.accept()
            except OSError:
                return
            self.caught.append(address[0])
            threading.Thread(target=self._take, args=(connection,), daemon=True).start()

    def _take(self, connection: socket.socket):
        with connection, connection.makefile("rb") as came:
            # What is no push (a hello of TLS, or nothing at all) is closed unanswered.
            try:
                _, path, _ = came.readline(1000).decode("ascii").split()
                headers = http.client.parse_headers(came)
                body = json.loads(came.read(int(headers["Content-Length"])))
                dialled = connection.getsockname()[0].removeprefix("::ffff:")
                self.arrivals.append(Arrival(body["commandId"], headers["Host"], dialled, path))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
                return

    def of(self, command: dict) -> list[Arrival]:
        """What came of a command."""
        return [arrival for arrival in self.arrivals if arrival.command_id == command["commandId"]]

    def close(self):
        self.socket.close()


@pytest.fixture
def trap():
    trap = Trap()
    yield trap
    trap.close()


@pytest.fixture
def start(server):
    """Starts the server with what pushes are allowed to."""
    worlds = []

    def started(*allowed: str) -> World:
        server.push_allow = list(allowed)
        server.start()
        worlds.append(World(server))
        return worlds[0]

    yield started
    for world in worlds:
        world.close()


def told_to(world, device_id: str, url: str) -> dict | None:
    """Has a change of a command pushed there; none: the create call was refused."""
    made = world.na.create_raw(device_id, url)
    if made.status != 201:
        assert made.status == 400 and made.error, f"{url}: {made}"
        return None
    assert world.na.cancel_raw(made.json["commandId"]).status == 200
    return made.json


def attempts(world, command: dict, url: str) -> list[dict]:
    """Those on record."""

    def found():
        pushes = world.admin.pushes(command=command["commandId"])
        return pushes and world.admin.push(pushes[0]["id"])["attempts"]

    return until(found, 60, lambda: f"an attempt on record of {url}; caught: {world.receiver.requests()}")


def refused(world, url: str, words: set[str]) -> list[str]:
    """What is not as it should be: of a command's push, and of the operator's test."""
    wrong = []
    command = told_to(world, world.device_id, url)
    for attempt in attempts(world, command, url) if command else []:
        if attempt["outcome"] not in words or not attempt["detail"]:
            wrong.append(f"{url}: {attempt}")
    tested = world.admin.raw("POST", "/pushes/test", {"app": APP_ID, "url": url})
    if tested.status != 400 and (tested.status != 200 or tested.json["outcome"] not in words):
        wrong.append(f"{url}, tested: {tested}")
    return wrong


@pytest.mark.parametrize("hosts", ["LOOPBACK", "NAMES", "ELSEWHERE"])
def test_nothing_connects(start, trap, hosts):
    world = start()
    world.device_id = world.na.register().device_id
    words = {"not_allowed", "dns"} if hosts == "NAMES" else {"not_allowed"}
    wrong = []
    for host in globals()[hosts]:
        wrong += refused(world, f"http://{host}:{trap.port}/x", words)
    wrong += refused(world, f"https://{globals()[hosts][0]}:{trap.port}/x", words)
    assert not wrong, "\n".join(wrong)
    assert trap.caught == []


# Spellings that lead to what is allowed below: the host as it is sent, and the addresses that may be dialled for it.
ALLOWED = {
    "127.0.0.1": ("127.0.0.1", {"127.0.0.1"}),
    "2130706433": ("127.0.0.1", {"127.0.0.1"}),
    "0x7f.1": ("127.0.0.1", {"127.0.0.1"}),
    "0177.0.0.1": ("127.0.0.1", {"127.0.0.1"}),
    "[::ffff:7f00:1]": ("[::ffff:7f00:1]", {"127.0.0.1"}),
    "[::1]": ("[::1]", {"::1"}),
    "localhost": ("localhost", {"127.0.0.1", "::1"}),
}


def test_an_allowance_opens_what_it_names_and_no_more(start, trap):
    """The other way round: where it is allowed, the push of each spelling does reach the trap, once. Credentials before the
    host are refused at the create call, allowed or not."""
    world = start(f"127.0.0.1/32:{trap.port}", f"[::1]/128:{trap.port}")
    world.device_id = world.na.register().device_id
    for spelling, (host, addresses) in ALLOWED.items():
        command = told_to(world, world.device_id, f"http://{spelling}:{trap.port}/x")
        assert command, f"{spelling}: the create call was refused"
        [arrival] = until(lambda: trap.of(command), what=f"the push to {spelling} in the trap")
        assert (arrival.host, arrival.path) == (f"{host}:{trap.port}", "/x"), spelling
        assert arrival.dialled in addresses, f"{spelling}: {arrival}"
    for spelling in ["user@127.0.0.1", "user:secret@[::1]"]:
        made = world.na.create_raw(world.device_id, f"http://{spelling}:{trap.port}/x")
        assert made.status == 400 and made.error, f"{spelling}: {made}"
    wrong = [refused(world, f"http://{host}:{trap.port}/", {"not_allowed"}) for host in ["127.0.0.2", "0.0.0.0", "[::]"]]
    wrong += refused(world, f"http://127.0.0.1:{trap.port - 1}/", {"not_allowed"})
    assert not any(wrong), wrong
    assert len(trap.caught) == len(ALLOWED), trap.caught


def test_no_proxy_is_asked_whatever_the_environment_says(server, start, trap):
    """What goes to a proxy would be judged by nobody: it dials where the guard cannot look."""
    proxy = Trap()
    names = ["http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "socks_proxy"]
    proxies = {name: f"http://127.0.0.1:{proxy.port}" for name in names}
    # And no exception of the machine's hides it.
    proxies["no_proxy"] = ""
    server.env = {**server.env, **proxies, **{name.upper(): value for name, value in proxies.items()}}
    # The proxy too is allowed: nothing keeps the server from it but that it does not ask.
    world = start(f"127.0.0.1/32:{trap.port}", f"127.0.0.1/32:{proxy.port}")
    device_id = world.na.register().device_id
    command = told_to(world, device_id, f"http://127.0.0.1:{trap.port}/x")
    [arrival] = until(lambda: trap.of(command), what=lambda: f"the push; at the proxy: {proxy.caught}")
    assert arrival.path == "/x"
    # Over TLS it comes directly as well, to a receiver that does not speak it.
    url = f"https://127.0.0.1:{trap.port}/x"
    assert attempts(world, told_to(world, device_id, url), url)[0]["phase"] == "tls"
    assert len(trap.caught) >= 2
    assert proxy.caught == []
    proxy.close()


@pytest.mark.parametrize("listener", ["admin", "northbound-plain", "mqtt"])
def test_our_own_listeners_are_refused_inside_an_allowance(start, listener):
    world = start("127.0.0.0/8")
    world.device_id = world.na.register().device_id
    port = world.server.address(listener)[1]
    hosts = ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]"]
    assert not sum([refused(world, f"http://{host}:{port}/", {"not_allowed"}) for host in hosts], [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(start, trap, status):
    receiver = Receiver()
    world = start(f"127.0.0.1/32:{receiver.port}")
    receiver.decide = lambda push: Reply(status, {"Location": f"http://127.0.0.1:{trap.port}/"})
    command = told_to(world, world.na.register().device_id, receiver.url)
    [first, *_] = attempts(world, command, receiver.url)
    assert (first["outcome"], first["status"]) == ("status", status)
    until(lambda: len(receiver.requests()) >= 2, what="a second try")
    assert trap.caught == []
    receiver.close()
