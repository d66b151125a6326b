"""No secret leaves the server but to whom it belongs: not in the log, at whatever level, not in metrics, not in refusals."""

import base64
import json
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

from kit.device import PahoDevice, login_of
from kit.lwm2msim import Lwm2mSim
from kit.na import LOGIN, NA
from kit.rawmqtt import RawDevice
from kit.server import APP_ID
from kit.wait import until
from kit.world import World

REFRESH, LOGOUT = "/iocm/app/sec/v1.1.0/refreshToken", "/iocm/app/sec/v1.1.0/logout"
MASTER_KEY = "5ec2e7" * 10 + "abcd"
GIVEN = "given-secret-of-a-device-9f3"
PSK = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
SIGNING = base64.b64encode(b"signing-secret-that-was-given-7c1d").decode()
QUERY = "token-in-a-callback-url-55aa"
NUMBER = 770011223344
MISPLACED = "misplaced secret \N{LATIN SMALL LETTER E WITH ACUTE} 41"
WRONG = "wrong-secret-that-somebody-typed"


@pytest.fixture
def engine_env():
    return {"DOWNLINK_LOG_LEVEL": "trace", "DOWNLINK_LOG_FORMAT": "json", "DOWNLINK_SERVER_MASTER_KEY": MASTER_KEY}


class Secrets:
    """By what each is, so that a failure does not print it."""

    def __init__(self):
        self.known: dict[str, bytes] = {}

    def add(self, what: str, secret: str | bytes) -> None:
        self.known[what] = secret if isinstance(secret, bytes) else secret.encode()

    def forms(self) -> dict[str, bytes]:
        """As it is, in hex and in base64, and as a list of numbers, as debug output writes bytes."""
        found = {}
        for what, secret in self.known.items():
            found[what] = secret
            found[f"{what}, hex"] = secret.hex().encode()
            found[f"{what}, base64"] = base64.b64encode(secret).rstrip(b"=")[:-1]
            found[f"{what}, numbers"] = ", ".join(map(str, secret)).encode()
            try:
                raw = bytes.fromhex(secret.decode())
                found[f"{what}, bytes"] = ", ".join(map(str, raw)).encode()
            except ValueError:
                pass
        return found

    def check(self, where: str, text: bytes, but: str = "") -> None:
        lower = text.lower()
        seen = [what for what, form in self.forms().items() if form.lower() in lower and not (but and what.startswith(but))]
        assert not seen, f"in {where}: {seen}"


def applications(world: World, secrets: Secrets) -> list[bytes]:
    """Logins right and wrong, tokens old and new; gives what was refused."""
    na = world.na
    secrets.add("secret of the application", na.app[1])
    for path, body in [(LOGIN, {"appId": APP_ID, "secret": na.app[1]})] * 2:
        pair = na.raw("POST", path, json.dumps(body).encode()).json
        secrets.add(f"access token {len(secrets.known)}", pair["accessToken"])
        secrets.add(f"refresh token {len(secrets.known)}", pair["refreshToken"])
    fresh = {"appId": APP_ID, "secret": na.app[1], "refreshToken": pair["refreshToken"]}
    renewed = na.raw("POST", REFRESH, json.dumps(fresh).encode()).json
    secrets.add("renewed access token", renewed["accessToken"])
    secrets.add("wrong secret", WRONG)
    ended = {**na.headers(), "Authorization": f"Bearer {renewed['accessToken']}"}
    na.raw("POST", LOGOUT, json.dumps({"accessToken": renewed["accessToken"]}).encode(), ended)
    secrets.add("access token of the calls", na.token)
    answers = [
        na.raw("POST", LOGIN, json.dumps({"appId": APP_ID, "secret": WRONG}).encode()),
        na.raw("POST", LOGIN, f'{{"appId": "{APP_ID}", "secret": "{na.app[1]}" broken'.encode()),
        na.raw("GET", f"/iocm/app/cmd/v1.4.0/deviceCommands?x={na.token}", None, ended),
        na.raw("GET", "/nothing/here", None, na.headers()),
        na.raw("POST", REFRESH, json.dumps({**fresh, "refreshToken": pair["refreshToken"] + "x"}).encode()),
    ]
    assert all(answer.status >= 400 for answer in answers), [answer.status for answer in answers]
    return [answer.body for answer in answers]


