"""A device that speaks LwM2M by aiocoap, a foreign implementation, in a thread of its own."""

import asyncio
import contextlib
import queue
import socket
import threading

import aiocoap
from aiocoap import resource
from aiocoap.numbers.codes import Code

LIMIT = 20
OCTETS = 42


def free_port() -> int:
    """One port for each device: aiocoap would give all the same, and the kernel spread the answers over them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class _Reports(resource.ObservableResource):
    """19/0/0: observed by the server; what the device reports is a notification."""

    def __init__(self):
        super().__init__()
        self.payload = b"\0"
        self.observed = threading.Event()

    async def add_observation(self, request, serverobservation):
        await super().add_observation(request, serverobservation)
        self.observed.set()

    async def render_get(self, request):
        return aiocoap.Message(payload=self.payload, content_format=OCTETS)

    def report(self, payload: bytes) -> None:
        self.payload = payload
        self.updated_state(aiocoap.Message(code=Code.CONTENT, payload=payload, content_format=OCTETS))


class _Commands(resource.Resource):
    """19/1/0: written by the server."""

    def __init__(self):
        super().__init__()
        self.written: queue.Queue[bytes] = queue.Queue()
        self.answer = Code.CHANGED
        self.max_age: int | None = None

    async def render_put(self, request):
        self.written.put(request.payload)
        answer = aiocoap.Message(code=self.answer)
        answer.opt.max_age = self.max_age
        return answer


class CoapDevice:
    """Registers when it starts. Every call waits for its end."""

    def __init__(self, address: tuple[str, int], node_id: str, binding: str = "UQ"):
        self.address, self.node_id, self.binding = address, node_id, binding
        self.reports, self.commands = _Reports(), _Commands()
        self.location: tuple[str, ...] = ()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._context = self._run(self._open())

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT)

    async def _open(self):
        site = resource.Site()
        site.add_resource(["19", "0", "0"], self.reports)
        site.add_resource(["19", "1", "0"], self.commands)
        return await aiocoap.Context.create_server_context(site, bind=("127.0.0.1", free_port()), transports=["udp6"])

    async def _ask(self, code: Code, path: str, query: str = "", payload: bytes = b""):
        host, port = self.address
        uri = f"coap://{host}:{port}/{path}" + (f"?{query}" if query else "")
        return await self._context.request(aiocoap.Message(code=code, uri=uri, payload=payload)).response

    def register(self, lifetime: int = 3600) -> Code:
        query = f"ep={self.node_id}&lwm2m=1.0&lt={lifetime}&b={self.binding}"
        answer = self._run(self._ask(Code.POST, "rd", query, b"</19/0>,</19/1>"))
        self.location = answer.opt.location_path
        return answer.code

    def start(self) -> "CoapDevice":
        code = self.register()
        assert code == Code.CREATED, code
        assert self.reports.observed.wait(LIMIT), "the server did not observe 19/0/0"
        return self

    def update(self) -> Code:
        return self._run(self._ask(Code.POST, "/".join(self.location))).code

    def leave(self) -> Code:
        return self._run(self._ask(Code.DELETE, "/".join(self.location))).code

    def next_command(self, timeout: float = LIMIT) -> bytes:
        return self.commands.written.get(timeout=timeout)

    def report(self, payload: bytes) -> None:
        self._loop.call_soon_threadsafe(self.reports.report, payload)

    def stop(self) -> None:
        if not self._thread.is_alive():
            return
        with contextlib.suppress(Exception):
            self._run(self._context.shutdown())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT)
