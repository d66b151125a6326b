"""What becomes of pushes that were not accepted: given up, sent again, held, put off, dropped; and what is on record."""

import json
import time
from email.utils import formatdate

import pytest

from kit import cli
from kit.device import PahoDevice
from kit.receiver import Push, Receiver, Reply
from kit.server import APP_ID
from kit.wait import until

SOON = pytest.mark.settings(push_retry_first_ms=100, push_retry_longest_ms=500)
STATUSES = ["SENT", "DELIVERED", "SUCCESSFUL"]


def run_command(world) -> dict:
    """A command that succeeded, whatever became of its pushes."""
    device = world.device(PahoDevice)
    command = world.create(device)
    device.answer(device.next_command()["mid"])
    until(lambda: world.status(command) == "SUCCESSFUL", what="SUCCESSFUL in the record")
    device.stop()
    return command


def refuse(*statuses: str, with_status: int = 500, **more):
    """A receiver that does not want to hear of these."""
    return lambda push: Reply(with_status, **more) if push.status in statuses else Reply()


def stored(world, command: dict, count: int, state: str) -> list[dict]:
    """Its stored pushes, once they are so many in this state."""

    def found():
        pushes = of_command(world, command)
        return pushes if [push["state"] for push in pushes] == [state] * count else None

    return until(found, 30, lambda: f"{count} {state}; there is: {world.admin.pushes()}")


def nothing_left(world) -> None:
    until(lambda: world.admin.pushes() == [], what=lambda: f"no stored push; there is: {world.admin.pushes()}")


def replay(world, how: str, push: dict) -> int:
    """How many are sent again."""
    if how == "api":
        return world.admin.call("POST", f"/pushes/{push['id']}/replay")["replayed"]
    which = [str(push["id"])] if how == "cli" else ["--receiver", str(push["receiver"])]
    return cli.call(world.server, "push", "replay", *which)["replayed"]


def accepted(receiver: Receiver) -> list[str]:
    return [push.webhook_id for push in receiver.requests() if push.accepted]


