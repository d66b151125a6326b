"""Sending given-up pushes again while later changes of the same command are on their way by themselves."""

import pytest

from kit import metrics
from kit.device import PahoDevice
from kit.receiver import Reply
from kit.server import APP_ID
from kit.wait import until

pytestmark = pytest.mark.settings(push_retry_first_ms=100, push_retry_longest_ms=500)

# Pushes of other commands that are before it in the receiver's queue, at one a second.
BEFORE = 6


def backlog(world) -> int:
    [line] = [line for line in metrics.text(world.server).splitlines() if line.startswith("downlink_push_backlog ")]
    return int(line.split()[1])


def test_what_waits_in_memory_does_not_come_before_what_is_sent_again(world):
    """SENT was given up, DELIVERED accepted. SUCCESSFUL waits in memory, since the receiver has a rate; SENT is sent again. From
    then on all of it comes in order: SUCCESSFUL not before SENT and DELIVERED."""
    world.receiver.decide = lambda push: Reply(410) if push.status == "SENT" else Reply()
    device = world.device(PahoDevice)
    command = world.create(device)
    mid = device.next_command()["mid"]
    world.receiver.wait_for(command["commandId"], "DELIVERED")
    until(lambda: [push["state"] for push in world.admin.pushes()] == ["dead"], what="nothing but one that is given up")
    [dead] = world.admin.pushes()

    world.admin.call("PUT", "/receivers/rate", {"app": APP_ID, "url": world.receiver.url, "rate": 1})
    world.receiver.decide = None
    absent = world.na.register()
    for _ in range(BEFORE):
        assert world.na.cancel_raw(world.create(absent)["commandId"]).status == 200
    # Else a sweep may find SUCCESSFUL together with them, and before them.
    until(lambda: backlog(world) >= BEFORE - 1, what="those before it in memory")
    device.answer(mid)
    until(lambda: world.status(command) == "SUCCESSFUL", what="SUCCESSFUL in the record")
    before = len(world.receiver.requests())
    assert "SUCCESSFUL" not in world.receiver.statuses(command["commandId"]), "it should wait; the test is too slow"
    assert world.admin.call("POST", f"/pushes/{dead['id']}/replay")["replayed"] == 3

    def came() -> list[str]:
        return [push.status for push in world.receiver.requests()[before:] if push.command_id == command["commandId"]]

    until(lambda: not world.admin.any_push() and "SUCCESSFUL" in came(), 60, lambda: f"all of it; came: {came()}")
    assert came() == ["SENT", "DELIVERED", "SUCCESSFUL"]
