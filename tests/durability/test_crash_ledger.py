"""A ledger over ten crashes: every command that was promised ends, once, and it is told in order.

Commands are created for devices that come and go, while the server is killed at random moments. The devices behave as
real ones do: they answer over the next connection what they could not answer over the last."""

import json
import threading
import time

import pytest

from kit.na import FINAL
from kit.rawmqtt import RawDevice
from kit.wait import until
from kit.world import World

pytestmark = pytest.mark.settings(
    commands_queue_limit=1000,
    commands_ack_wait_secs=3,
    commands_response_wait_secs=5,
    commands_restart_grace_secs=3,
    push_retry_first_ms=100,
    push_retry_longest_ms=1000,
)

COMMANDS, CRASHES, DEVICES, CREATORS, AT_MOST_SECS = 1000, 10, 10, 4, 180

# What a command may be told, in order, up to its end. PENDING is not pushed.
PATHS = {
    ("SENT", "DELIVERED", "SUCCESSFUL"),
    ("SENT", "DELIVERED", "FAILED"),
    ("SENT", "TIMEOUT"),
    ("SENT", "DELIVERED", "TIMEOUT"),
    ("EXPIRED",),
    ("CANCELED",),
}
LATE = {path + (late,) for path in PATHS if path[-1] == "TIMEOUT" for late in ("SUCCESSFUL", "FAILED")}


class LedgerDevice(threading.Thread):
    """Connects whenever it is not, runs what comes, answers until its answer is acknowledged."""

    def __init__(self, world, credentials, seed):
        super().__init__(daemon=True)
        self.world, self.credentials, self.unsure = world, credentials, seed % 7
        self.over = threading.Event()
        self.answers: dict[int, int] = {}
        self.runs: dict[int, int] = {}

    def run(self):
        while not self.over.is_set():
            device = RawDevice(self.world.server.mqtt, self.credentials)
            device.on_publish = lambda came, device=device: self.execute(device, came)
            try:
                device.start()
                for mid in list(self.answers):
                    self.answer(device, mid)
                while not device.closed.is_set() and not self.over.is_set():
                    self.take_acks(device)
            except Exception:
                self.over.wait(0.05)
            finally:
                self.take_acks(device)
                device.close() if hasattr(device, "socket") else None

    def execute(self, device, came):
        mid = json.loads(came.payload)["mid"]
        self.runs[mid] = self.runs.get(mid, 0) + 1
        self.answers[mid] = 0
        try:
            self.answer(device, mid)
        except OSError:
            pass

    def answer(self, device, mid):
        packet_id = device.next_id()
        device.pending = {**getattr(device, "pending", {}), packet_id: mid}
        device.answer(mid, errcode=int(mid % 5 == 0), packet_id=packet_id)

    def take_acks(self, device):
        try:
            while True:
                packet_id = device.acks.get(timeout=0.02)
                self.answers.pop(getattr(device, "pending", {}).get(packet_id), None)
        except Exception:
            return


class Creator(threading.Thread):
    """Creates its share of the commands, through all crashes; withdraws a few."""

    def __init__(self, world, share, online, offline, rng):
        super().__init__(daemon=True)
        self.world, self.share, self.online, self.offline, self.rng = world, share, online, offline, rng
        self.promised: dict[str, str] = {}
        self.withdrawn: set[str] = set()
        self.odd: list[str] = []

    def run(self):
        while len(self.promised) < self.share:
            try:
                self.create_one()
            except Exception:
                time.sleep(0.02)  # the server is down: back off, as a client does

    def create_one(self):
        kind = self.rng.random()
        target = self.rng.choice(self.offline if kind < 0.1 else self.online)
        expire = 2 if kind < 0.1 else 0 if kind < 0.3 else 600
        answer = self.world.na.create_raw(target.device_id, self.world.receiver.url, expire)
        if answer.status != 201:
            if answer.error not in ("100428", "100501"):  # not reachable; too busy
                self.odd.append(f"a create was answered {answer}")
            return
        command_id = answer.json["commandId"]
        self.promised[command_id] = target.device_id
        if 0.05 < kind < 0.1 and self.world.na.cancel_raw(command_id).status == 200:
            self.withdrawn.add(command_id)


@pytest.fixture
def world(server):
    world = World(server.start())
    yield world
    world.close()


