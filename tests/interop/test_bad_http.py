"""Bad requests: each gets a clear error, none leaves a trace, and the server goes on."""

import errno
import http.client
import json
import socket

from kit.na import COMMANDS, LOGIN, NA, REGISTER

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def command(world, device_id, **changes):
    body = {
        "deviceId": device_id,
        "command": {"serviceId": "Lamp", "method": "SWITCH", "paras": {"value": 1}},
        "callbackUrl": world.receiver.url,
        "expireTime": 600,
    }
    body.update(changes)
    return {key: value for key, value in body.items() if value is not ...}


def bad_commands(world, device_id):
    """Name, body, error codes that say it."""
    whole = command(world, device_id)["command"]
    return [
        ("unknown device", command(world, "no-such-device"), {"100418", "100403"}),
        ("no device", command(world, ...), {"100022", "100007"}),
        ("device id of another type", command(world, 17), {"100022"}),
        ("no command", command(world, device_id, command=...), {"100022"}),
        ("no method", command(world, device_id, command={**whole, "method": None}), {"100022", "102203"}),
        ("service too long", command(world, device_id, command={**whole, "serviceId": "s" * 65}), {"100022", "100431"}),
        ("method too long", command(world, device_id, command={**whole, "method": "m" * 129}), {"100022", "102203"}),
        ("paras of another type", command(world, device_id, command={**whole, "paras": "on"}), {"100022"}),
        ("negative lifetime", command(world, device_id, expireTime=-1), {"100022"}),
        ("lifetime of another type", command(world, device_id, expireTime="soon"), {"100022"}),
        ("lifetime out of range", command(world, device_id, expireTime=10**30), {"100022"}),
        ("maxRetransmit out of range", command(world, device_id, maxRetransmit=4), {"100022"}),
        ("not an object", ["a", "list"], {"100022"}),
    ] + [
        (f"callback {url!r}", command(world, device_id, callbackUrl=url), {"100222"} if len(url) < 1024 else {"100222", "100022"})
        for url in [
            "not a url",
            "http://127.0.0.1/no-port",
            "http://127.0.0.1:9000",
            "ftp://127.0.0.1:21/x",
            "http://:9000/x",
            "http://127.0.0.1:99999/x",
            "http://127.0.0.1:9000/" + "x" * 1024,
        ]
    ]


def test_bad_commands(world):
    device_id = world.na.register().device_id
    before, wrong = world.na.totals(), []
    for name, body, codes in bad_commands(world, device_id):
        answer = world.na.call("POST", COMMANDS, body)
        if not (400 <= answer.status < 500 or answer.status == 200) or answer.error not in codes:
            wrong.append(f"{name}: {answer}, not {codes}")
        elif not answer.headers["Content-Type"] or not answer.json.get("error_desc"):
            wrong.append(f"{name}: no Content-Type, or nothing for people: {answer}")
    assert not wrong, "\n".join(wrong)
    assert world.na.totals() == before
    world.check_alive()


def test_broken_and_large_bodies(world):
    device_id = world.na.register().device_id
    headers, before = world.na.headers(), world.na.totals()
    good = json.dumps(command(world, device_id)).encode()
    for body in [b"", b"{", good[:-1], good + b"}", b"\xff\xfe{}", b"null", b"[" * 100_000]:
        answer = world.na.raw("POST", COMMANDS, body, headers)
        assert answer.status == 400 and answer.error, (body[:40], answer)
    for path in [COMMANDS, REGISTER]:
        assert refused_as_too_large(world, path, headers)
    assert world.na.totals() == before
    world.check_alive()


def refused_as_too_large(world, path, headers):
    """2 MiB: an error, or a connection closed after it; never 2xx."""
    try:
        answer = NA(world.server).raw("POST", path, b'{"x":"' + b"x" * (2 << 20) + b'"}', headers)
    except (ConnectionError, http.client.HTTPException):
        return True
    return answer.status in (400, 413) and answer.error


def test_wrong_tokens(world):
    device_id = world.na.register().device_id
    good, before = world.na.headers(), world.na.totals()
    body = json.dumps(command(world, device_id)).encode()
    for headers in [
        {**good, "Authorization": "Bearer 0123456789abcdef"},
        {**good, "Authorization": "Bearer "},
        {**good, "Authorization": good["Authorization"] + "x"},
        {**good, "app_key": "another-app"},
        {key: value for key, value in good.items() if key != "Authorization"},
    ]:
        answer = world.na.raw("POST", COMMANDS, body, headers)
        assert answer.status == 403, answer
        assert answer.json["resultcode"] == "1010005" and answer.json["resultmsg"], answer
    assert world.na.totals() == before
    world.check_alive()


def test_wrong_logins(world):
    for form in [b"appId=nobody&secret=x", f"appId={world.na.app[0]}&secret=wrong".encode()]:
        answer = world.na.raw("POST", LOGIN, form, FORM)
        assert (answer.status, answer.error) == (401, "100208"), answer
    answer = world.na.raw("POST", LOGIN, b"appId=only", FORM)
    assert answer.status == 400 and answer.error, answer
    world.check_alive()


def test_unknown_members_and_old_spellings_are_let_pass(world):
    """What clients of the old platform send besides is no error."""
    credentials = world.na.register()
    world.create(credentials, requestId="r1", appId="another", appid="x")
    headers = world.na.headers()
    body = json.dumps(command(world, credentials.device_id)).encode()
    old = {**headers, "access_token": headers["Authorization"].split()[1]}
    del old["Authorization"]
    for variant in [
        {**headers, "Content-Type": "applicaton/json"},
        {**headers, "Authorization": headers["Authorization"].replace("Bearer", "bearer")},
        {("APP_KEY" if key == "app_key" else key): value for key, value in headers.items()},
        old,
    ]:
        assert world.na.raw("POST", COMMANDS, body, variant).status == 201, variant.keys()


def test_unknown_commands_and_paths(world):
    answer = world.na.cancel_raw("0" * 32)
    assert answer.error == "100434", answer
    assert world.na.cancel_raw("not-an-id").error in ("100434", "100022")
    for method, path in [("GET", "/nothing/here"), ("DELETE", COMMANDS), ("POST", "/")]:
        answer = world.na.call(method, path)
        assert answer.status in (404, 405) and answer.headers["Content-Type"], answer
    world.check_alive()


def end_of_request(connection):
    """Nothing more will come. The server may have hung up by now: that is no ConnectionError, but an error of its own."""
    try:
        connection.shutdown(socket.SHUT_WR)
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise


def test_bytes_that_are_not_http(world):
    for data in [b"\x16\x03\x01\x00\xa5\x01\x00", b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"\0" * 4096]:
        with socket.create_connection(world.server.address("northbound-plain"), 20) as connection:
            try:
                connection.sendall(data)
                end_of_request(connection)
                answer = connection.recv(4096)
            except ConnectionError:
                answer = b""
            assert not answer or answer.startswith(b"HTTP/1.1 4"), answer
    world.check_alive()
