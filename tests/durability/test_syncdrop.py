"""The tool itself, on a program whose durability is known: SQLite keeps its commits over a power loss with
synchronous=FULL and loses them with OFF. If the second half failed, the tool could not find anything."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from durability import syncdrop

# Commits row after row and says so on stdout, until it is killed.
WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("pragma journal_mode=wal")
db.execute("pragma synchronous=" + sys.argv[2])
db.execute("pragma wal_autocheckpoint=20")
db.execute("create table if not exists t (n integer primary key, pad text)")
n = db.execute("select coalesce(max(n), 0) from t").fetchone()[0]
while True:
    n += 1
    db.execute("insert into t values (?, ?)", (n, "x" * 500))
    print(n, flush=True)
"""

# Replaces a file; syncs only what it was told to.
REPLACER = """
import os, sys
path, what = sys.argv[1], sys.argv[2]
with open(path + ".new", "w") as file:
    file.write("new")
    file.flush()
    if "file" in what: os.fsync(file.fileno())
os.rename(path + ".new", path)
if "dir" in what:
    fd = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(fd)
print("done", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def drop(tmp_path, syncdrop_library):
    (tmp_path / "data").mkdir()
    return syncdrop.SyncDrop(tmp_path / "data", tmp_path / "side", syncdrop_library)


def run(drop, program, *arguments):
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(
        command, env={**os.environ, **drop.env()}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def kill(process):
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=20)
    return rest


def commit_then_lose_power(drop, synchronous, commits=100, keep=None):
    """Gives the last commit that was reported and the rows that are left."""
    database = drop.directory / "t.db"
    process = run(drop, WRITER, database, synchronous)
    last = 0
    for _ in range(commits):
        last = int(process.stdout.readline())
    lines = kill(process).splitlines(keepends=True)
    last = max([last] + [int(line) for line in lines if line.endswith("\n")])
    drop.rollback(keep)
    with sqlite3.connect(database) as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        tables = db.execute("select count(*) from sqlite_master").fetchone()[0]
        return last, db.execute("select count(*) from t").fetchone()[0] if tables else 0


def test_synchronous_full_keeps_every_reported_commit(drop):
    last, rows = commit_then_lose_power(drop, "full")
    assert rows >= last


def test_synchronous_full_keeps_them_when_some_unsynced_writes_survive(drop, rng):
    last, rows = commit_then_lose_power(drop, "full", keep=rng)
    assert rows >= last


def test_synchronous_off_loses_commits(drop):
    last, rows = commit_then_lose_power(drop, "off")
    assert rows < last


def test_without_rollback_a_kill_loses_nothing(drop):
    """Why the tool is needed: a SIGKILL alone does not show what a power loss does."""
    process = run(drop, WRITER, drop.directory / "t.db", "off")
    last = [int(process.stdout.readline()) for _ in range(100)][-1]
    kill(process)
    with sqlite3.connect(drop.directory / "t.db") as db:
        assert db.execute("select count(*) from t").fetchone()[0] >= last


def test_counts_a_sync_per_commit(drop):
    process = run(drop, WRITER, drop.directory / "t.db", "full")
    for _ in range(10):
        process.stdout.readline()
    before = drop.syncs()
    commits = 50
    for _ in range(commits):
        process.stdout.readline()
    counted = drop.syncs() - before
    kill(process)
    assert counted >= commits - 1


def test_dies_before_the_next_sync(drop):
    database = drop.directory / "t.db"
    process = run(drop, WRITER, database, "full")
    for _ in range(10):
        process.stdout.readline()
    drop.kill_at_next_sync()
    reported = [int(line) for line in process.communicate(timeout=20)[0].splitlines()]
    assert process.returncode == -signal.SIGKILL
    drop.rollback()
    with sqlite3.connect(database) as db:
        assert db.execute("select max(n) from t").fetchone()[0] >= max(reported, default=10)


def test_survives_two_lives_with_one_rollback(drop):
    """A kill without rollback, a second life, then the power loss: what the first life left unsynced counts too."""
    database = drop.directory / "t.db"
    last = 0
    for _ in range(2):
        process = run(drop, WRITER, database, "full")
        for _ in range(30):
            last = int(process.stdout.readline())
        kill(process)
    drop.rollback()
    with sqlite3.connect(database) as db:
        assert db.execute("select max(n) from t").fetchone()[0] >= last


@pytest.mark.parametrize(
    "synced, left", [("", "old"), ("file", "old"), ("dir", ""), ("file dir", "new")], ids=lambda value: value or "none"
)
def test_a_replaced_file(drop, synced, left):
    path = drop.directory / "f"
    path.write_text("old")
    process = run(drop, REPLACER, path, synced)
    assert process.stdout.readline() == "done\n"
    kill(process)
    drop.rollback()
    assert path.read_text() == left
    assert (drop.directory / "f.new").exists() is False


@pytest.mark.parametrize("how", ["append", "truncate", "overwrite", "remove"])
def test_an_unsynced_change_is_taken_back(drop, how):
    path = drop.directory / "f"
    path.write_bytes(b"0123456789" * 1000)
    program = """
import os, sys
path, how = sys.argv[1:]
if how == "remove": os.unlink(path)
elif how == "append": open(path, "ab").write(b"tail")
elif how == "truncate": open(path, "wb").write(b"short")
else:
    with open(path, "r+b") as file:
        file.seek(9_990); file.write(b"beyond the old end")
        file.seek(5); file.write(b"XX")
print("done", flush=True)
sys.stdin.read()
"""
    process = run(drop, program, path, how)
    assert process.stdout.readline() == "done\n"
    kill(process)
    assert not path.exists() or path.read_bytes() != b"0123456789" * 1000
    assert drop.rollback() > 0
    assert path.read_bytes() == b"0123456789" * 1000


def test_files_elsewhere_are_left_alone(drop, tmp_path):
    elsewhere = Path(tmp_path / "data-elsewhere")
    process = run(drop, "import sys; open(sys.argv[1], 'w').write('x'); print('done', flush=True)", elsewhere)
    process.communicate(timeout=20)
    assert drop.rollback() == 0
    assert elsewhere.read_text() == "x"
