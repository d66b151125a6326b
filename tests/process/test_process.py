"""The server as a process: how it starts, what it refuses to start on, how it ends."""

import json
import os
import socket
import stat
import urllib.error
import urllib.request

from kit.na import NA
from kit.server import Server, run_to_end
from kit.wait import until
from kit.world import World


def mode_of(path) -> str:
    return oct(stat.S_IMODE(os.stat(path).st_mode))


def test_the_ready_line_names_every_listener_that_is_on(server):
    server.listeners["northbound"] = "127.0.0.1:0"
    server.listeners["mqtts"] = "127.0.0.1:0"
    server.start()
    pairs = dict(pair.split("=", 1) for pair in server.ready_line.split()[1:])
    assert set(pairs) == {"northbound", "northbound-plain", "mqtt", "mqtts", "admin"}
    assert pairs["northbound"].startswith("https://127.0.0.1:")
    assert pairs["northbound-plain"].startswith("http://127.0.0.1:")
    assert pairs["mqtt"].startswith("127.0.0.1:")
    assert pairs["admin"].startswith("http://127.0.0.1:")
    for name in pairs:
        socket.create_connection(server.address(name), 5).close()


def test_the_same_interface_over_tls(server):
    server.listeners["northbound"] = "127.0.0.1:0"
    server.start()
    na = NA(server, "northbound")
    credentials = na.register()
    assert na.create(credentials.device_id, None)["status"] == "PENDING"
    assert len(NA(server).list(credentials.device_id)) == 1


def test_a_listener_that_is_off_is_not_there(server):
    server.listeners["mqtt"] = "off"
    server.start()
    assert "mqtt=" not in server.ready_line and "northbound=" not in server.ready_line


def test_listens_on_ipv6(server):
    server.listeners.update({"northbound-plain": "[::1]:0", "mqtt": "[::1]:0"})
    server.start()
    assert "northbound-plain=http://[::1]:" in server.ready_line and "mqtt=[::1]:" in server.ready_line
    world = World(server)
    world.check_alive()
    world.close()


def test_sigterm_ends_it_in_good_order(world):
    devices = [world.device() for _ in range(3)]
    commands = [world.create(device) for device in devices]
    queued = world.create(world.na.register())
    assert world.server.terminate(within=10) == 0
    for device in devices:
        assert device.closed.wait(20)
    world.server.start()
    assert len(world.na.list()) == len(commands) + 1
    assert world.status(queued) == "PENDING"


def test_sigterm_twice_and_at_once(server):
    server.start()
    assert server.terminate(within=10) == 0
    server.start()
    process = server.process
    process.terminate()
    process.terminate()
    assert server.died(within=10) == 0


def test_a_port_in_use_is_a_clear_error(server):
    for name in ["mqtt", "northbound-plain", "admin"]:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            server.listeners[name] = f"127.0.0.1:{port}"
            code, said = run_to_end(server)
            assert code not in (0, 101) and code > 0, said
            assert str(port) in said and "in use" in said.lower(), said
            assert "ready " not in said
        server.listeners[name] = "127.0.0.1:0"
    server.start()


def test_a_second_process_on_the_same_data_is_refused(server, tmp_path):
    server.start()
    second = Server(tmp_path)
    code, said = run_to_end(second)
    assert code > 0 and code != 101, said
    assert str(second.data_dir) in said, said
    na = NA(server)
    na.register()
    assert server.running()
    server.restart("kill")
    assert na.totals()[1] == 1, "a killed process leaves no lock behind"


def test_what_it_keeps_is_private(server):
    old = os.umask(0)
    try:
        server.start()
    finally:
        os.umask(old)
    assert mode_of(server.data_dir) == "0o700"
    for name in ["admin.token", "master.key"]:
        assert mode_of(server.data_dir / name) == "0o600", name


def test_an_unusable_data_directory_is_a_clear_error(server):
    server.data_dir.write_text("a file, not a directory")
    code, said = run_to_end(server)
    assert code > 0 and code != 101, said
    assert str(server.data_dir) in said, said


def test_a_data_directory_that_is_not_ours_is_left_alone(server):
    """A database that is no database: an error, not a new one in its place."""
    server.start()
    server.terminate()
    databases = [path for path in server.data_dir.iterdir() if path.read_bytes()[:6] == b"SQLite"]
    assert databases
    for path in databases:
        path.write_bytes(b"rubbish" * 1000)
    code, said = run_to_end(server)
    assert code > 0 and code != 101, said
    assert databases[0].read_bytes() == b"rubbish" * 1000


def test_mistakes_in_the_configuration_are_errors(server, tmp_path):
    for text, wanted in [("[mqtt]\nlissten = 'x'\n", "lissten"), ("[commands]\nqueue_limit = 'many'\n", "queue_limit"), ("[", "")]:
        (tmp_path / "bad.toml").write_text(text)
        server.arguments = ["--config", str(tmp_path / "bad.toml")]
        code, said = run_to_end(server)
        assert code > 0 and code != 101, said
        assert wanted in said, said
    server.arguments = ["--config", str(tmp_path / "missing.toml")]
    assert run_to_end(server)[0] > 0


def test_the_file_sets_and_the_environment_wins(server, tmp_path):
    (tmp_path / "d.toml").write_text("[commands]\nqueue_limit = 5\n")
    server.arguments = ["--config", str(tmp_path / "d.toml")]
    assert queue_limit(server.start()) == 5
    server.terminate()
    server.env["DOWNLINK_COMMANDS_QUEUE_LIMIT"] = "3"
    assert queue_limit(server.start()) == 3


def queue_limit(server) -> int:
    na = NA(server)
    device_id = na.register().device_id
    count = 0
    while na.create_raw(device_id, None).status == 201:
        count += 1
    return count


def admin(server, path, token=None, host=None):
    address, port = server.address("admin")
    request = urllib.request.Request(f"http://{address}:{port}{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    if host:
        request.add_header("Host", host)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_health_and_metrics_need_no_token(server):
    server.start()
    for path in ["/healthz", "/readyz", "/metrics"]:
        assert admin(server, path)[0] == 200, path
    assert "# TYPE" in admin(server, "/metrics")[1]


def test_no_secret_is_logged(world):
    device = world.device()
    world.create(device)
    world.check_alive()
    world.server.terminate()
    log = world.server.log.read_text()
    for secret in [world.na.app[1], world.na.token, device.credentials.secret, world.na.headers()["Authorization"]]:
        assert secret not in log
    for line in log.splitlines():
        if line.startswith("{"):
            json.loads(line)


def test_ids_are_no_metric_labels(world):
    device = world.device()
    command = world.create(device)
    world.receiver.wait_for(command["commandId"], "DELIVERED")
    metrics = until(lambda: admin(world.server, "/metrics")[1], what="metrics")
    assert device.credentials.device_id not in metrics and command["commandId"] not in metrics
