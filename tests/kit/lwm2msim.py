"""The simulator of LwM2M devices, another process, and what it tells."""

import json
import signal
import subprocess
import threading
import time

from kit.server import binary, clean_env
from kit.wait import until


class Lwm2mSim:
    """Plays devices against one listener until it is stopped. `devices`: the node id of the first, and what else it takes."""

    def __init__(self, *arguments: str):
        command = [str(binary()), "device", "simulate", "--lwm2m", "--output", "json", *arguments]
        self.events: list[dict] = []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_env({}))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.events.append({**json.loads(line), "at": time.monotonic()})

    def of(self, event: str, node_id: str | None = None) -> list[dict]:
        """Events of a kind (and of a device), in order."""
        found = [one for one in list(self.events) if one["event"] == event]
        return [one for one in found if node_id is None or one["nodeId"] == node_id]

    def count(self, event: str, node_id: str | None = None) -> int:
        return len(self.of(event, node_id))

    def wait_for(self, event: str, times: int = 1, timeout: float = 20) -> None:
        until(lambda: self.count(event) >= times, timeout, lambda: f"{times} {event}; came: {self.events[-5:]}")

    def stop(self) -> dict:
        """Lets the devices take leave; gives the count at the end, or nothing if they were stopped before."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(10)
        return next(iter(self.of("count")), {})


def executions(sim: Lwm2mSim, node_id: str) -> list[int]:
    """The mids that a device carried out, in order."""
    return [event["mid"] for event in sim.of("executed", node_id)]


def values(sim: Lwm2mSim, node_id: str) -> list[int]:
    """The numbers that the commands carried which a device received, in order (`paras.value`)."""
    texts = [event["detail"].split("  ", 1)[1] for event in sim.of("received", node_id)]
    return [json.loads(text)["paras"]["value"] for text in texts]