@SOON
@pytest.mark.parametrize("how", ["api", "cli", "cli of a receiver"])
def test_gone_gives_one_up_and_those_after_it_go(world, how):
    world.receiver.decide = refuse("SENT", with_status=410)
    command = run_command(world)
    world.receiver.expect(command, "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    [dead] = stored(world, command, 1, "dead")
    assert (dead["status"], dead["tries"], dead["webhookId"]) == ("SENT", 1, f"{command['commandId']}-{dead['sequence']}")
    assert "410" in dead["deadBecause"]
    refused = [push for push in world.receiver.requests() if not push.accepted]
    assert [push.webhook_id for push in refused] == [dead["webhookId"]], "tried once"

    once = accepted(world.receiver)
    world.receiver.decide = None
    assert replay(world, how, dead) == 3
    expected = once + [dead["webhookId"], *once]
    until(lambda: accepted(world.receiver) == expected, what=lambda: f"{expected}; came: {accepted(world.receiver)}")
    nothing_left(world)
    assert world.admin.raw("POST", f"/pushes/{dead['id']}/replay").status == 404


@SOON
@pytest.mark.settings(push_max_age_secs=1)
@pytest.mark.parametrize("how", ["api", "cli", "cli of a receiver"])
@pytest.mark.parametrize("restart", [False, True])
def test_an_old_one_is_given_up_and_sent_again(world, how, restart):
    world.receiver.answer_status = 500
    command = run_command(world)
    dead = stored(world, command, 3, "dead")
    assert [push["status"] for push in dead] == STATUSES
    assert all("old" in push["deadBecause"] for push in dead)
    ids = [push["webhookId"] for push in dead]
    if restart:
        world.server.restart("kill")
        assert [push["webhookId"] for push in stored(world, command, 3, "dead")] == ids

    world.receiver.answer_status = 200
    assert replay(world, how, dead[0]) == 3
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    assert accepted(world.receiver) == ids, "in order, once, under the ids they had"
    nothing_left(world)


@SOON
@pytest.mark.settings(push_max_age_secs=1)
def test_a_later_one_is_sent_again_without_the_earlier(world):
    world.receiver.answer_status = 500
    command = run_command(world)
    dead = stored(world, command, 3, "dead")
    world.receiver.answer_status = 200
    assert replay(world, "api", dead[1]) == 2
    world.receiver.expect(command, "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    [left] = stored(world, command, 1, "dead")
    assert left["id"] == dead[0]["id"]


@SOON
@pytest.mark.settings(push_max_age_secs=2)
@pytest.mark.parametrize("restart", [False, True])
def test_a_held_receiver_keeps_its_pushes(world, restart):
    held = world.admin.hold(world.receiver.url)
    assert held["heldAt"] and held["app"] == APP_ID
    other = Receiver()
    command, waiting = held_command(world)
    before = accepted(world.receiver)
    if restart:
        world.server.restart("kill")
        assert of_command(world, command) == waiting
    # Others are served meanwhile, for longer than a push that is not held may become old.
    began = time.time()
    while time.time() < began + 4:
        check_other(world, other)
    assert accepted(world.receiver) == before and of_command(world, command) == waiting

    assert world.admin.release(world.receiver.url)["heldAt"] is None
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    came = [push_id for push_id in accepted(world.receiver) if push_id.startswith(command["commandId"])]
    assert came == [push["webhookId"] for push in waiting]
    nothing_left(world)
    other.close()


def held_command(world) -> tuple[dict, list[dict]]:
    """A command of which all pushes are held. A hold takes hold a moment after it was asked for: until then pushes go."""

    def one():
        command = run_command(world)
        pushes = until(lambda: of_command(world, command) or world.receiver.pushes(command["commandId"])[2:])
        if isinstance(pushes[0], Push):
            return None
        pushes = until(lambda: told_or_held(world, command), what=lambda: str(world.admin.pushes()))
        return (command, pushes) if len(pushes) == 3 else None

    command, pushes = until(one, 30, "a command that is held as a whole")
    assert [(push["state"], push["behind"]) for push in pushes] == [("held", False), ("held", True), ("held", True)]
    return command, pushes


def told_or_held(world, command: dict) -> list[dict]:
    pushes = of_command(world, command)
    return pushes if len(pushes) + len(world.receiver.pushes(command["commandId"])) == 3 else []


def of_command(world, command: dict) -> list[dict]:
    return world.admin.pushes(command=command["commandId"])


def check_other(world, other: Receiver) -> None:
    device = world.device(PahoDevice)
    command = world.na.create(device.credentials.device_id, other.url)
    device.answer(device.next_command()["mid"])
    other.wait_for(command["commandId"], "SUCCESSFUL")
    device.stop()


@SOON
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_pause_that_is_asked_for_is_kept(world, form):
    """It is longer than the pause that is made when none is asked for."""
    asked = {}

    def busy_once(push: Push) -> Reply:
        if asked:
            return Reply()
        until_then = int(push.came_at) + 7
        text = "7" if form == "seconds" else formatdate(until_then, usegmt=True)
        asked["until"] = push.came_at + 7 if form == "seconds" else until_then
        return Reply(503, {"Retry-After": text}, b"busy")

    world.receiver.decide = busy_once
    device = world.device(PahoDevice)
    first = world.create(device)
    device.answer(device.next_command()["mid"])
    until(lambda: asked, what="the first attempt")
    [waiting] = until(lambda: world.admin.pushes(state="due", command=first["commandId"])[:1], what="a stored push")
    second = world.create(device)
    device.answer(device.next_command()["mid"])
    for command in first, second:
        world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    refused, *others = world.receiver.requests()
    assert refused.webhook_id == waiting["webhookId"]
    early = [push for push in others if push.came_at < asked["until"]]
    assert not early, f"{[asked['until'] - push.came_at for push in early]} s too early"


@pytest.mark.settings(push_retry_first_ms=3_600_000, push_retry_longest_ms=3_600_000)
def test_attempts_are_on_record(world):
    body = b"no\x1b[31m \xff thanks" + b"x" * 1000
    world.receiver.decide = lambda push: Reply(500, body=body)
    command = run_command(world)
    pushes = stored(world, command, 3, "due")
    first = world.admin.push(pushes[0]["id"])
    [attempt] = first["attempts"]
    assert (attempt["outcome"], attempt["phase"], attempt["status"]) == ("status", "body", 500)
    assert "500" in attempt["detail"] and 0 <= attempt["tookMs"] < 15_000
    excerpt = attempt["excerpt"]
    assert excerpt.startswith("no") and " thanksx" in excerpt and len(excerpt.encode()) <= 300
    assert "\x1b" not in excerpt, "what acts on a terminal is replaced"
    assert [world.admin.push(push["id"])["attempts"] for push in pushes[1:]] == [[], []]

    world.server.restart("kill")
    assert world.admin.push(first["id"]) == first
    shown = cli.call(world.server, "push", "show", str(first["id"]))
    assert shown == first
    assert len(world.receiver.requests()) == 1


@SOON
def test_each_kind_of_failure_has_its_word(world):
    """A receiver that is away, then breaks off, then refuses: all on one push, in order."""
    world.receiver.away()
    command = run_command(world)
    pushes = stored(world, command, 3, "due")
    until(lambda: world.admin.push(pushes[0]["id"])["tries"] >= 2, what="tries")
    world.receiver.answer_status = 404
    world.receiver.back()
    until(lambda: "status" in words(world, pushes[0]), what=lambda: str(words(world, pushes[0])))
    found = words(world, pushes[0])
    assert found[: found.index("status")] == ["connect"] * found.index("status")
    world.receiver.answer_status = 200
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))


