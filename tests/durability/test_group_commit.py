"""A 201 costs a sync of its own when nothing else goes on, and shares one when much does."""

import http.client
import threading

import pytest

from durability.syncdrop import SyncDrop
from kit.world import World


@pytest.fixture
def drop(server, syncdrop_library, tmp_path):
    server.data_dir.mkdir(mode=0o700)
    return SyncDrop(server.data_dir, tmp_path / "side", syncdrop_library)


def test_no_201_before_a_sync(server, drop):
    server.env.update(drop.env())
    world = World(server.start())
    credentials = world.na.register()
    for _ in range(10):
        before = drop.syncs()
        world.create(credentials)
        assert drop.syncs() > before
    world.close()


def test_a_sync_that_never_happens_gives_no_201(server, drop):
    server.env.update(drop.env())
    world = World(server.start())
    credentials = world.na.register()
    kept = world.create(credentials)
    drop.kill_at_next_sync()
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        world.na.create_raw(credentials.device_id, world.receiver.url)
    server.died()
    drop.rollback()
    server.start()
    assert [command["commandId"] for command in world.na.list()] == [kept["commandId"]]
    world.close()


THREADS, EACH = 100, 5


@pytest.mark.settings(commands_queue_limit=1000)
def test_creates_at_the_same_time_share_syncs(server, drop):
    """On a disk that takes 10 ms for a sync, so that what is measured is the grouping and not this disk."""
    server.env.update(drop.env(slow_ms=10))
    world = World(server.start())
    devices = [world.na.register() for _ in range(10)]
    everyone_connected, made = threading.Barrier(THREADS + 1), []

    def create(n):
        # Not a list: of those only so many may wait at once.
        assert world.na.raw("GET", "/nothing-there").status == 404
        everyone_connected.wait(60)
        for _ in range(EACH):
            made.append(world.create(devices[n % len(devices)])["commandId"])

    threads = [threading.Thread(target=create, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    everyone_connected.wait(60)
    before = drop.syncs()
    for thread in threads:
        thread.join(120)
    syncs = drop.syncs() - before
    print(f"{len(made)} creates, {syncs} syncs")
    assert len(set(made)) == THREADS * EACH
    assert 1 <= syncs <= 100
    world.close()
