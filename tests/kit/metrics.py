"""What the server counts, as /metrics says it."""

import urllib.request

from kit.server import Server


def text(server: Server) -> str:
    host, port = server.address("admin")
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=10) as answer:
        return answer.read().decode()


def value(server: Server, name: str, what: str | None = None) -> int:
    """A number, 0 if it is not there yet. `name` without the prefix."""
    label = "" if what is None else f'{{what="{what}"}}'
    start = f"downlink_lwm2m_{name}{label} "
    found = [line.removeprefix(start) for line in text(server).splitlines() if line.startswith(start)]
    return int(float(found[0])) if found else 0


def messages(server: Server, what: str) -> int:
    return value(server, "messages_total", what)


def dtls(server: Server, what: str) -> int:
    return value(server, "dtls_total", what)
