"""A backup is made under load and is sound; from an old one the world goes on, as docs/operations.md says it does."""

import json
import shutil
import subprocess
import threading
import time

import pytest

from kit.server import APP_ID, binary, clean_env, run_to_end
from kit.wait import until
from kit.world import World

pytestmark = pytest.mark.settings(
    push_retry_first_ms=100,
    push_retry_longest_ms=500,
    commands_ack_wait_secs=2,
    commands_restart_grace_secs=1,
)

FEED = "/downlink/v1/feed"
CREATORS, ENOUGH = 4, 150


def downlink(*arguments) -> subprocess.CompletedProcess:
    command = [str(binary()), *map(str, arguments)]
    return subprocess.run(command, env=clean_env({}), capture_output=True, text=True, timeout=60, check=False)


def done(*arguments):
    ended = downlink(*arguments, "--output", "json")
    assert ended.returncode == 0, ended
    return json.loads(ended.stdout)


def restore(world, backup) -> None:
    """Puts the server's store back, its keys staying where they are."""
    for path in world.server.data_dir.glob("downlink.db*"):
        path.unlink()
    done("restore", "--from", backup, "--data-dir", world.server.data_dir)


class Creator(threading.Thread):
    """Creates commands until it is told to stop; knows the longest that a create took."""

    def __init__(self, world, target):
        super().__init__(daemon=True)
        self.world, self.target = world, target
        self.over, self.promised, self.longest = threading.Event(), [], 0.0

    def run(self):
        while not self.over.is_set():
            began = time.monotonic()
            answer = self.world.na.create_raw(self.target.device_id, self.world.receiver.url)
            self.longest = max(self.longest, time.monotonic() - began)
            if answer.status == 201:
                self.promised.append(answer.json["commandId"])


@pytest.mark.settings(commands_queue_limit=100000)
def test_a_backup_under_load_is_sound_and_goes_on(world, tmp_path):
    creators = [Creator(world, world.na.register()) for _ in range(CREATORS)]
    for creator in creators:
        creator.start()
    promised = lambda: sum(len(creator.promised) for creator in creators)
    backups = []
    for n in range(3):
        until(lambda: promised() >= ENOUGH * (n + 1), 60, "creates")
        before = {command for creator in creators for command in list(creator.promised)}
        backup = tmp_path / f"backup-{n}"
        done("backup", "--data-dir", world.server.data_dir, "--to", backup)
        assert done("verify", "--file", backup)["sound"] is True
        assert backup.stat().st_mode & 0o077 == 0
        backups.append((backup, before))
    for creator in creators:
        creator.over.set()
        creator.join(60)
    print(f"{promised()} created; the longest create took {max(c.longest for c in creators):.3f} s")
    world.server.kill()
    for backup, before in backups:
        restore(world, backup)
        assert done("verify", "--data-dir", world.server.data_dir)["sound"] is True
        world.server.start()
        kept = {command["commandId"] for command in world.na.list()}
        assert before <= kept
        world.check_alive()
        world.server.kill()


