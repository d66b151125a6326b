"""Applications that know nothing of this server, in other languages, with the habits of the platform's clients: from the
login to the logout, over HTTPS, against the real binary. The test only plays their device."""

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from kit.device import PahoDevice
from kit.na import Credentials
from kit.server import APP_ID, APP_SECRET

HERE = Path(__file__).parent
KINDS = {"node": ["node", "client.js"], "java": ["java", "-XX:TieredStopAtLevel=1", "Client.java"]}
# For all of it, the start of the language's machine included.
PATIENCE_SECS = 60


def first_line(process: subprocess.Popen, name: str) -> list[str] | None:
    """The words after `name` of the line that begins so; none if it never comes."""
    for line in process.stdout:
        words = line.split()
        if words and words[0] == name:
            return words[1:]
    return None


@pytest.mark.parametrize("language", KINDS)
def test_a_stranger_finds_what_it_knows(server, language):
    assert shutil.which(KINDS[language][0]), f"no {language} here: scripts/setup installs it"
    server.listeners["northbound"] = "127.0.0.1:0"
    server.start()
    certificate = server.data_dir / "tls" / "cert.pem"
    command = [*KINDS[language], server.listeners["northbound"], APP_ID, APP_SECRET, str(certificate)]
    errors = server.directory / "errors"
    with open(errors, "wb") as to:
        stranger = subprocess.Popen(
            command, cwd=HERE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=to, text=True
        )
    watch = threading.Timer(PATIENCE_SECS, stranger.kill)
    watch.start()
    try:
        words = first_line(stranger, "device")
        assert words, errors.read_text()
        device_id, secret = words
        device = PahoDevice(server.mqtt, Credentials(device_id, "", secret)).start()
        device.answer(device.next_command()["mid"])
        ended = first_line(stranger, "done")
        # Its device was removed while it was connected.
        device.stop()
        assert ended is not None and stranger.wait(10) == 0, errors.read_text()
    finally:
        watch.cancel()
        stranger.kill()
        stranger.wait()
