"""The guide to codecs, as a reader would follow it: its files written, its commands run, its outputs compared."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from kit.server import binary, clean_env

GUIDE = Path(__file__).parents[2] / "docs" / "codecs.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^(?:#|//) (\S+)\n")


def blocks(*languages: str) -> list[str]:
    return [text for language, text in BLOCK.findall(GUIDE.read_text()) if language in languages]


def files() -> dict[str, str]:
    return {NAMED.match(text)[1]: text for text in blocks("toml", "js")}


def sessions() -> list[tuple[str, str]]:
    """Each command and what it prints."""
    found = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


@pytest.fixture
def desk(tmp_path):
    """A directory with the guide's files, and the program under its name."""
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "downlink").symlink_to(Path(binary()).resolve())
    return tmp_path


def shell(desk: Path, command: str) -> subprocess.CompletedProcess:
    env = clean_env({}) | {"PATH": f"{desk / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(command, shell=True, cwd=desk, env=env, text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_the_guide_has_what_it_promises():
    assert {"lamp.toml", "wrong.toml", "lamp.js", "wrong.js"} <= set(files())
    assert len(sessions()) >= 10


@pytest.mark.parametrize(("command", "output"), sessions())
def test_each_command_of_the_guide_prints_what_it_says(desk, command, output):
    done = shell(desk, command)
    assert done.stdout == output
    assert done.returncode == (1 if "downlink: " in output else 0)


def test_answers_for_scripts(desk):
    done = shell(desk, "downlink codec test --codec lamp.toml --bytes 04002a0001 --output json")
    answer = json.loads(done.stdout)
    assert answer["message"] == {"msgType": "deviceRsp", "mid": 42, "errcode": 0, "body": {"state": "ON"}}
    assert answer["fields"][1] == {"byte": 1, "bytes": "002a", "name": "mid", "value": 42, "error": None}
    done = shell(desk, "downlink codec test --codec lamp.toml --output json --json "
                       "'{\"serviceId\":\"Lamp\",\"cmd\":\"SWITCH\",\"paras\":{\"value\":0},\"mid\":258}'")
    assert json.loads(done.stdout)["bytes"] == "03010200"
    done = shell(desk, "downlink codec test --codec lamp.toml --json '{\"msgType\":\"cloudRsp\",\"hasMore\":1}'")
    assert done.stdout.strip() == "aaaa0001"


@pytest.mark.parametrize("arguments", [
    "--codec nothing.toml",
    "--codec lamp.toml --bytes 0g",
    "--codec lamp.toml --json '{'",
    "--codec lamp.toml --json '{\"cmd\":\"SWITCH\"}'",
    "--codec lamp.toml --service Lamp --method SWITCH --paras @nothing.json",
])
def test_what_is_asked_wrongly_ends_with_2(desk, arguments):
    done = shell(desk, f"downlink codec test {arguments}")
    assert done.returncode == 2 and done.stdout.startswith("downlink: "), done