def test_every_promise_is_kept_over_ten_crashes(world, rng):
    began = time.monotonic()
    online = [world.na.register() for _ in range(DEVICES)]
    offline = [world.na.register() for _ in range(3)]
    devices = [LedgerDevice(world, credentials, n) for n, credentials in enumerate(online)]
    shares = [COMMANDS // CREATORS] * CREATORS
    creators = [Creator(world, share, online, offline, type(rng)(rng.getrandbits(64))) for share in shares]
    for thread in devices + creators:
        thread.start()

    crash_at_random_moments(world, creators, rng)
    until(lambda: not any(creator.is_alive() for creator in creators), AT_MOST_SECS, "all creates")
    promised = {command_id: device for creator in creators for command_id, device in creator.promised.items()}
    withdrawn = set().union(*(creator.withdrawn for creator in creators))
    commands = wait_for_all_final(world, began)
    for device in devices:
        device.over.set()

    told = told_of(world.receiver)
    wait_until_told(world, commands, began)
    told = told_of(world.receiver)
    wrong = faults(promised, withdrawn, commands, told) + [odd for creator in creators for odd in creator.odd]
    finals = {status: sum(c["status"] == status for c in commands.values()) for status in FINAL}
    repeats = len(world.receiver.requests()) - sum(map(len, told.values()))
    print(f"{len(promised)} promised, {len(commands)} kept: {finals}; {repeats} repeated pushes; {time.monotonic() - began:.0f} s")
    assert not wrong, "\n".join(wrong[:20] + [f"{len(wrong)} faults"])


def crash_at_random_moments(world, creators, rng):
    """Moments are counted in promises, so that a slow machine is crashed in the middle of work as well."""
    moments = sorted(rng.sample(range(20, COMMANDS - 20), CRASHES))
    for moment in moments:
        until(lambda: sum(len(c.promised) for c in creators) >= moment, AT_MOST_SECS, f"{moment} creates", 0.001)
        world.server.kill()
        world.server.start()


def wait_for_all_final(world, began):
    left = AT_MOST_SECS - (time.monotonic() - began)

    def all_final():
        commands = {command["commandId"]: command for command in world.na.list()}
        return commands if all(c["status"] in FINAL for c in commands.values()) else None

    def open_ones():
        return [(c["commandId"], c["status"], c["deviceId"]) for c in world.na.list() if c["status"] not in FINAL][:10]

    return until(all_final, left, lambda: f"a final status of every command; open: {open_ones()}", 0.5)


def told_of(receiver):
    """First arrivals, repeats left out, by command."""
    told: dict[str, dict[str, object]] = {}
    for push in receiver.requests():
        if push.accepted:
            told.setdefault(push.command_id, {}).setdefault(push.webhook_id, push)
    return {command_id: list(pushes.values()) for command_id, pushes in told.items()}


def wait_until_told(world, commands, began):
    left = max(10, AT_MOST_SECS - (time.monotonic() - began))

    def all_told():
        told = told_of(world.receiver)
        return all(told.get(key) and told[key][-1].status == command["status"] for key, command in commands.items())

    def silent():
        told = told_of(world.receiver)
        return [(key, c["status"]) for key, c in commands.items() if not told.get(key) or told[key][-1].status != c["status"]][:5]

    until(all_told, left, lambda: f"every end to be told; silent: {silent()}", 0.2)


def faults(promised, withdrawn, commands, told):
    """Everything that is not as promised."""
    found = [f"{command_id}: promised and gone" for command_id in promised if command_id not in commands]
    for command_id, command in commands.items():
        pushes = told.get(command_id, [])
        path = tuple(push.status for push in pushes)
        if path not in PATHS | LATE:
            found.append(f"{command_id}: told {path}")
        if [push.seq for push in pushes] != sorted(push.seq for push in pushes):
            found.append(f"{command_id}: out of order {[push.webhook_id for push in pushes]}")
        if len({push.body for push in pushes}) != len(pushes):
            found.append(f"{command_id}: one change told under two ids")
        if not path or path[-1] != command["status"]:
            found.append(f"{command_id}: is {command['status']}, told {path}")
        if command_id in withdrawn and command["status"] != "CANCELED":
            found.append(f"{command_id}: withdrawn, and {command['status']}")
    return found
