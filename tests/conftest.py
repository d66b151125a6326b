"""Fixtures of all tests from outside."""

import os
import random
import zlib

import pytest

from durability import syncdrop


@pytest.fixture(scope="session")
def syncdrop_library(tmp_path_factory):
    return syncdrop.build(tmp_path_factory.mktemp("syncdrop"))


@pytest.fixture
def rng(request):
    """Random numbers whose seed is printed: repeat a run with DOWNLINK_TEST_SEED."""
    seed = int(os.environ.get("DOWNLINK_TEST_SEED") or int.from_bytes(os.urandom(4)))
    print(f"DOWNLINK_TEST_SEED={seed}")
    return random.Random(seed ^ zlib.crc32(request.node.nodeid.encode()))