def test_what_would_be_lost_is_not_overwritten(world, tmp_path):
    backup = tmp_path / "backup"
    done("backup", "--data-dir", world.server.data_dir, "--to", backup)
    assert "is there already" in downlink("backup", "--data-dir", world.server.data_dir, "--to", backup).stderr
    in_use = downlink("restore", "--from", backup, "--data-dir", world.server.data_dir)
    assert in_use.returncode == 1 and "in use" in in_use.stderr
    assert "in use" in downlink("verify", "--data-dir", world.server.data_dir).stderr
    world.server.kill()
    full = downlink("restore", "--from", backup, "--data-dir", world.server.data_dir)
    assert full.returncode == 1 and "is there already" in full.stderr
    damaged = backup.read_bytes()
    backup.write_bytes(damaged[: len(damaged) // 2])
    fresh = tmp_path / "fresh"
    refused = downlink("restore", "--from", backup, "--data-dir", fresh)
    assert refused.returncode == 1 and str(backup) in refused.stderr
    assert not list(fresh.glob("downlink.db*"))


def switch_feed_on(world) -> None:
    answer = world.admin.call("PATCH", f"/apps/{APP_ID}", {"feed": True})
    assert answer["feed"] is True


def feed(world, cursor=None):
    return world.na.call("GET", FEED + (f"?cursor={cursor}" if cursor else ""))


def told_since(world, commands) -> set[str]:
    return {push.command_id for push in world.receiver.requests() if push.command_id in commands}


def test_an_old_backup_puts_the_world_back(world, tmp_path):
    """Statuses go back, what was told is told again under the same id, no id comes a second time for another command, and a
    reader of the feed is told that its place is gone."""
    switch_feed_on(world)
    device = world.device()
    first = world.create(device)
    world.receiver.wait_for(first["commandId"], "DELIVERED")
    backup = tmp_path / "backup"
    done("backup", "--data-dir", world.server.data_dir, "--to", backup)

    mid = json.loads(device.next_publish().payload)["mid"]
    device.answer(mid)
    world.receiver.wait_for(first["commandId"], "SUCCESSFUL")
    later = [world.create(world.na.register())["commandId"] for _ in range(5)]
    cursor = feed(world).json["nextCursor"]
    told = {push.webhook_id for push in world.receiver.requests() if push.command_id == first["commandId"]}
    world.server.kill()
    device.close()

    restore(world, backup)
    world.server.start()
    commands = {command["commandId"]: command["status"] for command in world.na.list()}
    assert not set(later) & set(commands), "what came after the backup is not known"
    assert commands[first["commandId"]] == "DELIVERED"
    assert feed(world, cursor).status == 410

    again = world.device(credentials=device.credentials)
    before = len(world.receiver.requests())
    again.answer(mid)
    until(lambda: world.status(first) == "SUCCESSFUL", what="the end again")
    repeated = lambda: {p.webhook_id for p in world.receiver.requests()[before:] if p.command_id == first["commandId"]}
    until(lambda: any(i in told for i in repeated()), what="it is told again")
    assert repeated() <= told
    fresh = [world.create(again)["commandId"] for _ in range(5)]
    assert not set(fresh) & set(later) and min(fresh) > max(later)
    until(lambda: len(told_since(world, fresh)) == len(fresh), what="as many changes as before, and more")
    assert feed(world, cursor).status == 410, "not even when as many changes came again"
    world.check_alive()


def test_without_its_key_a_store_tells_what_it_cannot(world, tmp_path):
    """The master key is not in a backup. Without it, or with another one, the restored server refuses to start, and says so."""
    credentials = world.na.register()
    key = (world.server.data_dir / "master.key").read_text()
    backup = tmp_path / "backup"
    done("backup", "--data-dir", world.server.data_dir, "--to", backup)
    assert (world.server.data_dir / "master.key").read_bytes() not in backup.read_bytes()
    assert credentials.secret.encode() not in backup.read_bytes()
    world.server.kill()
    shutil.rmtree(world.server.data_dir)
    made = done("restore", "--from", backup, "--data-dir", world.server.data_dir)
    assert (made["masterKey"], made["masterKeyOpens"]) == (False, None)
    code, said = run_to_end(world.server)
    assert code == 1 and "master.key" in said and "secrets of devices" in said, said

    for path in world.server.data_dir.glob("downlink.db*"):
        path.unlink()
    (world.server.data_dir / "master.key").write_text("ab" * 32)
    made = done("restore", "--from", backup, "--data-dir", world.server.data_dir)
    assert (made["masterKey"], made["masterKeyOpens"]) == (True, False)
    code, said = run_to_end(world.server)
    assert code == 1 and "another key" in said, said
    (world.server.data_dir / "master.key").write_text(key)
    world.server.start()
    world.device(credentials=credentials)


def test_the_master_key_is_changed(world):
    """All that was sealed opens under the new key: devices connect, pushes are signed. A run that was cut off is finished."""
    device = world.device()
    key = world.admin.call("POST", f"/apps/{APP_ID}/signing-keys", {})
    assert "in use" in downlink("rotate-key", "--data-dir", world.server.data_dir).stderr
    assert not (world.server.data_dir / "master.key.new").exists(), "nothing was begun"
    world.server.terminate()
    device.close()
    master = world.server.data_dir / "master.key"
    old = master.read_text()
    assert done("rotate-key", "--data-dir", world.server.data_dir)["sealed"] >= 2
    assert master.read_text() != old and master.stat().st_mode & 0o077 == 0

    # As if the process had died before the new key took the old one's name.
    (world.server.data_dir / "master.key.new").write_text(master.read_text())
    master.write_text(old)
    with pytest.raises(AssertionError):
        world.server.start()
    world.server.kill()
    assert b"rotate-key" in world.server.log.read_bytes()
    done("rotate-key", "--data-dir", world.server.data_dir)
    world.server.start()
    again = world.device(credentials=device.credentials)
    command = world.create(again)
    again.answer(json.loads(again.next_publish().payload)["mid"])
    world.receiver.wait_for(command["commandId"], "SUCCESSFUL")
    signed = [push for push in world.receiver.requests() if push.command_id == command["commandId"]]
    assert key and all("webhook-signature" in {name.lower() for name in push.headers} for push in signed)
