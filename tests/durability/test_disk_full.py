"""The disk fills up under load: creates are refused by name, nothing that was accepted is lost, and all goes on when there is
room again. The disk is a small file system in a name space of its own."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from durability.test_backup import done
from kit.rawmqtt import RawDevice
from kit.server import Server
from kit.wait import until
from kit.world import World

MEGABYTES, CREATORS = 24, 4


class SmallDisk(Server):
    """A server whose data directory is a file system of its own, seen by its process only."""

    def command(self) -> list[str]:
        real = self.real_dir()
        size = f"size={MEGABYTES}m,mode=0700"
        mount = f"mount -t tmpfs -o {size} none {shlex.quote(str(real))} && exec " + shlex.join(self._plain(real))
        return ["unshare", "-rm", "sh", "-c", mount]

    def _plain(self, real: Path) -> list[str]:
        seen, self.data_dir = self.data_dir, real
        try:
            return super().command()
        finally:
            self.data_dir = seen

    def real_dir(self) -> Path:
        real = self.directory / "data"
        real.mkdir(exist_ok=True)
        return real

    def start(self):
        super().start()
        self.data_dir = Path(f"/proc/{self.process.pid}/root{self.directory / 'data'}")
        return self

    def fill(self) -> None:
        """Leaves no byte free."""
        with open(self.data_dir / "ballast", "ab", buffering=0) as ballast:
            size = 1 << 16
            while size:
                try:
                    written = ballast.write(bytes(size))
                    size = size if written == size else size // 2
                except OSError:
                    size //= 2

    def copy_to(self, where: Path) -> None:
        """As a process that was killed leaves it: the file system goes with its process."""
        os.kill(self.process.pid, signal.SIGSTOP)
        shutil.copytree(self.data_dir, where)
        os.kill(self.process.pid, signal.SIGCONT)

    def make_room(self) -> None:
        (self.data_dir / "ballast").unlink()


def can_mount(where: Path) -> bool:
    command = ["unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o size=1m none {shlex.quote(str(where))}"]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0
    except OSError:
        return False


@pytest.fixture
def small_world(request, tmp_path):
    if not can_mount(tmp_path):
        pytest.skip("no file system can be mounted here without privileges")
    settings = {"DOWNLINK_STORE_MIN_FREE_PERCENT": "0", "DOWNLINK_COMMANDS_QUEUE_LIMIT": "100000", "DOWNLINK_PUSH_RETRY_FIRST_MS": "100"}
    settings["DOWNLINK_STORE_MIN_FREE_BYTES"] = str(request.param)
    server = SmallDisk(tmp_path, settings)
    world = World(server.start())
    yield world
    world.close()
    print(server.explain(""))
    assert b"panicked" not in server.log.read_bytes()


class Creator(threading.Thread):
    def __init__(self, world, targets):
        super().__init__(daemon=True)
        self.world, self.targets = world, targets
        self.over, self.promised, self.errors = threading.Event(), [], {}

    def run(self):
        n = 0
        while not self.over.is_set():
            n += 1
            answer = self.world.na.create_raw(self.targets[n % len(self.targets)].device_id, self.world.receiver.url)
            if answer.status == 201:
                self.promised.append(answer.json["commandId"])
            else:
                self.errors[(answer.status, answer.error)] = self.errors.get((answer.status, answer.error), 0) + 1


def answering(world) -> RawDevice:
    device = RawDevice(world.server.mqtt, world.na.register())

    def run(came):
        try:
            device.answer(json.loads(came.payload)["mid"])
        except OSError:
            pass

    device.on_publish = run
    return device.start()


# The reserve, and how creates are refused: by the reserve, or by the store that could not write.
CASES = [pytest.param(4 << 20, (503, "100501"), id="reserve"), pytest.param(0, (500, "50252"), id="to the last byte")]


@pytest.mark.parametrize("small_world,refusal", CASES, indirect=["small_world"])
def test_a_full_disk_loses_nothing(small_world, refusal, tmp_path):
    world = small_world
    devices = [answering(world) for _ in range(3)]
    targets = [device.credentials for device in devices] + [world.na.register()]
    creators = [Creator(world, targets) for _ in range(CREATORS)]
    for creator in creators:
        creator.start()
    promised = lambda: sum(len(creator.promised) for creator in creators)
    refused = lambda: sum(creator.errors.get(refusal, 0) for creator in creators)
    until(lambda: promised() > 200, 60, "creates before the disk is full")
    world.server.fill()
    until(lambda: refused() > 50, 60, lambda: f"refusals {refusal}; there are {[c.errors for c in creators]}")
    world.server.make_room()
    room_at = promised()
    until(lambda: promised() > room_at + 200, 60, "creates when there is room again")
    for creator in creators:
        creator.over.set()
        creator.join(60)

    odd = {error: n for creator in creators for error, n in creator.errors.items() if error != refusal}
    commands = {command["commandId"]: command for command in world.na.list()}
    ids = {command for creator in creators for command in creator.promised}
    print(f"{promised()} created, {refused()} refused with {refusal}; otherwise refused: {odd}")
    assert ids <= set(commands), f"{len(ids - set(commands))} accepted and lost"
    assert not {error for error in odd if error[0] not in (500, 503)}, odd
    for device in devices:
        device.close()
    world.check_alive()
    left = tmp_path / "left"
    world.server.copy_to(left)
    assert done("verify", "--data-dir", left)["sound"] is True
