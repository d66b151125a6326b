"""The operator: the admin interface, on nothing but http.client."""

import http.client
import json
from urllib.parse import urlencode

from kit.na import Answer
from kit.server import APP_ID, Server


class Admin:
    """Speaks with the server that runs now, with the token in its data directory."""

    def __init__(self, server: Server):
        self.server = server

    def raw(self, method: str, path: str, body=None) -> Answer:
        token = (self.server.data_dir / "admin.token").read_text().strip()
        connection = http.client.HTTPConnection(*self.server.address("admin"), timeout=30)
        data = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, f"/admin/v1{path}", data, {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def call(self, method: str, path: str, body=None):
        """What it answers; it must succeed."""
        answer = self.raw(method, path, body)
        assert answer.status in (200, 201), answer
        return answer.json

    def pushes(self, **filters) -> list[dict]:
        """Stored pushes, over all pages."""
        found, after = [], {}
        while True:
            page = self.call("GET", f"/pushes?{urlencode({**filters, **after})}")
            found += page["pushes"]
            if page["nextAfter"] is None:
                return found
            after = {"after": page["nextAfter"]}

    def any_push(self) -> bool:
        """Whether there is a stored push."""
        return bool(self.call("GET", "/pushes?limit=1")["pushes"])

    def push(self, push_id: int) -> dict:
        return self.call("GET", f"/pushes/{push_id}")

    def hold(self, url: str) -> dict:
        return self.call("POST", "/receivers/hold", {"app": APP_ID, "url": url})

    def release(self, url: str) -> dict:
        return self.call("POST", "/receivers/release", {"app": APP_ID, "url": url})
