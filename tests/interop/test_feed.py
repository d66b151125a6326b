"""The feed: pulled and streamed it tells the same as the webhooks, whatever happens to the server in between."""

import http.client
import json
import threading
import urllib.request

import pytest

from kit.device import PahoDevice
from kit.server import APP_ID
from kit.wait import until

FEED = "/downlink/v1/feed"
STATUSES = ["SENT", "DELIVERED", "SUCCESSFUL"]


def switch_on(server) -> None:
    host, port = server.address("admin")
    token = (server.data_dir / "admin.token").read_text().strip()
    request = urllib.request.Request(
        f"http://{host}:{port}/admin/v1/apps/{APP_ID}",
        data=b'{"feed":true}',
        method="PATCH",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert json.load(urllib.request.urlopen(request, timeout=20))["feed"] is True


def pull(na, cursor: str | None = None, limit: int = 3) -> tuple[list[dict], str]:
    """All that comes after a cursor, page by page."""
    items = []
    while True:
        query = f"?limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        answer = na.call("GET", FEED + query)
        assert answer.status == 200, answer
        items += answer.json["items"]
        cursor = answer.json["nextCursor"]
        if not answer.json["more"]:
            return items, cursor


class Stream:
    """Follows the stream on a thread, and resumes where it was when it breaks off."""

    def __init__(self, na):
        self.na, self.items, self.last = na, [], ""
        self.opened, self.stopped = 0, threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self.stopped.wait(0.05):
            try:
                self._read()
            except (OSError, http.client.HTTPException):
                pass

    def _read(self) -> None:
        host, port = self.na.server.address("northbound-plain")
        connection = http.client.HTTPConnection(host, port, timeout=30)
        connection.request("GET", f"{FEED}/stream", headers={**self.na.headers(), "Last-Event-ID": self.last})
        answer = connection.getresponse()
        if answer.status != 200:
            return
        self.opened += 1
        cursor = ""
        while line := answer.readline():
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "id":
                cursor = value
            elif field == "data":
                self.items.append(json.loads(value))
            elif not line.strip() and cursor:
                self.last = cursor

    def webhook_ids(self) -> list[str]:
        return [item["webhookId"] for item in self.items]


def run_commands(world, device, count: int) -> list[dict]:
    commands = []
    for _ in range(count):
        commands.append(world.create(device))
        device.answer(device.next_command()["mid"])
    return commands


def test_pull_stream_and_webhooks_tell_the_same_over_a_kill(world):
    switch_on(world.server)
    stream = Stream(world.na)
    until(lambda: stream.opened == 1, what="the stream")
    device = world.device(PahoDevice)
    commands = run_commands(world, device, 3)
    until(lambda: len(stream.items) >= 4, what=lambda: f"changes in the stream; came: {stream.items}")
    early, cursor = pull(world.na)
    commands += run_commands(world, device, 2)
    device.stop()
    commands.append(world.create(device))
    world.server.restart("kill")
    device = world.device(PahoDevice, device.credentials)
    device.answer(device.next_command()["mid"])
    commands += run_commands(world, device, 2)
    for command in commands:
        world.receiver.wait_for(command["commandId"], "SUCCESSFUL", timeout=60)
    told = {push.webhook_id for command in commands for push in world.receiver.pushes(command["commandId"])}
    late, _ = pull(world.na, cursor)
    pulled = [item["webhookId"] for item in early + late]
    assert len(pulled) == len(set(pulled)) and set(pulled) == told
    assert [item["webhookId"] for item in pull(world.na)[0]] == pulled
    until(lambda: len(stream.items) >= len(pulled), what=lambda: f"{pulled}; came: {stream.webhook_ids()}")
    assert stream.webhook_ids() == pulled and stream.opened == 2
    stream.stopped.set()
    for item in early + late:
        assert item["webhookId"] == f"{item['commandId']}-{item['sequence']}"
        assert item["deviceId"] == device.credentials.device_id
        assert item["resultDetail"] == ({"result": 0} if item["status"] == "SUCCESSFUL" else None)
    for command in commands:
        assert [i["status"] for i in early + late if i["commandId"] == command["commandId"]] == STATUSES


def test_without_a_callback_the_feed_tells_all(world):
    switch_on(world.server)
    device = world.device(PahoDevice)
    command = world.na.create(device.credentials.device_id, None)
    device.answer(device.next_command()["mid"])
    until(lambda: [item["status"] for item in pull(world.na)[0]] == STATUSES, what=lambda: str(pull(world.na)))
    assert {item["commandId"] for item in pull(world.na)[0]} == {command["commandId"]}


@pytest.mark.settings(feed_keep_secs=0)
def test_an_expired_cursor_is_told(world):
    switch_on(world.server)
    _, cursor = pull(world.na)
    device = world.device(PahoDevice)
    run_commands(world, device, 1)

    def expired():
        answer = world.na.call("GET", f"{FEED}?cursor={cursor}")
        return answer.status == 410 and answer.error == "900410"

    until(expired, what="410")
    assert world.na.call("GET", f"{FEED}?cursor=nonsense").status == 400
    until(lambda: pull(world.na)[0] == [], what="an empty feed")