def words(world, push: dict) -> list[str]:
    return [attempt["outcome"] for attempt in world.admin.push(push["id"])["attempts"]]


@pytest.mark.settings(push_retry_first_ms=3_600_000, push_retry_longest_ms=3_600_000)
def test_the_list_of_the_command_line(world):
    world.receiver.answer_status = 500
    commands = [run_command(world) for _ in range(2)]
    for command in commands:
        stored(world, command, 3, "due")
    page = cli.call(world.server, "push", "list")
    assert page["pushes"] == world.admin.pushes() and len(page["pushes"]) == 6
    of_one = cli.call(world.server, "push", "list", "--command", commands[1]["commandId"], "--state", "due")["pushes"]
    assert [(push["commandId"], push["status"]) for push in of_one] == [(commands[1]["commandId"], s) for s in STATUSES]
    assert cli.call(world.server, "push", "list", "--state", "dead")["pushes"] == []
    assert len(cli.call(world.server, "push", "list", "--for", APP_ID, "--limit", "4")["pushes"]) == 4
    [receiver] = cli.call(world.server, "push", "receivers")["receivers"]
    assert (receiver["waiting"], receiver["dead"], receiver["app"]) == (6, 0, APP_ID)
    waiting = cli.run(world.server, "push", "replay", str(of_one[0]["id"]))
    assert waiting.returncode == 1 and "not given up" in waiting.stderr


def test_a_test_push_tells_how_it_went(world):
    def attempt(url: str) -> dict:
        return json.loads(cli.run(world.server, "push", "test", "--for", APP_ID, url).stdout)

    went = attempt(world.receiver.url)
    assert (went["outcome"], went["status"]) == ("accepted", 200)
    [push] = world.receiver.requests()
    assert json.loads(push.body) == {"notifyType": "test"}
    world.receiver.decide = lambda push: Reply(503, body=b"closed")
    went = attempt(world.receiver.url)
    assert (went["outcome"], went["status"], went["excerpt"]) == ("status", 503, "closed")
    world.receiver.away()
    assert attempt(world.receiver.url)["outcome"] == "connect"
    assert attempt("http://192.168.0.1/")["outcome"] == "not_allowed"
    assert world.admin.pushes() == [], "nothing of it is kept"


