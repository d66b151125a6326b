"""A receiver that refuses one try in fifty at random, and is restarted in between: no push of a command overtakes another."""

import threading

import pytest

from kit.device import PahoDevice
from kit.receiver import Reply, overtakings
from kit.wait import until

pytestmark = pytest.mark.settings(push_retry_first_ms=50, push_retry_longest_ms=500)

DEVICES, COMMANDS_EACH, RESTARTS, REFUSES_ONE_IN = 6, 40, 4, 50
STATUSES = ["SENT", "DELIVERED", "SUCCESSFUL"]


class Commands(threading.Thread):
    """One command of a device after the other."""

    def __init__(self, world):
        super().__init__(daemon=True)
        self.world, self.device, self.made = world, world.device(PahoDevice), []

    def run(self):
        for _ in range(COMMANDS_EACH):
            self.made.append(self.world.create(self.device))
            self.device.answer(self.device.next_command()["mid"])


def made(threads) -> int:
    return sum(len(thread.made) for thread in threads)


@pytest.mark.parametrize("refused_with", [500, 404, 302])
def test_no_push_overtakes(world, rng, refused_with):
    receiver = world.receiver
    moments = sorted(rng.sample(range(10, DEVICES * COMMANDS_EACH - 20), RESTARTS))
    receiver.decide = lambda push: Reply(refused_with if rng.randrange(REFUSES_ONE_IN) == 0 else 200)
    threads = [Commands(world) for _ in range(DEVICES)]
    for thread in threads:
        thread.start()
    for moment in moments:
        until(lambda: made(threads) >= moment, 60, f"{moment} commands", 0.001)
        receiver.away()
        until(lambda: made(threads) >= moment + 10, 60, "commands while it is away", 0.001)
        receiver.back()
    for thread in threads:
        thread.join(60)
    assert made(threads) == DEVICES * COMMANDS_EACH

    def untold():
        told = {}
        for push in receiver.requests():
            if push.accepted:
                told.setdefault(push.command_id, {}).setdefault(push.webhook_id, push.status)
        commands = (command["commandId"] for thread in threads for command in thread.made)
        return [(key, list(told.get(key, {}).values())) for key in commands if list(told.get(key, {}).values()) != STATUSES]

    until(lambda: not untold(), 60, lambda: f"all told; not: {untold()[:5]}", 0.1)
    requests = receiver.requests()
    wrong = overtakings(requests)
    refused = sum(not push.accepted for push in requests)
    print(f"{len(requests)} requests, {refused} refused")
    assert refused and not wrong, "\n".join(wrong[:20] + [f"{len(wrong)} faults"])
