"""Kills the server at random instants under load, as often as one asks, and prints the ledger that was kept outside.

    python -m tests.durability.kills --kills 500

After about half of the kills the power is taken as gone, too: what no sync covers is taken back. Exit code 1: a promise was
not kept."""

import argparse
import contextlib
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from durability import syncdrop  # noqa: E402
from durability.test_backup import done  # noqa: E402
from durability.test_crash_ledger import FINAL, Creator, LedgerDevice, faults, told_of, wait_for_all_final, wait_until_told  # noqa: E402
from kit.receiver import Reply, overtakings  # noqa: E402
from kit.server import Server  # noqa: E402
from kit.wait import until  # noqa: E402
from kit.world import World  # noqa: E402

DEVICES, CREATORS, LONGEST_SECS = 8, 4, 0.4
# So many kills are made with the receiver in one mood.
MOOD_KILLS = 4
# Threads that serve connections: with several, pushes have one of their own.
THREADS = ["1", "2"]

SETTINGS = {
    "DOWNLINK_COMMANDS_QUEUE_LIMIT": "1000",
    "DOWNLINK_COMMANDS_ACK_WAIT_SECS": "3",
    "DOWNLINK_COMMANDS_RESPONSE_WAIT_SECS": "5",
    "DOWNLINK_COMMANDS_RESTART_GRACE_SECS": "3",
    "DOWNLINK_PUSH_RETRY_FIRST_MS": "100",
    "DOWNLINK_PUSH_RETRY_LONGEST_MS": "1000",
}


class CountedCreator(Creator):
    """Knows whether a call of its own is under way."""

    calling = False

    def create_one(self):
        self.calling = True
        try:
            super().create_one()
        finally:
            self.calling = False
        # A steady load, not the most that there can be: queues stay short and every life has all kinds of work.
        time.sleep(self.rng.random() * 0.05)


@dataclass
class Ledger:
    """What happened."""

    kills: int = 0
    in_flight: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    power_losses: int = 0
    undone: int = 0
    threads: dict[str, int] = field(default_factory=lambda: dict.fromkeys(THREADS, 0))
    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def note(self, work: dict[str, bool], threads: str) -> None:
        self.kills += 1
        self.threads[threads] += 1
        self.in_flight += any(work.values())
        for kind, is_there in work.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + is_there

    def show(self) -> str:
        share = 100 * self.in_flight / max(1, self.kills)
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.kinds.items())
        head = f"{self.kills} kills, {self.in_flight} ({share:.1f} %) with work in flight: {kinds}"
        power = f"{self.power_losses} of them with loss of what was not synced: {self.undone} changes taken back"
        threads = ", ".join(f"{kills} kills with {count}" for count, kills in self.threads.items())
        return "\n".join([head, power, f"threads: {threads}", *self.lines, f"{len(self.wrong)} faults", *self.wrong[:20]])


def moods(receiver, rng):
    """What the receiver is like, one after the other; well when this is closed."""
    slow = lambda _push: Reply(after_secs=rng.choice([0, 0.05, 0.3]))
    refusing = lambda _push: Reply(rng.choice([200, 500]))
    while True:
        for decide in (None, slow, refusing):
            receiver.decide = decide
            yield
        receiver.decide = None
        receiver.away()
        try:
            yield
        finally:
            receiver.back()


def work_of(world, creators, devices) -> dict[str, bool]:
    """What was begun and not ended, as far as it is seen from outside."""
    requests = world.receiver.requests()
    promised = {command for creator in creators for command in list(creator.promised)}
    ended = {push.command_id for push in requests if push.accepted and push.status in FINAL}
    return {
        "a create": any(creator.calling for creator in creators),
        "a device's answer": any(device.answers for device in devices),
        "a command not finally told": bool(promised - ended),
    }


def kill_often(world, drop, creators, devices, kills: int, rng, mood, ledger: Ledger) -> None:
    for n in range(kills):
        if n % MOOD_KILLS == 0:
            next(mood)
        time.sleep(rng.random() * LONGEST_SECS)  # a random instant is what is wanted
        ledger.note(work_of(world, creators, devices), world.server.env["DOWNLINK_SERVER_THREADS"])
        world.server.kill()
        if rng.random() < 0.5:
            ledger.power_losses += 1
            ledger.undone += drop.rollback(rng if rng.random() < 0.5 else None)
        else:
            drop.keep_all()
        world.server.env["DOWNLINK_SERVER_THREADS"] = rng.choice(THREADS)
        world.server.start()


def run(directory: Path, kills: int, rng: random.Random, library: Path) -> Ledger:
    """The whole of it: load, kills, the end of all work, the ledger."""
    server, ledger = Server(directory, dict(SETTINGS)), Ledger()
    server.data_dir.mkdir(mode=0o700)
    drop = syncdrop.SyncDrop(server.data_dir, directory / "side", library)
    server.env.update(drop.env(), DOWNLINK_SERVER_THREADS=rng.choice(THREADS))
    world = World(server.start())
    began = time.monotonic()
    try:
        online, offline = [world.na.register() for _ in range(DEVICES)], [world.na.register() for _ in range(2)]
        devices = [LedgerDevice(world, credentials, n) for n, credentials in enumerate(online)]
        creators = [
            CountedCreator(world, sys.maxsize, online, offline, random.Random(rng.getrandbits(64))) for _ in range(CREATORS)
        ]
        for thread in devices + creators:
            thread.start()
        until(lambda: all(creator.promised for creator in creators), 60, "creates")
        with contextlib.closing(moods(world.receiver, rng)) as mood:
            kill_often(world, drop, creators, devices, kills, rng, mood, ledger)
        settle(world, creators, devices, ledger)
        ledger.lines.append(f"{time.monotonic() - began:.0f} s")
    finally:
        world.close()
    if b"panicked" in server.log.read_bytes():
        ledger.wrong.append(server.explain("the server panicked"))
    report = done("verify", "--data-dir", server.data_dir)
    ledger.lines.append(f"the store: {report['checked']} rules hold")
    return ledger


def settle(world, creators, devices, ledger: Ledger) -> None:
    """No more is created; all that was ends and is told; then the books are compared."""
    for creator in creators:
        creator.share = 0
    until(lambda: not any(creator.is_alive() for creator in creators), 60, "the last creates")
    world.receiver.decide = None
    commands = wait_for_all_final(world, time.monotonic())
    wait_until_told(world, commands, time.monotonic())
    for device in devices:
        device.over.set()
    until(lambda: not world.admin.any_push(), 60, "no stored push")
    promised = {command_id: device for creator in creators for command_id, device in creator.promised.items()}
    withdrawn = set().union(*(creator.withdrawn for creator in creators))
    told, requests = told_of(world.receiver), world.receiver.requests()
    changes = sum(map(len, told.values()))
    finals = {status: sum(c["status"] == status for c in commands.values()) for status in sorted(FINAL)}
    ledger.wrong += faults(promised, withdrawn, commands, told) + overtakings(requests)
    ledger.wrong += [odd for creator in creators for odd in creator.odd]
    ledger.lines += [
        f"{len(promised)} accepted, {len(commands)} kept ({len(commands) - len(promised)} whose answer was cut off), "
        f"{sum(bool(told.get(key)) for key in commands)} finally told",
        f"one final status each: {finals}",
        f"{changes} changes told in order, {len(requests) - changes} requests were repeats or refused",
    ]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--kills", type=int, default=500)
    arguments.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    given = arguments.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        library = syncdrop.build(Path(directory))
        ledger = run(Path(directory), given.kills, random.Random(given.seed), library)
    print(ledger.show())
    return 1 if ledger.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
