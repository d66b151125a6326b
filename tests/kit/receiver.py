"""A receiver of pushes: keeps every request as it came, and can fail or be away."""

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kit.wait import until


@dataclass
class Push:
    """One request, answered with 2xx or not."""

    path: str
    headers: dict[str, str]
    body: bytes
    accepted: bool
    came_at: float = 0

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def command_id(self) -> str:
        return self.webhook_id.rsplit("-", 1)[0]

    @property
    def seq(self) -> int:
        return int(self.webhook_id.rsplit("-", 1)[1])

    @property
    def status(self) -> str:
        return json.loads(self.body)["result"]["resultCode"]


@dataclass
class Reply:
    """What a receiver answers, and what it waits for before."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    after_secs: float = 0


def body_of(device_id: str, command_id: str, status: str, detail: str = "null") -> bytes:
    """The exact bytes of a push: compact, members in the documented order."""
    result = f'{{"resultCode":"{status}","resultDetail":{detail}}}'
    return f'{{"deviceId":"{device_id}","commandId":"{command_id}","result":{result}}}'.encode()


class Receiver:
    """Listens on a free port, which it keeps over `away` and `back`."""

    def __init__(self):
        self._lock = threading.Lock()
        self._requests: list[Push] = []
        self._server: ThreadingHTTPServer | None = None
        self._open: set[socket.socket] = set()
        self.answer_status = 200
        # Decides on each request, instead of `answer_status`. Called by one thread at a time.
        self.decide: Callable[[Push], Reply] | None = None
        self.port = 0
        self.back()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1.0.0/messageReceiver/cmd"

    def back(self) -> None:
        """Listens (again)."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                receiver._take(self)

            def log_message(self, *_):
                pass

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def process_request(self, request, address):
                with receiver._lock:
                    receiver._open.add(request)
                super().process_request(request, address)

            def shutdown_request(self, request):
                with receiver._lock:
                    receiver._open.discard(request)
                super().shutdown_request(request)

            def handle_error(self, *_):
                pass

        self._server = Listener(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def away(self) -> None:
        """Stops listening and cuts every connection."""
        server, self._server = self._server, None
        server.shutdown()
        server.server_close()
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self) -> None:
        if self._server:
            self.away()

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        reply = Reply(self.answer_status)
        headers = {key.lower(): value for key, value in handler.headers.items()}
        with self._lock:
            if self._server is None:
                handler.close_connection = True
                return
            push = Push(handler.path, headers, body, True, time.time())
            reply = self.decide(push) if self.decide else reply
            push.accepted = 200 <= reply.status < 300
            self._requests.append(push)
        time.sleep(reply.after_secs)
        handler.send_response(reply.status)
        for name, value in {"Content-Type": "text/plain", **reply.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        handler.wfile.write(reply.body)

    def requests(self) -> list[Push]:
        """All requests, refused ones too, in the order they came."""
        with self._lock:
            return list(self._requests)

    def pushes(self, command_id: str) -> list[Push]:
        """Accepted pushes of a command in the order of their first arrival, repeats left out."""
        firsts: dict[str, Push] = {}
        for push in self.requests():
            if push.accepted and push.command_id == command_id:
                firsts.setdefault(push.webhook_id, push)
        return list(firsts.values())

    def statuses(self, command_id: str) -> list[str]:
        return [push.status for push in self.pushes(command_id)]

    def wait_for(self, command_id: str, status: str, timeout: float = 20) -> None:
        until(
            lambda: status in self.statuses(command_id),
            timeout,
            lambda: f"{status} of {command_id}; came: {self.statuses(command_id)}",
        )

    def expect(self, command: dict, *changes: str | tuple[str, str], timeout: float = 20) -> None:
        """Waits for as many pushes as named and compares them byte by byte. A change is a status, or a status and the
        JSON text of its detail."""
        wanted = [(change, "null") if isinstance(change, str) else change for change in changes]
        device_id, command_id = command["deviceId"], command["commandId"]
        until(
            lambda: len(self.pushes(command_id)) >= len(wanted),
            timeout,
            lambda: f"{wanted} of {command_id}; came: {[push.body for push in self.pushes(command_id)]}",
        )
        pushes = self.pushes(command_id)
        assert [push.body for push in pushes] == [body_of(device_id, command_id, *change) for change in wanted]
        check_headers(pushes)


def check_headers(pushes: list[Push]) -> None:
    """What every push of one command carries beside its body."""
    assert [push.seq for push in pushes] == sorted({push.seq for push in pushes}), "sequences rise"
    for push in pushes:
        assert push.headers["content-type"].split(";")[0] == "application/json"
        assert push.headers["downlink-sequence"] == str(push.seq)
        assert int(push.headers["webhook-timestamp"]) > 1_700_000_000


def overtakings(requests: list[Push]) -> list[str]:
    """Requests, refused ones too, that came before an earlier push of their command was accepted; and pushes that changed
    from one request to the next. `requests` must hold all, to the end."""
    first: dict[str, int] = {}
    bodies: dict[str, set[bytes]] = {}
    of_command: dict[str, set[tuple[int, str]]] = {}
    for at, push in enumerate(requests):
        bodies.setdefault(push.webhook_id, set()).add(push.body)
        of_command.setdefault(push.command_id, set()).add((push.seq, push.webhook_id))
        if push.accepted:
            first.setdefault(push.webhook_id, at)
    found = [f"{push_id} has {len(texts)} bodies" for push_id, texts in bodies.items() if len(texts) > 1]
    for at, push in enumerate(requests):
        for seq, earlier in of_command[push.command_id]:
            if seq < push.seq and first.get(earlier, at) >= at:
                found.append(f"{push.webhook_id} came before {earlier} was accepted")
    return found
