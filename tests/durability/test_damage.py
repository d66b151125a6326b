"""A store that was damaged while no server ran: it is refused, by the name of what is damaged, or it starts and shows all that
it had. It never starts with less."""

import http.client
import random
import shutil
import struct

import pytest

from kit import metrics
from kit.na import COMMANDS as COMMANDS_PATH
from kit.server import run_to_end

pytestmark = pytest.mark.settings(commands_queue_limit=10000)

SEEDS, COMMANDS, HEAD = 8, 120, 100


def flip_in_header(path, rng):
    """Some bytes of the first hundred, which say what the file is."""
    with open(path, "r+b") as file:
        for at in rng.sample(range(HEAD), 3):
            file.seek(at)
            old = file.read(1)[0]
            file.seek(at)
            file.write(bytes([old ^ rng.randrange(1, 256)]))


def garble_pages(path, rng):
    """A page that holds noise, as a bad sector gives it."""
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.seek(16)
        page = struct.unpack(">H", file.read(2))[0]
        file.seek(rng.randrange(1, max(2, size // page)) * page)
        file.write(rng.randbytes(page))


def cut(path, rng):
    with open(path, "r+b") as file:
        file.truncate(rng.randrange(0, path.stat().st_size))


def garble(path, rng):
    with open(path, "r+b") as file:
        file.seek(rng.randrange(0, path.stat().st_size - 8))
        file.write(rng.randbytes(8))


def remove(path, _rng):
    path.unlink()


DAMAGE = {
    "header": ("downlink.db", flip_in_header),
    "page": ("downlink.db", garble_pages),
    "cut": ("downlink.db", cut),
    "gone": ("downlink.db", remove),
    "log cut": ("downlink.db-wal", cut),
    "log garbled": ("downlink.db-wal", garble),
    "log gone": ("downlink.db-wal", remove),
    "index garbled": ("downlink.db-shm", garble),
}


@pytest.fixture
def left(world, server, tmp_path):
    """What a killed server leaves: part of it in the file, part in the log. Gives it, and what it had to show."""
    device = world.na.register()
    create = lambda: world.na.create(device.device_id, None)["commandId"]
    known = {create() for _ in range(COMMANDS)}
    server.terminate()
    server.start()
    for command in sorted(known)[::3]:
        assert world.na.cancel_raw(command).status == 200
    known |= {create() for _ in range(COMMANDS)}
    shown = {command["commandId"]: command["status"] for command in world.na.list()}
    assert set(shown) == known
    server.kill()
    kept = tmp_path / "kept"
    shutil.copytree(server.data_dir, kept)
    return kept, shown


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_told_or_does_not_matter(world, server, left, rng, kind):
    kept, shown = left
    name, damage = DAMAGE[kind]
    refused = 0
    for n in range(SEEDS):
        seed = rng.getrandbits(32)
        shutil.rmtree(server.data_dir)
        shutil.copytree(kept, server.data_dir)
        damage(server.data_dir / name, random.Random(seed))
        server.log.write_bytes(b"")
        try:
            server.start()
        except Exception:
            server.kill()
            said = server.log.read_text()
            assert str(server.data_dir) in said and "panicked" not in said, f"seed {seed}: {said}"
            refused += 1
            continue
        shows = {command["commandId"]: command["status"] for command in world.na.list()}
        assert shows == shown, f"seed {seed}: it started with {len(shows)} of {len(shown)}"
        server.kill()
    print(f"{kind}: {refused} of {SEEDS} refused, the others show all")


MARK = "marked-for-damage"


def ready(server) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*server.address("admin"), timeout=30)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def met(server, what: str) -> int:
    start = f'downlink_store_damage_total{{what="{what}"}} '
    return next(int(line.removeprefix(start)) for line in metrics.text(server).splitlines() if line.startswith(start))


def test_damage_that_is_met_is_told_and_the_rest_is_served(world, server):
    """Pages become noise under a running server. What is on them is answered 500, all else as before; it counts what it met and
    is not ready any more. The next start refuses."""
    device = world.na.register()
    for _ in range(COMMANDS):
        world.na.create(device.device_id, None, command={"serviceId": "s", "method": "m", "paras": {"v": MARK * 20}})
    server.terminate()
    server.start()
    assert ready(server) == (200, "ready\n") and met(server, "File") == 0
    database = server.data_dir / "downlink.db"
    held = database.read_bytes()
    page = struct.unpack(">H", held[16:18])[0]
    with open(database, "r+b") as file:
        marked = [at for at in range(page, len(held), page) if MARK.encode() in held[at : at + page]]
        for at in marked:
            file.seek(at)
            file.write(b"\xa5" * page)
    assert len(marked) > 5
    assert world.na.call("GET", f"{COMMANDS_PATH}?pageNo=0&pageSize=1000").status == 500
    status, why = ready(server)
    assert status == 503 and "damaged" in why and "downlink verify" in why, why
    assert met(server, "File") > 0
    assert world.na.register().device_id, "what is sound is served"
    world.device(credentials=device)
    server.terminate()
    code, said = run_to_end(server)
    assert code == 1 and str(server.data_dir) in said, said
