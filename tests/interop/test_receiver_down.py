"""A receiver that is away or fails, also over a restart of the server: all that was missed comes, in order."""

import pytest

from kit.device import PahoDevice
from kit.receiver import Receiver
from kit.wait import until

SOON = pytest.mark.settings(push_retry_first_ms=100, push_retry_longest_ms=500)
DONE = ["SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}')]


def run_commands(world, count):
    """Commands that succeed while nobody listens to the pushes."""
    device, commands = world.device(PahoDevice), []
    for _ in range(count):
        commands.append(world.create(device))
        device.answer(device.next_command()["mid"])
        until(lambda: world.status(commands[-1]) == "SUCCESSFUL", what="SUCCESSFUL in the record")
    device.stop()
    return commands


@SOON
@pytest.mark.parametrize("restart", ["none", "terminate", "kill"])
def test_a_receiver_that_was_away(world, restart):
    world.receiver.away()
    commands = run_commands(world, 3)
    if restart != "none":
        world.server.restart(restart)
    world.receiver.back()
    for command in commands:
        world.receiver.expect(command, *DONE, timeout=60)
    world.check_alive()


@SOON
@pytest.mark.parametrize("status", [302, 404, 500, 503])
def test_a_receiver_that_refuses(world, status):
    world.receiver.answer_status = status
    commands = run_commands(world, 2)
    until(lambda: len(world.receiver.requests()) >= 3, what="tries")
    world.receiver.answer_status = 200
    for command in commands:
        world.receiver.expect(command, *DONE, timeout=60)
        ids = {push.webhook_id for push in world.receiver.requests() if push.command_id == command["commandId"]}
        assert len(ids) == len(DONE), "a repeat carries the id of the first try"


@SOON
def test_a_dead_receiver_delays_nobody_else(world):
    """Its port answers nobody; another receiver's pushes come meanwhile."""
    dead = Receiver()
    dead.away()
    device = world.device(PahoDevice)
    stuck = world.na.create(device.credentials.device_id, dead.url)
    device.answer(device.next_command()["mid"])
    for _ in range(5):
        world.check_alive()
    dead.back()
    dead.expect(stuck, *DONE, timeout=60)
    dead.close()
