"""The master key as the operator meets it: lost, another one, given up, and changed where it is a setting."""

import json
import subprocess

import pytest

from kit.server import APP_ID, binary, clean_env, run_to_end
from kit.world import World

SETTING = "DOWNLINK_SERVER_MASTER_KEY"


def rotate(server, *more, env=None) -> subprocess.CompletedProcess:
    command = [str(binary()), "rotate-key", "--data-dir", str(server.data_dir), "--output", "json", *more]
    return subprocess.run(command, env=clean_env(env or {}), capture_output=True, text=True, timeout=60, check=False)


def refused(server) -> str:
    code, said = run_to_end(server)
    assert code == 1 and "panicked" not in said and "ready " not in said, said
    return said


@pytest.fixture
def sealed(world):
    """A stopped server with a device's secret and a signing key; gives the device."""
    device = world.device()
    world.admin.call("POST", f"/apps/{APP_ID}/signing-keys", {})
    device.close()
    world.server.terminate()
    return device.credentials


def test_a_lost_key_is_asked_for_and_not_made_anew(world, sealed):
    key = world.server.data_dir / "master.key"
    kept = key.read_bytes()
    key.unlink()
    said = refused(world.server)
    assert str(key) in said and "signing keys" in said and "secrets of devices" in said and "--give-up" in said, said
    assert not key.exists(), "made anew, it would only hide what is missing"
    key.write_bytes(kept)
    world.server.start()
    world.device(credentials=sealed)


def test_another_key_is_refused_at_the_start(world, sealed):
    key = world.server.data_dir / "master.key"
    kept = key.read_text()
    key.write_text("5a" * 32)
    assert str(key) in refused(world.server)
    key.write_text(kept)
    world.server.env[SETTING] = "5a" * 32
    said = refused(world.server)
    assert "server.master_key" in said and "5a5a" not in said, said
    world.server.env[SETTING] = kept.strip()
    key.unlink()
    world.server.start()
    world.device(credentials=sealed)


def test_a_key_lost_for_good_is_given_up_by_name(world, sealed):
    (world.server.data_dir / "master.key").unlink()
    plain = rotate(world.server)
    assert plain.returncode == 1 and "master.key" in plain.stderr, plain
    done = rotate(world.server, "--give-up")
    assert done.returncode == 0 and json.loads(done.stdout) == {"sealed": 0, "givenUp": 2}, done
    world.server.start()
    keys = f"/apps/{APP_ID}/signing-keys"
    for lost in world.admin.call("GET", keys)["keys"]:
        assert world.admin.raw("DELETE", f"{keys}/{lost['id']}").status == 204
    world.check_alive()
    with pytest.raises(AssertionError):
        world.device(credentials=sealed)
    sealed.secret = "00112233445566778899aabbccddeeff"
    changed = world.na.call("PUT", f"/iocm/app/dm/v1.4.0/devices/{sealed.device_id}", {"psk": sealed.secret})
    assert changed.status in (200, 204), changed
    world.device(credentials=sealed)


def test_the_key_of_a_setting_is_changed(world, sealed):
    key = world.server.data_dir / "master.key"
    old = key.read_text().strip()
    key.unlink()
    nameless = rotate(world.server)
    assert nameless.returncode == 1 and "server.master_key" in nameless.stderr, nameless
    done = rotate(world.server, env={SETTING: old})
    assert done.returncode == 0 and json.loads(done.stdout) == {"sealed": 2, "givenUp": 0}, done
    assert key.read_text().strip() != old and old not in done.stdout + done.stderr
    world.server.env[SETTING] = old
    assert "server.master_key" in refused(world.server)
    del world.server.env[SETTING]
    world.server.start()
    world.device(credentials=sealed)
