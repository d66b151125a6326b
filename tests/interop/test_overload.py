"""More than the server takes: refused by name, nothing lost, memory bounded, and itself again afterwards."""

import json
import socket
import threading
from collections import Counter
from pathlib import Path

import pytest
from kit import metrics
from kit.device import PahoDevice, legacy_result
from kit.na import COMMANDS
from kit.wait import until

CALLERS = 24
CALLS = 40
MOST_RESIDENT_KIB = 600 * 1024


class Echo(PahoDevice):
    """Answers each command as it comes."""

    def _came(self, message) -> None:
        # Not waited for: this is the thread that would see the PUBACK.
        self.client.publish(self.up, legacy_result(json.loads(message.payload)["mid"]), 1)


def resident_kib(server) -> int:
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def count(server, name: str) -> int:
    """A metric of the server."""
    lines = metrics.text(server).splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"downlink_{name} "))


def flood(call) -> list:
    """The answers to what many callers ask again and again, none of them waiting after a refusal."""
    answers, lock = [], threading.Lock()

    def some(caller: int):
        own = [call(caller * CALLS + n) for n in range(CALLS)]
        with lock:
            answers.extend(own)

    callers = [threading.Thread(target=some, args=(n,)) for n in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(answers) == CALLERS * CALLS, "some callers broke off"
    return answers


def check_refusals(answers, success: int) -> int:
    """Whoever is refused is told so by name, and when to come again; gives how many were."""
    kinds = Counter((answer.status, answer.error) for answer in answers)
    assert set(kinds) <= {(success, None), (503, "100501")}, kinds
    for answer in answers:
        assert answer.status == success or int(answer.headers["Retry-After"]) >= 1
    return kinds[503, "100501"]


@pytest.mark.settings(northbound_max_calls_at_once=1, commands_queue_limit=2000)
def test_creates_beyond_the_limit_are_refused_and_what_was_accepted_is_told(world):
    devices = [world.device(Echo) for _ in range(8)]
    ids = [device.credentials.device_id for device in devices]
    answers = flood(lambda n: world.na.create_raw(ids[n % len(ids)], world.receiver.url))
    refused = check_refusals(answers, 201)
    accepted = [answer.json for answer in answers if answer.status == 201]
    assert accepted and refused, (len(accepted), refused)
    assert count(world.server, "http_shed_total") == refused
    for command in accepted:
        world.receiver.wait_for(command["commandId"], "SUCCESSFUL", timeout=60)
        assert world.receiver.statuses(command["commandId"])[-1] == "SUCCESSFUL"
    assert {one["commandId"] for one in world.na.list()} == {one["commandId"] for one in accepted}
    assert resident_kib(world.server) < MOST_RESIDENT_KIB
    # Itself again: one after the other, none is refused.
    for n in range(20):
        world.na.create(ids[n % len(ids)], world.receiver.url)


@pytest.mark.settings(northbound_max_calls_at_once=CALLERS // 2, commands_queue_limit=2000)
def test_as_many_calls_as_are_worked_on_wait_for_a_place_and_none_is_refused(world):
    devices = [world.na.register().device_id for _ in range(8)]
    answers = flood(lambda n: world.na.create_raw(devices[n % len(devices)], None))
    assert check_refusals(answers, 201) == 0
    assert count(world.server, "http_waiting") == 0


@pytest.mark.settings(northbound_max_lists_waiting=0)
def test_lists_beyond_the_limit_are_refused_and_others_are_not(world):
    device = world.na.register().device_id
    for _ in range(20):
        world.na.create(device, None)
    world.na.login()
    check_refusals(flood(lambda _: world.na.call("GET", f"{COMMANDS}?pageNo=0&pageSize=1000")), 200)
    assert len(world.na.list()) == 20
    world.check_alive()


@pytest.mark.settings(northbound_max_connections=4)
def test_connections_beyond_the_limit_are_told_so(world):
    world.na.login()
    address = world.server.address("northbound-plain")
    taken = [socket.create_connection(address) for _ in range(3)]
    # The three and that of `world.na` are all that there may be.
    until(lambda: count(world.server, "http_connections") == 4)
    with socket.create_connection(address, timeout=20) as beyond:
        beyond.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        told = b""
        while piece := beyond.recv(4096):
            told += piece
    assert told.startswith(b"HTTP/1.1 503") and b'"100501"' in told and b"retry-after" in told.lower(), told
    assert count(world.server, "http_connections_refused_total") == 1
    # Whoever is connected is served as before.
    assert world.na.totals() == (0, 0)
    for one in taken:
        one.close()
    until(lambda: count(world.server, "http_connections") == 1)
    world.check_alive()
