"""How often an application may call, and log in."""

from urllib.parse import urlencode

import pytest
from kit.world import World


@pytest.fixture
def world(server):
    server.start()
    world = World(server)
    yield world
    world.close()


LOGIN = "/iocm/app/sec/v1.1.0/login"
DEVICES = "/iocm/app/dm/v1.4.0/devices?pageNo=0"


@pytest.mark.settings(northbound_calls_per_minute=5)
def test_calls_beyond_the_rate_are_told_when_to_come_again(world):
    answers = [world.na.call("GET", DEVICES) for _ in range(8)]
    assert [answer.status for answer in answers[:4]] == [200] * 4
    last = answers[-1]
    assert last.status == 403
    assert set(last.json) == {"resultcode", "resultmsg"}
    assert last.json["resultcode"] == "1010009"
    assert 1 <= int(last.headers["Retry-After"]) <= 12


def login(world, app: str, secret: str):
    form = urlencode({"appId": app, "secret": secret}).encode()
    return world.na.raw("POST", LOGIN, form, {"Content-Type": "application/x-www-form-urlencoded"})


@pytest.mark.settings(auth_wrong_logins_per_minute=3)
def test_whoever_has_the_secret_gets_in_while_others_guess(world):
    app, secret = world.na.app
    assert login(world, app, secret).status == 200
    for whom in (app, "nobody"):
        answers = [login(world, whom, f"guess {n}") for n in range(5)]
        assert [answer.status for answer in answers] == [401, 401, 401, 503, 503], whom
        assert answers[-1].error == "100501"
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert login(world, app, secret).status == 200


@pytest.mark.settings(auth_logins_per_minute=4)
def test_logins_are_limited_even_if_they_are_right(world):
    app, secret = world.na.app
    statuses = [login(world, app, secret).status for _ in range(8)]
    assert statuses[0] == 200 and statuses[-1] == 503, statuses
