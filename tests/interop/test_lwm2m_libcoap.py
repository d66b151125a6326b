"""Devices on libcoap, over DTLS with pre-shared keys: its command line, and a whole LwM2M device (psk_device.c), each with
both libraries that Debian builds it with."""

import json
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from kit import metrics
from kit.wait import until
from kit.world import World

TLS = ["gnutls", "openssl"]
HEADER = Path("/usr/include/coap3/coap.h")
# Not hexadecimal, so taken as it is: libcoap's client takes keys as text.
KEY, OTHER_KEY = "secret-of-the-device", "secret-of-who-is-not"
RESULT = ("SUCCESSFUL", '{"by":"libcoap"}')


@pytest.fixture
def engine_env():
    """Hints or sweeps: nothing here depends on it."""
    return {}


@pytest.fixture
def world(server):
    server.listeners["coaps"] = "127.0.0.1:0"
    server.start()
    world = World(server)
    yield world
    world.close()


def client(world, tls: str, identity: str, key: str, method: str, path: str) -> subprocess.CompletedProcess:
    """One request of libcoap's own client."""
    program = shutil.which(f"coap-client-{tls}")
    if not program:
        pytest.skip("libcoap3-bin is not installed: scripts/setup does it")
    host, port = world.server.address("coaps")
    command = [program, "-v", "6", "-B", "3", "-m", method, "-u", identity, "-k", key, f"coaps://{host}:{port}/{path}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("tls", TLS)
def test_its_client_registers_with_its_key_only(world, tls):
    device = world.na.register(secret=KEY, isSecure=True)
    path = f"rd?ep={device.node_id}&lt=300&b=U"
    done = client(world, tls, device.node_id, KEY, "post", path)
    assert "c:2.01" in done.stdout and "Location-Path:rd, Location-Path:" in done.stdout, done
    assert metrics.value(world.server, "registrations") == 1
    completed = metrics.dtls(world.server, "completed")
    for identity, key in [(device.node_id, OTHER_KEY), ("nobody", KEY)]:
        done = client(world, tls, identity, key, "get", "rd")
        assert "t:ACK" not in done.stdout and done.stdout.count("c:") == 1, done
    assert metrics.dtls(world.server, "completed") == completed and metrics.dtls(world.server, "failed") >= 2


@pytest.mark.parametrize("tls", TLS)
def test_a_read_that_is_answered_is_not_a_device(world, tls):
    device = world.na.register(secret=KEY)
    done = client(world, tls, device.node_id, KEY, "get", "19/0/0")
    assert "c:4.04" in done.stdout, done
    assert metrics.value(world.server, "registrations") == 0
    command = world.create(device)
    assert world.status(command) == "PENDING"


@pytest.mark.parametrize("tls", TLS)
def test_the_session_of_one_device_registers_no_other(world, tls):
    device, other = (world.na.register(secret=KEY) for _ in range(2))
    done = client(world, tls, device.node_id, KEY, "post", f"rd?ep={other.node_id}&lt=300&b=U")
    assert "c:4.03" in done.stdout, done
    assert metrics.value(world.server, "registrations") == 0


class Device:
    """psk_device.c as a process."""

    def __init__(self, program: Path, port: int, identity: str, key: str):
        command = [str(program), str(port), identity, key]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def wait_for(self, line: str, times: int = 1) -> None:
        until(lambda: self.lines.count(line) >= times, what=lambda: f"{times} {line!r}; came: {self.lines}")

    def order(self, order: str) -> None:
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()

    def commands(self) -> list[dict]:
        return [json.loads(line.removeprefix("command ")) for line in self.lines if line.startswith("command ")]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(10)


@pytest.fixture(scope="module", params=TLS)
def program(request, tmp_path_factory):
    """The device, built against one of the libraries."""
    if not shutil.which("gcc") or not HEADER.exists():
        pytest.skip("gcc and libcoap3-dev are not installed: scripts/setup does it")
    program = tmp_path_factory.mktemp("libcoap") / "psk_device"
    source = Path(__file__).with_name("psk_device.c")
    command = ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(source), f"-lcoap-3-{request.param}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return program


@pytest.fixture
def connect(world, program):
    started = []

    def start(credentials, key: str) -> Device:
        started.append(Device(program, world.server.address("coaps")[1], credentials.node_id, key))
        return started[-1]

    yield start
    for device in started:
        device.stop()


def test_a_device_gets_its_commands_and_answers_on_the_session_that_it_opened(world, connect):
    credentials = world.na.register(secret=KEY, isSecure=True)
    waiting = [world.create(credentials) for _ in range(3)]
    device = connect(credentials, KEY)
    device.wait_for("observed")
    for command in [*waiting, world.create(credentials)]:
        world.receiver.expect(command, "SENT", "DELIVERED", RESULT)
    mids = [command["mid"] for command in device.commands()]
    assert len(mids) == 4 == len(set(mids)), device.lines
    device.order("update")
    device.wait_for("answered 2.04")
    assert device.lines.count("observed") == 1
    assert metrics.dtls(world.server, "completed") == 1 == metrics.value(world.server, "dtls_sessions")


def test_and_again_from_another_port_over_another_session(world, connect):
    credentials = world.na.register(secret=KEY, isSecure=True)
    device = connect(credentials, KEY)
    for session in range(1, 4):
        device.wait_for("observed", session)
        command = world.create(credentials)
        world.receiver.expect(command, "SENT", "DELIVERED", RESULT)
        assert len(device.commands()) == session, device.lines
        assert metrics.dtls(world.server, "completed") == session
        until(lambda: metrics.value(world.server, "dtls_sessions") == 1, what="the newest session only")
        device.order("move")
    assert metrics.value(world.server, "registrations") == 1


def test_with_the_wrong_key_it_gets_nothing(world, connect):
    credentials = world.na.register(secret=KEY, isSecure=True)
    command = world.create(credentials)
    device = connect(credentials, OTHER_KEY)
    until(lambda: metrics.dtls(world.server, "failed") > 0, what="a handshake failed")
    assert world.status(command) == "PENDING" and not device.lines
