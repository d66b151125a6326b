"""The receivers that docs/receivers.md shows are run as they stand there: they take what is signed, once, and nothing else."""

import base64
import hashlib
import hmac
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from kit import cli
from kit.device import PahoDevice
from kit.server import APP_ID
from kit.wait import until

PAGE = Path(__file__).resolve().parents[2] / "docs" / "receivers.md"

# Language of the block, file name, command.
KINDS = {
    "python": ("receiver.py", ["python3"]),
    "javascript": ("receiver.js", ["node"]),
    "java": ("Receiver.java", ["java"]),
}


def code_of(language: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, f"one block of {language} on the page"
    return blocks[0]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Example:
    """A receiver of the page, as a process of its own."""

    def __init__(self, language: str, directory: Path, secrets: list[str]):
        name, command = KINDS[language]
        (directory / name).write_text(code_of(language))
        self.port, self.lines = free_port(), directory / "lines"
        with open(self.lines, "wb") as lines:
            self.process = subprocess.Popen(
                [*command, name, str(self.port)],
                cwd=directory,
                env={**os.environ, "WEBHOOK_SECRETS": " ".join(secrets)},
                stdout=lines,
                stderr=subprocess.STDOUT,
            )
        self.url = f"http://127.0.0.1:{self.port}/push"
        until(self._listens, 60, lambda: self.lines.read_text())

    def _listens(self) -> bool:
        assert self.process.poll() is None, self.lines.read_text()
        with socket.socket() as trying:
            return trying.connect_ex(("127.0.0.1", self.port)) == 0

    def taken(self) -> list[str]:
        """The ids of what it took, in order."""
        return [line.split()[1] for line in self.lines.read_text().splitlines() if line.startswith("took ")]

    def post(self, secret: str, push_id: str, body: bytes, stamp: int | None = None, signature: str = "") -> int:
        """Sends it something; gives the status of the answer."""
        stamp = stamp or int(time.time())
        key = base64.b64decode(secret.removeprefix("whsec_"))
        mac = hmac.digest(key, f"{push_id}.{stamp}.".encode() + body, hashlib.sha256)
        signature = signature or "v1," + base64.b64encode(mac).decode()
        headers = {"webhook-id": push_id, "webhook-timestamp": str(stamp), "webhook-signature": signature}
        try:
            request = urllib.request.Request(self.url, body, headers)
            return urllib.request.urlopen(request, timeout=20).status
        except urllib.error.HTTPError as refused:
            return refused.code

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize("language", KINDS)
def test_the_receiver_of_the_page(world, tmp_path, language):
    if not shutil.which(KINDS[language][1][0]):
        pytest.skip(f"no {language} here")
    first = cli.call(world.server, "app", "key", "create", APP_ID)["secret"]
    second = cli.call(world.server, "app", "key", "create", APP_ID)["secret"]
    other = "whsec_" + base64.b64encode(bytes(32)).decode()
    example = Example(language, tmp_path, [other, second])
    try:
        device = world.device(PahoDevice)
        command = world.na.create(device.credentials.device_id, example.url)
        device.answer(device.next_command()["mid"])
        until(lambda: len(example.taken()) >= 3, what=lambda: example.lines.read_text())
        came = example.taken()
        assert came == sorted(came) and {push.rsplit("-", 1)[0] for push in came} == {command["commandId"]}

        count = len(came)
        assert example.post(second, came[0], b"{}") == 200, "a repetition"
        assert example.post(first, "new-1", b"{}") == 401, "a key that it does not know"
        assert example.post(second, "new-2", b"{}", stamp=int(time.time()) - 400) == 401, "too old"
        assert example.post(second, "new-3", b"{}", stamp=int(time.time()) + 400) == 401, "too new"
        assert example.post(second, "new-4", b"{}", signature="v1,AAAA") == 401
        assert example.post(second, "new-5", b"{}", signature="v2 garbage") == 401
        assert len(example.taken()) == count, example.taken()
        assert example.post(second, "new-6", b"{}") == 200
        until(lambda: example.taken() == [*came, "new-6"], what=lambda: example.lines.read_text())
    finally:
        example.stop()
