"""The client commands of the binary, against a running server."""

import json
import subprocess

from kit.server import Server, binary, clean_env


def run(server: Server, *arguments: str) -> subprocess.CompletedProcess:
    """Runs a client command to its end."""
    where = ["--data-dir", str(server.data_dir), "--admin", f"http://{server.listeners['admin']}", "--output", "json"]
    command = [str(binary()), *arguments, *where]
    return subprocess.run(command, env=clean_env({}), capture_output=True, text=True, timeout=60)


def call(server: Server, *arguments: str):
    """Its answer; it must succeed."""
    done = run(server, *arguments)
    assert done.returncode == 0, done
    return json.loads(done.stdout)
