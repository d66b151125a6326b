"""Builds and drives syncdrop.c: run a process under it, count its syncs, kill it at the next one, take back after its
death what no sync covers. What syncdrop promises and leaves out stands at the head of syncdrop.c."""

import os
import random
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

_HEAD = struct.Struct("=IBBHQQQQII")
_MAGIC = 0x53594E43
WRITE, LENGTH, SYNC, CREATE, UNLINK, RENAME = range(1, 7)


@dataclass
class Record:
    """One change, or one sync that succeeded."""

    kind: int
    is_dir: bool
    path: str
    inode: int
    offset: int
    old_length: int
    at_ns: int
    data: bytes

    @property
    def changes_bytes(self) -> bool:
        return self.kind in (WRITE, LENGTH)


def build(into: Path) -> Path:
    """Compiles the library; gives its path."""
    library = into / "syncdrop.so"
    source = Path(__file__).with_name("syncdrop.c")
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-nonnull-compare", "-o", str(library)]
        + [str(source), "-ldl", "-lpthread"],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return library


def _read_journal(path: Path) -> list[Record]:
    """All whole records of a journal; a torn last one (the process died in it) stands for nothing."""
    data, at, records = path.read_bytes(), 0, []
    while at + _HEAD.size <= len(data):
        magic, kind, is_dir, path_len, inode, offset, old_length, at_ns, data_len, _ = _HEAD.unpack_from(data, at)
        if magic != _MAGIC:
            raise ValueError(f"{path} is broken at byte {at}")
        end = at + _HEAD.size + path_len + data_len
        if end > len(data):
            break
        name = data[at + _HEAD.size : at + _HEAD.size + path_len].decode()
        records.append(
            Record(kind, bool(is_dir), name, inode, offset, old_length, at_ns, data[end - data_len : end])
        )
        at = end
    return records


class SyncDrop:
    """Watches `directory`. `side` must be on the same file system and outside of it; it is made."""

    def __init__(self, directory: Path, side: Path, library: Path):
        self.directory, self.side, self.library = directory.resolve(), side, library
        side.mkdir(parents=True, exist_ok=True)

    def env(self, slow_ms: int = 0) -> dict[str, str]:
        """What a process needs in its environment to be watched; each of its syncs takes `slow_ms` longer."""
        return {
            "SYNCDROP_SLOW_MS": str(slow_ms),
            "LD_PRELOAD": str(self.library),
            "SYNCDROP_DIR": str(self.directory),
            "SYNCDROP_SIDE": str(self.side),
        }

    def records(self) -> list[Record]:
        """All changes and syncs since the last rollback, oldest first, over all processes."""
        found = [record for path in self.side.glob("journal.*") for record in _read_journal(path)]
        return sorted(found, key=lambda record: record.at_ns)

    def syncs(self) -> int:
        """How many syncs of files (not of directories) succeeded since the last rollback."""
        return sum(1 for record in self.records() if record.kind == SYNC and not record.is_dir)

    def kill_at_next_sync(self) -> None:
        """The process dies at its next sync, before it is done."""
        (self.side / "trigger").touch()

    def rollback(self, keep: random.Random | None = None) -> int:
        """Takes back, in the directory of a dead process, every change that no sync covers; with `keep`, all but a
        random first part per file (a power loss may also leave some). Gives how many changes were taken back."""
        records = self.records()
        bytes_changed, names_changed = self._unsynced(records)
        undone = 0
        paths = self._paths()
        for inode, changes in bytes_changed.items():
            kept = keep.randint(0, len(changes)) if keep else 0
            for record in reversed(changes[kept:]):
                undone += self._undo_bytes(paths.get(inode), record)
        for record in reversed(names_changed):
            undone += self._undo_name(record)
        for shared_memory in self.directory.rglob("*-shm"):
            shared_memory.unlink()
        shutil.rmtree(self.side)
        self.side.mkdir()
        return undone

    def keep_all(self) -> None:
        """The process died, and the power stayed: all that it wrote is there, synced or not."""
        shutil.rmtree(self.side)
        self.side.mkdir()

    def _unsynced(self, records: list[Record]) -> tuple[dict[int, list[Record]], list[Record]]:
        synced: dict[tuple[bool, object], int] = {}
        for record in records:
            if record.kind == SYNC:
                key = (record.is_dir, record.path if record.is_dir else record.inode)
                synced[key] = max(synced.get(key, 0), record.offset)
        bytes_changed: dict[int, list[Record]] = {}
        names_changed = []
        for record in records:
            if record.changes_bytes and record.at_ns > synced.get((False, record.inode), 0):
                bytes_changed.setdefault(record.inode, []).append(record)
            elif record.kind in (CREATE, UNLINK, RENAME):
                name = record.data.split(b"\0")[0].decode() if record.kind == RENAME else record.path
                if record.at_ns > synced.get((True, os.path.dirname(name)), 0):
                    names_changed.append(record)
        return bytes_changed, names_changed

    def _paths(self) -> dict[int, Path]:
        files = [path for top in (self.side, self.directory) for path in top.rglob("*") if path.is_file()]
        return {path.stat().st_ino: path for path in files}

    @staticmethod
    def _undo_bytes(path: Path | None, record: Record) -> int:
        if path is None:  # created and removed again
            return 0
        with open(path, "r+b") as file:
            file.seek(record.offset if record.data else 0)
            file.write(record.data)
            file.truncate(record.old_length)
        return 1

    @staticmethod
    def _undo_name(record: Record) -> int:
        path = Path(record.path)
        if record.kind == CREATE:
            if not path.exists() or path.stat().st_ino != record.inode:
                return 0
            path.unlink()
        elif record.kind == UNLINK:
            os.rename(record.data.decode(), path)
        else:
            new, backup = (part.decode() for part in record.data.split(b"\0", 1))
            if not os.path.exists(new) or os.stat(new).st_ino != record.inode:
                return 0
            os.rename(new, path)
            if backup:
                os.rename(backup, new)
        return 1
