"""Names that change their answer between one look-up and the next: what is dialled is what was judged, and what is
forbidden is never dialled, however good the answer before was.

The server's look-ups are answered by a preload library (rebind.c), which also notes every address that it dials."""

import subprocess
from pathlib import Path

import pytest

from interop.test_ssrf import attempts, told_to
from kit.receiver import Receiver, Reply
from kit.server import APP_ID
from kit.wait import until
from kit.world import World

pytestmark = pytest.mark.settings(push_retry_first_ms=50, push_retry_longest_ms=200, push_timeout_secs=2)

# The library leads what is dialled there to 127.0.0.1.
PUBLIC = "8.8.8.8"
FORBIDDEN = ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1", "fd00:ec2::254", "64:ff9b::a9fe:a9fe"]


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    library = tmp_path_factory.mktemp("rebind") / "rebind.so"
    source = Path(__file__).with_name("rebind.c")
    command = ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-nonnull-compare", "-o", str(library)]
    subprocess.run([*command, str(source), "-ldl", "-lpthread"], check=True, stdin=subprocess.DEVNULL)
    return library


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


class Names:
    """What the server is answered, and what it made of it."""

    def __init__(self, server, library: Path, directory: Path):
        self.file, self.log = directory / "names", directory / "looked-up"
        self.file.touch()
        self.log.touch()
        env = {"LD_PRELOAD": library, "REBIND_FILE": self.file, "REBIND_LOG": self.log, "REBIND_PUBLIC": PUBLIC}
        server.env = {**server.env, **{key: str(value) for key, value in env.items()}}

    def url(self, name: str, receiver: Receiver, *addresses: str) -> str:
        """One of a host that has these addresses, one after the other, the last for good; with the receiver's port."""
        with self.file.open("a") as file:
            file.writelines(f"{name}.rebind.test {address}\n" for address in addresses)
        return f"http://{name}.rebind.test:{receiver.port}/x"

    def looked_up(self, name: str) -> list[str]:
        """What it was answered so far."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [line[1] for line in lines if line[0] == f"{name}.rebind.test"]

    def dialled(self, receiver: Receiver) -> list[str]:
        """The addresses that were dialled on the receiver's port, whether somebody was there or not."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [line[1] for line in lines if line[0] == "connect" and int(line[2]) == receiver.port]


@pytest.fixture
def names(server, library, tmp_path):
    return Names(server, library, tmp_path)


@pytest.fixture
def start(server, names):
    worlds = []

    def started(*allowed: str) -> World:
        server.push_allow = list(allowed)
        server.start()
        worlds.append(World(server))
        return worlds[0]

    yield started
    for world in worlds:
        world.close()


@pytest.mark.parametrize("then", FORBIDDEN)
def test_a_name_that_turns_bad_is_refused_at_that_attempt(start, names, receiver, then):
    """The first answer is dialled, and what listens there fails; the push is tried again. The second answer is
    forbidden: that attempt is refused, and so are all after it."""
    receiver.decide = lambda push: Reply(500, {"Connection": "close"})
    world = start()
    url = names.url("turns", receiver, PUBLIC, then)
    command = told_to(world, world.na.register().device_id, url)
    first, *others = until(lambda: three(world, command, url), 60, lambda: str(attempts(world, command, url)))
    assert (first["outcome"], first["status"]) == ("status", 500), "the first answer was good"
    assert [attempt["outcome"] for attempt in others] == ["not_allowed"] * len(others)
    assert all(then in attempt["detail"] for attempt in others), others
    tested = world.admin.call("POST", "/pushes/test", {"app": APP_ID, "url": url})
    assert tested["outcome"] == "not_allowed"
    assert names.looked_up("turns")[:3] == [PUBLIC, then, then]
    assert names.dialled(receiver) == [PUBLIC]
    assert len(receiver.requests()) == 1


def three(world, command: dict, url: str) -> list[dict]:
    found = attempts(world, command, url)
    return found if len(found) >= 3 else []


def test_each_attempt_dials_what_it_was_answered_itself(start, names, receiver):
    """Good and forbidden answers by turns. If there were one look-up to check and another to dial, the forbidden ones would
    be dialled."""
    receiver.decide = lambda push: Reply(200, {"Connection": "close"})
    world = start()
    url = names.url("flips", receiver, *[PUBLIC, "127.0.0.1"] * 50)
    device = world.na.register().device_id
    # Some at once, and again: those that wait at the same time share a look-up.
    for _ in range(20):
        commands = [told_to(world, device, url)["commandId"] for _ in range(3)]
        until(lambda: all(receiver.pushes(command) for command in commands), 60, lambda: str(world.admin.pushes()))
        if names.looked_up("flips").count("127.0.0.1") >= 3:
            break
    until(lambda: not world.admin.any_push(), what="nothing that waits")
    answered = names.looked_up("flips")
    assert answered.count("127.0.0.1") >= 3, answered
    dialled = names.dialled(receiver)
    # A shared answer may be dialled more than once.
    assert set(dialled) == {PUBLIC} and len(dialled) >= answered.count(PUBLIC), dialled


def test_a_connection_that_is_kept_is_judged_once_and_the_next_one_anew(start, names, receiver):
    world = start()
    url = names.url("keeps", receiver, PUBLIC, "127.0.0.1")
    device = world.na.register().device_id
    for _ in range(3):
        receiver.wait_for(told_to(world, device, url)["commandId"], "CANCELED")
    assert names.looked_up("keeps") == [PUBLIC], "one connection serves all"
    receiver.away()
    receiver.back()
    command = told_to(world, device, url)
    found = until(lambda: three(world, command, url), 60, lambda: str(attempts(world, command, url)))
    assert found[-1]["outcome"] == "not_allowed", found
    assert receiver.statuses(command["commandId"]) == []
    assert names.dialled(receiver) == [PUBLIC]
