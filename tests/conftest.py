"""Fixtures of all tests from outside."""

import os
import random
import zlib

import pytest

from durability import syncdrop
from kit.server import Server
from kit.world import World


@pytest.fixture(scope="session")
def syncdrop_library(tmp_path_factory):
    return syncdrop.build(tmp_path_factory.mktemp("syncdrop"))


@pytest.fixture
def rng(request):
    """Random numbers whose seed is printed: repeat a run with DOWNLINK_TEST_SEED."""
    seed = int(os.environ.get("DOWNLINK_TEST_SEED") or int.from_bytes(os.urandom(4)))
    print(f"DOWNLINK_TEST_SEED={seed}")
    return random.Random(seed ^ zlib.crc32(request.node.nodeid.encode()))


def settings_of(request) -> dict[str, str]:
    """The marks `settings(section_key=value)` of a test, as the environment of its server."""
    marks = list(request.node.iter_markers("settings"))
    found = {key: value for mark in reversed(marks) for key, value in mark.kwargs.items()}
    return {f"DOWNLINK_{key.upper()}": str(value) for key, value in found.items()}


@pytest.fixture
def engine_env() -> dict[str, str]:
    """Settings of the engine; the interop tests run with two sets."""
    return {}


@pytest.fixture
def server(request, tmp_path, engine_env):
    """A server that is not started yet. Whatever a test does to it, it must not panic."""
    server = Server(tmp_path, {**engine_env, **settings_of(request)})
    yield server
    server.kill()
    print(server.explain(""))
    assert not server.log.exists() or b"panicked" not in server.log.read_bytes()


@pytest.fixture
def world(server):
    server.start()
    world = World(server)
    yield world
    world.close()