@SOON
def test_what_is_dropped_is_never_told(world):
    world.receiver.answer_status = 500
    command = run_command(world)
    first, second, third = stored(world, command, 3, "due")
    assert world.admin.raw("DELETE", f"/pushes/{second['id']}").status == 204
    assert cli.call(world.server, "push", "drop", str(first["id"])) == {"dropped": 1}
    assert world.admin.raw("GET", f"/pushes/{first['id']}").status == 404
    world.receiver.answer_status = 200
    world.receiver.expect(command, ("SUCCESSFUL", '{"result":0}'))
    nothing_left(world)
    assert accepted(world.receiver) == [third["webhookId"]]


@SOON
@pytest.mark.settings(push_max_age_secs=1)
def test_all_dead_of_a_receiver_are_dropped(world):
    world.receiver.answer_status = 500
    command = run_command(world)
    dead = stored(world, command, 3, "dead")
    which = ["--receiver", str(dead[0]["receiver"]), "--state", "dead"]
    assert cli.call(world.server, "push", "drop", *which) == {"dropped": 3}
    assert world.admin.pushes() == []
    world.receiver.answer_status = 200
    world.check_alive()
    assert world.receiver.statuses(command["commandId"]) == []


@SOON
@pytest.mark.settings(push_max_age_secs=3)
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("end", ["dropped", "too old", "gone"])
def test_what_happens_after_all_before_has_ended_is_told(world, end, restart):
    world.receiver.decide = refuse("SENT", "DELIVERED", with_status=410 if end == "gone" else 500)
    device = world.device(PahoDevice)
    command = world.create(device)
    mid = device.next_command()["mid"]
    until(lambda: world.status(command) == "DELIVERED", what="DELIVERED in the record")
    if end == "dropped":
        for push in reversed(stored(world, command, 2, "due")):
            assert world.admin.raw("DELETE", f"/pushes/{push['id']}").status == 204
    else:
        stored(world, command, 2, "dead")
    if restart:
        device.stop()
        world.server.restart("kill")
        device = world.device(PahoDevice, device.credentials)
    device.answer(mid)
    world.receiver.expect(command, ("SUCCESSFUL", '{"result":0}'))
    if end == "dropped":
        nothing_left(world)
    else:
        stored(world, command, 2, "dead")


def test_a_receiver_with_a_rate_gets_no_more_than_that(world):
    """Of what comes straight from commands, and of what was stored while it was held. Found so: whenever the store was asked for
    the receiver, it had its rate anew."""
    rate = 10
    world.admin.call("PUT", "/receivers/rate", {"app": APP_ID, "url": world.receiver.url, "rate": rate})
    absent = world.na.register()

    def cancel_some() -> None:
        for _ in range(rate):
            assert world.na.cancel_raw(world.create(absent)["commandId"]).status == 200

    def told_not_too_soon(since: float, count: int) -> None:
        came = world.receiver.requests
        until(lambda: len(came()) == count, 30, lambda: f"{count} pushes; {len(came())} came")
        # A busy machine only makes it longer. Half a pause may be made up for.
        assert max(push.came_at for push in came()) - since >= (rate - 1.5) / rate

    began = time.time()
    cancel_some()
    told_not_too_soon(began, rate)
    world.admin.hold(world.receiver.url)
    cancel_some()
    until(lambda: len(world.admin.pushes()) == rate, 30, "all of them stored")
    released = time.time()
    world.admin.release(world.receiver.url)
    told_not_too_soon(released, 2 * rate)


@pytest.mark.settings(push_max_in_flight_per_host=2)
def test_receivers_of_one_host_have_together_what_a_host_may_have(world):
    other = Receiver()
    takes = 0.2
    absent = world.na.register()
    for receiver in (world.receiver, other):
        receiver.decide = lambda _: Reply(after_secs=takes)
        for _ in range(6):
            command = world.na.create(absent.device_id, receiver.url)
            assert world.na.cancel_raw(command["commandId"]).status == 200

    def came() -> list[float]:
        return sorted(push.came_at for receiver in (world.receiver, other) for push in receiver.requests())

    until(lambda: len(came()) == 12, 30, lambda: f"12 pushes; {len(came())} came")
    other.close()
    # The third comes when one of the two before it was answered.
    assert all(third - first >= takes for first, third in zip(came(), came()[2:], strict=False)), came()
