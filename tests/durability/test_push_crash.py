"""Crashes while the receiver is away, slow, refusing, coming and going, or well: no push is lost, a repetition carries the
id of the first time, and none of a command overtakes another."""

import time

import pytest

from durability.test_crash_ledger import Creator, LedgerDevice, faults, told_of, wait_for_all_final, wait_until_told
from kit.receiver import Reply, overtakings
from kit.wait import until

pytestmark = pytest.mark.settings(
    commands_queue_limit=1000,
    commands_ack_wait_secs=3,
    commands_response_wait_secs=5,
    commands_restart_grace_secs=3,
    push_retry_first_ms=100,
    push_retry_longest_ms=1000,
)

COMMANDS, CRASHES, CRASHES_AFTER, DEVICES, CREATORS, AT_MOST_SECS = 200, 4, 2, 5, 2, 120


class Kinds:
    """What receivers are like, until they are well."""

    @staticmethod
    def away(receiver, _rng):
        receiver.away()

    @staticmethod
    def slow(receiver, rng):
        receiver.decide = lambda push: Reply(after_secs=rng.choice([0, 0.05, 0.5]))

    @staticmethod
    def refusing(receiver, rng):
        receiver.decide = lambda push: Reply(rng.choice([200, 500]))

    @staticmethod
    def well(_receiver, _rng):
        pass


def crash(world):
    world.server.kill()
    world.server.start()


def crash_while_it_catches_up(world, rng):
    """Moments are counted in requests; if there are no more, in nothing."""
    for _ in range(CRASHES_AFTER):
        moment = len(world.receiver.requests()) + rng.randrange(1, 40)
        until(lambda: len(world.receiver.requests()) >= moment or not world.admin.any_push(), AT_MOST_SECS, "catching up")
        crash(world)


@pytest.mark.parametrize("kind", ["away", "slow", "refusing", "well", "coming and going"])
def test_no_push_is_lost_over_crashes(world, rng, kind):
    began = time.monotonic()
    online = [world.na.register() for _ in range(DEVICES)]
    devices = [LedgerDevice(world, credentials, n) for n, credentials in enumerate(online)]
    offline = [world.na.register()]
    share = COMMANDS // CREATORS
    creators = [Creator(world, share, online, offline, type(rng)(rng.getrandbits(64))) for _ in range(CREATORS)]
    comes_and_goes = kind == "coming and going"
    getattr(Kinds, "away" if comes_and_goes else kind)(world.receiver, rng)
    for thread in devices + creators:
        thread.start()

    for n, moment in enumerate(sorted(rng.sample(range(10, COMMANDS - 10), CRASHES))):
        until(lambda: sum(len(c.promised) for c in creators) >= moment, AT_MOST_SECS, f"{moment} creates", 0.001)
        crash(world)
        if comes_and_goes:
            world.receiver.away() if n % 2 else world.receiver.back()
    until(lambda: not any(creator.is_alive() for creator in creators), AT_MOST_SECS, "all creates")
    commands = wait_for_all_final(world, began)

    world.receiver.decide = None
    if kind == "away" or comes_and_goes:
        world.receiver.back()
    crash_while_it_catches_up(world, rng)
    wait_until_told(world, commands, began)
    until(lambda: not world.admin.any_push(), what=lambda: f"no stored push; there is: {world.admin.pushes()[:5]}")
    for device in devices:
        device.over.set()

    promised = {command_id: device for creator in creators for command_id, device in creator.promised.items()}
    withdrawn = set().union(*(creator.withdrawn for creator in creators))
    told, requests = told_of(world.receiver), world.receiver.requests()
    wrong = faults(promised, withdrawn, commands, told) + overtakings(requests)
    wrong += [odd for creator in creators for odd in creator.odd]
    repeats = len(requests) - sum(map(len, told.values()))
    print(f"{len(promised)} promised, {sum(map(len, told.values()))} told, {repeats} repeated; {time.monotonic() - began:.0f} s")
    assert not wrong, "\n".join(wrong[:20] + [f"{len(wrong)} faults"])


IN_FLIGHT, RESUMED_SECS = 8, 2


@pytest.mark.parametrize("kept", ["in their commands", "stored"])
def test_what_was_in_flight_is_sent_again_soon_after_a_start(world, kept):
    """The receiver has the requests and says nothing; the server is killed; the same pushes come again, all of them, within
    two seconds of when the server is ready. What is stored has failed once before it hangs."""
    refused: set[str] = set()

    def hang(push):
        if kept == "stored" and push.webhook_id not in refused:
            refused.add(push.webhook_id)
            return Reply(404)
        return Reply(500, after_secs=60)

    world.receiver.decide = hang
    device = world.na.register()
    commands = [world.create(device)["commandId"] for _ in range(IN_FLIGHT)]
    for command in commands:
        assert world.na.cancel_raw(command).status == 200
    until(lambda: len(hanging(world, refused)) == IN_FLIGHT, what=lambda: f"pushes in flight; there are {hanging(world, refused)}")
    before = world.receiver.requests()
    in_flight = hanging(world, refused)
    world.server.kill()
    world.receiver.decide = None
    began = time.time()
    world.server.start()
    ready = time.time()

    def again():
        first: dict[str, float] = {}
        for push in world.receiver.requests()[len(before) :]:
            first.setdefault(push.webhook_id, push.came_at)
        return set(first) >= in_flight and [first[push_id] for push_id in in_flight]

    came = until(again, 20, lambda: f"{in_flight} again")
    after_ready, after_start = max(came) - ready, max(came) - began
    first_after_ready = min(came) - ready
    print(f"in flight {kept}: the first {first_after_ready:.3f} s after ready, the last {after_ready:.3f}, {after_start:.3f} s after the start")
    assert after_ready <= RESUMED_SECS


def hanging(world, refused: set[str]) -> set[str]:
    """The ids of requests that are not answered: of those that were refused, the second ones."""
    ids = [push.webhook_id for push in world.receiver.requests()]
    return {push_id for push_id in ids if ids.count(push_id) > (push_id in refused)}