def refusals(world: World, secrets: Secrets) -> list[bytes]:
    """Secrets of devices in calls that are refused."""
    na = world.na
    secrets.add("key of a device that is refused", "zz" + PSK)
    bodies = [
        ("/iocm/app/reg/v1.1.0/deviceCredentials", {"nodeId": "n", "psk": "zz" + PSK}),
        ("/iocm/app/reg/v2.0.0/deviceCredentials", {"deviceInfo": {"nodeId": "n"}, "secret": GIVEN + " blank"}),
        ("/iocm/app/reg/v2.0.0/deviceCredentials", {"deviceInfo": 7, "secret": GIVEN}),
    ]
    answers = [na.call("POST", path, body) for path, body in bodies]
    assert all(answer.status >= 400 for answer in answers), [answer.status for answer in answers]
    return [answer.body for answer in answers]


def devices(world: World, secrets: Secrets) -> None:
    """Devices over MQTT, let in and not."""
    given = world.na.register(secret=GIVEN)
    made = world.na.register()
    for n, credentials in enumerate([given, made]):
        secrets.add(f"secret of device {n}", credentials.secret)
        secrets.add(f"password of device {n}", login_of(credentials)[2])
        device = world.device(PahoDevice, credentials)
        command = world.create(device)
        device.answer(device.next_command()["mid"])
        world.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
    wrong = type(made)(made.device_id, made.node_id, WRONG)
    secrets.add("wrong password", login_of(wrong)[2])
    try:
        RawDevice(world.server.mqtt, wrong).start()
    except AssertionError:
        return
    raise AssertionError("a wrong password was taken")


def sleepers(world: World, secrets: Secrets) -> None:
    """A device over DTLS: its key stands in its registration."""
    info = {"nodeId": "sleeper-1", "psk": PSK, "deviceInfo": {"manufacturerId": "m", "deviceType": "t", "model": "x", "protocolType": "LWM2M"}}
    answer = world.na.call("POST", "/iocm/app/reg/v1.1.0/deviceCredentials", info)
    assert answer.status == 200, answer
    secrets.add("key of the sleeping device", PSK)
    secrets.add("key of the sleeping device, raw", bytes.fromhex(PSK))
    host, port = world.server.address("coaps")
    sim = Lwm2mSim("--coaps", f"{host}:{port}", "--node-id", "sleeper-1", "--secret", PSK)
    sim.wait_for("registered")
    sim.stop()


