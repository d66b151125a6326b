"""The power goes at a random moment: all that was told to anybody is there afterwards."""

import json
import threading

import pytest

from durability.syncdrop import SyncDrop
from kit.rawmqtt import RawDevice
from kit.wait import until
from kit.world import World

pytestmark = pytest.mark.settings(commands_queue_limit=1000, push_retry_first_ms=100, push_retry_longest_ms=500)

ROUNDS, CREATORS = 3, 8


@pytest.fixture
def drop(server, syncdrop_library, tmp_path):
    server.data_dir.mkdir(mode=0o700)
    drop = SyncDrop(server.data_dir, tmp_path / "side", syncdrop_library)
    server.env.update(drop.env())
    return drop


@pytest.fixture
def world(drop, server):
    world = World(server.start())
    yield world
    world.close()


class Load:
    """Creates commands on several threads, and devices that run some of them, until the server is gone."""

    def __init__(self, world, idle, busy, rng):
        self.world, self.promised, self.done = world, [], {}
        self.devices = [self._device(credentials) for credentials in busy]
        seeds = [rng.getrandbits(32) for _ in range(CREATORS)]
        self.threads = [threading.Thread(target=self._create, args=(idle + busy, seed)) for seed in seeds]
        for thread in self.threads:
            thread.start()

    def _create(self, targets, seed):
        n = seed
        while True:
            n += 1
            try:
                answer = self.world.na.create_raw(targets[n % len(targets)].device_id, self.world.receiver.url)
            except Exception:
                return
            if answer.status == 201:
                self.promised.append(answer.json["commandId"])

    def _device(self, credentials) -> RawDevice:
        """Answers every command; what was acknowledged to it must not be forgotten."""
        device = RawDevice(self.world.server.mqtt, credentials)
        device.answered = {}

        def run(came):
            try:
                device.answered[device.answer(json.loads(came.payload)["mid"])] = came.payload
            except OSError:
                pass

        device.on_publish = run
        return device.start()

    def finish(self):
        for thread in self.threads:
            thread.join(60)
        for device in self.devices:
            assert device.closed.wait(20)
            acknowledged = device.acks.qsize()
            self.done[device.credentials.device_id] = acknowledged
            device.close()


@pytest.mark.parametrize("torn", [False, True], ids=["nothing unsynced survives", "some of it survives"])
def test_every_201_survives(world, drop, rng, torn):
    idle = [world.na.register() for _ in range(10)]
    promised: set[str] = set()
    for _ in range(ROUNDS):
        busy = [world.na.register() for _ in range(3)]
        load = Load(world, idle, busy, rng)
        enough = rng.randint(30, 300)
        until(lambda: len(load.promised) >= enough, 60, "creates")
        world.server.kill()
        load.finish()
        undone = drop.rollback(rng if torn else None)
        world.server.start()
        promised.update(load.promised)
        commands = world.na.list()
        missing = promised - {command["commandId"] for command in commands}
        print(f"{len(load.promised)} created, {undone} changes undone, {load.done} results acknowledged")
        assert not missing, f"{len(missing)} of {len(promised)} lost"
        for device_id, acknowledged in load.done.items():
            successful = sum(c["deviceId"] == device_id and c["status"] == "SUCCESSFUL" for c in commands)
            assert successful >= acknowledged, "a result that was acknowledged to the device is forgotten"
    world.check_alive()


@pytest.mark.parametrize("power_loss", [False, True], ids=["kill", "power loss"])
def test_death_between_a_result_and_its_commit(world, drop, power_loss):
    device = world.device()
    command = world.create(device)
    mid = json.loads(device.next_publish().payload)["mid"]
    world.receiver.wait_for(command["commandId"], "DELIVERED")

    drop.kill_at_next_sync()
    device.answer(mid)
    world.server.died()
    assert device.closed.wait(20)
    assert device.acks.empty(), "acknowledged to the device before it was on disk"
    if power_loss:
        drop.rollback()
    world.server.start()

    again = world.device(credentials=device.credentials)
    packet_id = again.answer(mid)
    assert again.acks.get(timeout=20) == packet_id
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'), timeout=60)
    packet_id = again.answer(mid, errcode=1)
    assert again.acks.get(timeout=20) == packet_id
    assert world.status(command) == "SUCCESSFUL"
    world.check_alive()
    world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
