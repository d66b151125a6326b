"""What a server leaves must be sound by all rules of `downlink verify`, whatever was done to it, unless the test damaged it."""

import json
import subprocess

import pytest

from kit.server import binary, clean_env


@pytest.fixture(autouse=True)
def sound(request):
    if "server" not in request.fixturenames or request.module.__name__.endswith("test_damage"):
        yield
        return
    server = request.getfixturevalue("server")
    yield
    server.kill()
    if (server.data_dir / "downlink.db").exists():
        command = [str(binary()), "verify", "--data-dir", str(server.data_dir), "--output", "json"]
        looked = subprocess.run(command, env=clean_env({}), capture_output=True, text=True, timeout=120, check=False)
        assert looked.returncode == 0 and json.loads(looked.stdout)["sound"], looked