def operator(world: World, secrets: Secrets) -> list[bytes]:
    """The admin API with its token and without."""
    token = (world.server.data_dir / "admin.token").read_text().strip()
    secrets.add("admin token", token)
    secrets.add("master key", MASTER_KEY)
    secrets.add("signing key", SIGNING)
    secrets.add("signing key, raw", base64.b64decode(SIGNING))
    world.admin.call("POST", f"/apps/{APP_ID}/signing-keys", {"secret": f"whsec_{SIGNING}"})
    made = world.admin.call("POST", f"/apps/{APP_ID}/signing-keys")["secret"]
    secrets.add("signing key that was made", made.removeprefix("whsec_"))
    made = world.admin.call("POST", "/apps", {"id": "another"})
    secrets.add("secret of another application", made["secret"])
    secrets.add("secret that is a number", str(NUMBER))
    secrets.add("secret where none belongs", MISPLACED)
    answers = []
    for path, body in [
        ("/apps", {"id": "n1", "secret": NUMBER}),
        ("/apps", {"id": MISPLACED, "secret": "short"}),
        ("/apps", {"id": "n1", "feed": MISPLACED, "secret": MISPLACED}),
        (f"/apps/{APP_ID}/signing-keys", {"secret": NUMBER}),
        (f"/apps/{APP_ID}/signing-keys", {"secret": [MISPLACED]}),
        (f"/apps/{APP_ID}/push-tls", {"cert": MISPLACED, "key": MISPLACED}),
    ]:
        answer = world.admin.raw("PUT" if path.endswith("tls") else "POST", path, body)
        assert answer.status == 400, (path, answer)
        answers.append(answer.body)
    host, port = world.server.address("admin")
    request = urllib.request.Request(f"http://{host}:{port}/admin/v1/apps", headers={"Authorization": f"Bearer {token}x"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    return [*answers, refused.value.read()]


def over_http_2(world: World) -> None:
    """The library of HTTP/2 logs what others do not."""
    host, port = world.server.address("northbound")
    url = f"https://{host}:{port}/iocm/app/cmd/v1.4.0/deviceCommands"
    headers = [part for name, value in world.na.headers().items() for part in ("-H", f"{name}: {value}")]
    command = ["curl", "-sk", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", *headers, url]
    assert subprocess.run(command, capture_output=True, text=True, timeout=20).stdout == "2 200"


def metrics(world: World) -> bytes:
    host, port = world.server.address("admin")
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=20) as answer:
        return answer.read()


def test_no_secret_in_log_metrics_refusals_or_database(server):
    server.listeners.update({"northbound": "127.0.0.1:0", "coaps": "127.0.0.1:0"})
    server.start()
    world, secrets = World(server), Secrets()
    try:
        refused = applications(world, secrets)
        secure = NA(server, "northbound")
        secrets.add("access token over TLS", secure.login())
        credentials = secure.register()
        secrets.add("secret of a device over TLS", credentials.secret)
        over_http_2(world)
        secrets.add("token in a callback URL", QUERY)
        command = world.na.create(credentials.device_id, f"{world.receiver.url}?token={QUERY}")
        assert world.na.cancel_raw(command["commandId"]).status == 200
        until(lambda: world.receiver.requests(), what="the push to it")
        devices(world, secrets)
        sleepers(world, secrets)
        refused += refusals(world, secrets) + operator(world, secrets)
        until(lambda: b"push" in metrics(world), what="metrics of pushes")
        secrets.check("metrics", metrics(world))
        for body in refused:
            secrets.check("a refusal", body)
    finally:
        world.close()
    log = server.log.read_bytes()
    assert log.count(b'"DEBUG"') > 20, "the log is not at the level that is looked at"
    secrets.check("the log", log)
    kept = [path for path in server.data_dir.rglob("*") if path.is_file() and path.name != "admin.token"]
    assert any(path.read_bytes()[:6] == b"SQLite" for path in kept)
    for path in kept:
        # A callback URL is kept as it was given: it is what pushes go to.
        secrets.check(path.name, path.read_bytes(), but="token in a callback URL")


def test_the_check_finds_a_secret_in_any_of_its_forms():
    secrets = Secrets()
    secrets.add("key", "00ff10aa00ff10aa")
    for form in [b"x00FF10aa00ff10aax", b"[0, 255, 16, 170, 0, 255, 16, 170]", base64.b64encode(b"00ff10aa00ff10aa")]:
        with pytest.raises(AssertionError, match="key"):
            secrets.check("a text", form)


FORGED = "\n2026-01-01T00:00:00Z ERROR forged: all is lost\x1b[31m\r\n"


def connect_packet(client_id: str) -> bytes:
    """MQTT 3.1.1, with this client id."""
    text = client_id.encode()
    body = b"\0\4MQTT\4\2\0\x3c" + len(text).to_bytes(2) + text
    assert len(body) < 128
    return bytes([0x10, len(body)]) + body


@pytest.mark.parametrize("form", ["human", "json"])
def test_nobody_writes_lines_into_the_log(server, form):
    server.env.update({"DOWNLINK_LOG_FORMAT": form})
    server.start()
    with socket.create_connection(server.mqtt, 10) as stream:
        stream.sendall(connect_packet(f"dev{FORGED}"))
        while stream.recv(100):
            pass
    na = NA(server)
    na.login()
    calls = [
        (LOGIN, json.dumps({"appId": FORGED, "secret": FORGED}), {}),
        ("/iocm/app/cmd/v1.4.0/deviceCommands", json.dumps({"deviceId": FORGED, "command": {"x": FORGED}}), na.headers()),
        ("/iocm/app/cmd/v1.4.0/deviceCommands", json.dumps({"deviceId": "d", "callbackUrl": f"http://h:1/{FORGED}"}), na.headers()),
        ("/nothing%0a%1b%5b31m", "{" + FORGED, na.headers()),
    ]
    for path, body, headers in calls:
        assert na.raw("POST", path, body.encode(), headers).status >= 400
    server.terminate()
    log = server.log.read_bytes()
    assert b"CONNECT refused" in log and log.count(b"answered") >= 4
    assert b"\x1b" not in log and b"\r" not in log
    assert not [line for line in log.splitlines() if line.startswith(b"2026-01-01") or line.startswith(b"forged")]
