"""A pause that a receiver asked for, over a restart of the server: the push that was answered so is not sent before."""

import time

import pytest

from kit.receiver import Push, Reply
from kit.wait import until

pytestmark = pytest.mark.settings(push_retry_first_ms=100, push_retry_longest_ms=500)

ASKED_SECS = 8


def cancelled(world, device) -> str:
    """A command of which one push comes."""
    command = world.create(device)["commandId"]
    assert world.na.cancel_raw(command).status == 200
    return command


def asked_for(world, device) -> tuple[str, float]:
    """A command whose push was put off by the receiver and is stored, and until when."""
    world.receiver.decide = lambda push: Reply(503, {"Retry-After": str(ASKED_SECS)})
    command = cancelled(world, device)
    [push] = until(lambda: world.admin.pushes(state="due", command=command), what="a stored push")
    assert push["tries"] == 1
    [first] = world.receiver.requests()
    return command, first.came_at + ASKED_SECS


def early(world, command: str, until_then: float) -> list[float]:
    """By how many seconds its later requests came too early."""
    mine = [push for push in world.receiver.requests() if push.command_id == command][1:]
    return [until_then - push.came_at for push in mine if push.came_at < until_then]


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_it_is_kept_over_a_restart(world, how):
    device = world.na.register()
    command, until_then = asked_for(world, device)
    world.server.restart(how)
    world.receiver.decide = None
    other = cancelled(world, device)
    world.receiver.wait_for(other, "CANCELED")
    world.receiver.wait_for(command, "CANCELED", until_then - time.time() + 20)
    assert early(world, command, until_then) == []
    until(lambda: not world.admin.any_push(), what="no stored push")


@pytest.mark.settings(push_retry_longest_ms=600_000)
def test_it_is_kept_when_the_receiver_fails_and_comes_back_after_the_restart(world):
    """When a receiver works again, pushes that wait for a pause of our own making are tried early. What the receiver itself asked
    for is none of these."""
    device = world.na.register()
    command, until_then = asked_for(world, device)
    world.server.restart("kill")
    world.receiver.decide = lambda push: Reply(500)
    others = [cancelled(world, device) for _ in range(12)]
    failed: list[Push] = until(lambda: failures(world) >= 12 and world.receiver.requests(), 30, "failures")
    assert early(world, command, until_then) == [], failed
    world.receiver.decide = None
    for other in others:
        world.receiver.wait_for(other, "CANCELED")
    world.receiver.wait_for(command, "CANCELED", until_then - time.time() + 20)
    assert early(world, command, until_then) == []


def failures(world) -> int:
    return len([push for push in world.receiver.requests() if not push.accepted])
