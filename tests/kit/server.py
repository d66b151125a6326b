"""The server process: started with a data directory and free ports, known by its `ready` line."""

import os
import queue
import signal
import subprocess
import threading
import time
from pathlib import Path

APP_ID, APP_SECRET = "app-under-test", "secret-of-the-app-under-test"

LISTENERS = {"northbound": "off", "northbound-plain": "127.0.0.1:0", "mqtt": "127.0.0.1:0", "admin": "127.0.0.1:0"}

START_SECS = 30


def binary() -> Path:
    root = Path(__file__).resolve().parents[2]
    path = root / (os.environ.get("DOWNLINK_BIN") or "target/debug/downlink")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: build the server first, or name it in DOWNLINK_BIN")
    return path


def clean_env(more: dict[str, str]) -> dict[str, str]:
    """Our own environment without any setting of Downlink, plus `more`. DOWNLINK_TEST_THREADS: so many threads, where the test does not say."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("DOWNLINK_")}
    threads = os.environ.get("DOWNLINK_TEST_THREADS")
    return {**inherited, **({"DOWNLINK_SERVER_THREADS": threads} if threads else {}), **more}


class Server:
    """One data directory, and at most one process on it at a time. Ports stay the same over restarts."""

    def __init__(self, directory: Path, env: dict[str, str] | None = None, listeners: dict[str, str] | None = None):
        self.directory = directory
        self.data_dir = directory / "data"
        self.env = env or {}
        self.listeners = {**LISTENERS, **(listeners or {})}
        self.push_allow = ["127.0.0.0/8"]
        self.arguments: list[str] = []
        self.log = directory / "server.log"
        self.process: subprocess.Popen | None = None
        self.ready_line = ""
        self.lives = 0

    def command(self) -> list[str]:
        command = [str(binary()), "serve", "--data-dir", str(self.data_dir)]
        for name, address in self.listeners.items():
            command += [f"--{name}", address]
        for allowed in self.push_allow:
            command += ["--push-allow", allowed]
        return command + ["--app", f"{APP_ID}:{APP_SECRET}", *self.arguments]

    def spawn(self, **more_env: str) -> subprocess.Popen:
        """Starts a process without waiting for it."""
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                self.command(),
                env=clean_env({**self.env, **more_env}),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def start(self) -> "Server":
        assert self.process is None, "already started"
        self.lives += 1
        self.process = self.spawn()
        self.ready_line = self._first_line()
        assert self.ready_line.startswith("ready "), self.explain(f"not ready: {self.ready_line!r}")
        pairs = dict(pair.split("=", 1) for pair in self.ready_line.split()[1:])
        for name, url in pairs.items():
            self.listeners[name] = url.split("://")[-1]
        return self

    def _first_line(self) -> str:
        lines: queue.Queue[str] = queue.Queue()
        process = self.process

        def read():
            for line in process.stdout:
                lines.put(line)
            lines.put("")

        threading.Thread(target=read, daemon=True).start()
        try:
            return lines.get(timeout=START_SECS).strip()
        except queue.Empty:
            self.kill()
            raise AssertionError(self.explain(f"no ready line within {START_SECS} s")) from None

    def address(self, name: str) -> tuple[str, int]:
        host, port = self.listeners[name].rsplit(":", 1)
        return host.strip("[]"), int(port)

    @property
    def mqtt(self) -> tuple[str, int]:
        return self.address("mqtt")

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def terminate(self, within: float = 10) -> int:
        """SIGTERM; gives the exit code."""
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(self.explain(f"still there {within} s after SIGTERM")) from None

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        process, self.process = self.process, None
        if process:
            process.kill()
            process.wait()

    def died(self, within: float = 20) -> int:
        """Waits until the process ended by itself; gives its exit code."""
        process, self.process = self.process, None
        return process.wait(within)

    def restart(self, how: str = "kill") -> "Server":
        self.kill() if how == "kill" else self.terminate()
        return self.start()

    def explain(self, what: str) -> str:
        tail = self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""
        return f"{what}\n--- the server's log ends with:\n{tail}"


def run_to_end(server: Server, within: float = 20) -> tuple[int, str]:
    """Starts a process that is expected to give up at once; gives its exit code and all that it wrote."""
    began = server.log.stat().st_size if server.log.exists() else 0
    process = server.spawn()
    deadline = time.monotonic() + within
    try:
        out, _ = process.communicate(timeout=deadline - time.monotonic())
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError("it should have given up, and runs") from None
    return process.returncode, out + server.log.read_bytes()[began:].decode(errors="replace")
