"""Devices that do not acknowledge, do not answer, answer late, or never come."""

import json
import time

import pytest

from kit.rawmqtt import RawDevice

NO_ACKS = {"make": RawDevice, "auto_ack": False}


def mid_of(came) -> int:
    return json.loads(came.payload)["mid"]


@pytest.mark.settings(commands_ack_wait_secs=1)
def test_an_immediate_command_without_acknowledgement_times_out(world):
    device = world.device(**NO_ACKS)
    command = world.create(device, expire=0)
    assert device.next_publish().qos == 1
    world.receiver.expect(command, "SENT", "TIMEOUT")
    assert world.status(command) == "TIMEOUT"
    assert device.closed.wait(20), "a session that does not acknowledge is half-dead"


@pytest.mark.settings(commands_response_wait_secs=1)
def test_no_answer_times_out_and_a_late_one_amends_it_once(world):
    device = world.device()
    command = world.create(device)
    mid = mid_of(device.next_publish())
    world.receiver.expect(command, "SENT", "DELIVERED", "TIMEOUT")
    assert world.status(command) == "TIMEOUT"

    first = device.answer(mid, body='{"late":1}')
    assert device.acks.get(timeout=20) == first
    history = ["SENT", "DELIVERED", "TIMEOUT", ("SUCCESSFUL", '{"late":1}')]
    world.receiver.expect(command, *history)
    second = device.answer(mid, errcode=1, body='{"late":2}')
    assert device.acks.get(timeout=20) == second, "acknowledged, and without effect"
    assert world.status(command) == "SUCCESSFUL"
    world.check_alive()
    world.receiver.expect(command, *history)


def test_a_command_for_a_device_that_never_comes_expires(world):
    credentials = world.na.register()
    began = time.monotonic()
    command = world.create(credentials, expire=1)
    assert command["status"] == "PENDING"
    world.receiver.expect(command, "EXPIRED")
    assert 0.5 < time.monotonic() - began < 5
    assert world.status(command) == "EXPIRED"

    device = world.device(credentials=credentials)
    following = world.create(device)
    device.answer(mid_of(device.next_publish()))
    world.receiver.expect(following, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    assert device.publishes.empty(), "what expired is not sent"


ACK_WAIT, MAX_SENDS = 1, 3


@pytest.mark.settings(commands_ack_wait_secs=ACK_WAIT, commands_max_sends=MAX_SENDS)
def test_a_command_that_is_never_acknowledged_does_not_block_the_next_for_long(world):
    credentials = world.na.register()
    blocking, waiting = world.create(credentials), world.create(credentials)
    device = world.device(**NO_ACKS, credentials=credentials)
    began, sent = time.monotonic(), [device.next_publish()]
    while mid_of(sent[-1]) == mid_of(sent[0]):
        assert len(sent) <= MAX_SENDS, "sent more often than allowed"
        assert device.closed.wait(20)
        device = world.device(**NO_ACKS, credentials=credentials)
        sent.append(device.next_publish())
    assert len(sent) == MAX_SENDS + 1
    assert time.monotonic() - began < MAX_SENDS * ACK_WAIT + 5
    world.receiver.expect(blocking, "SENT", "TIMEOUT")

    device.ack(sent[-1])
    device.answer(mid_of(sent[-1]))
    world.receiver.expect(waiting, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))


@pytest.mark.settings(commands_ack_wait_secs=2)
def test_a_cached_command_goes_out_again_with_the_next_session(world):
    """The connection broke before the acknowledgement: same command, sent again, told once."""
    first = world.device(**NO_ACKS)
    command = world.create(first)
    came = first.next_publish()
    first.close()
    second = world.device(credentials=first.credentials)
    again = second.next_publish()
    assert again.payload == came.payload
    second.answer(mid_of(again))
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
