"""Certificates of the HTTPS listener: exchanged without a restart, and asked of clients."""

import signal
import socket
import ssl
import subprocess
import urllib.request
from pathlib import Path

import pytest
from kit.wait import until


def make(directory: Path, name: str, *more: str) -> tuple[Path, Path]:
    """A key, and a certificate for 127.0.0.1 that it signs itself or that `more` says who signs."""
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command, *more], check=True, capture_output=True)
    return cert, key


@pytest.fixture
def files(tmp_path):
    """Where the server reads its certificate and key."""
    make(tmp_path, "server")
    return tmp_path / "server.pem", tmp_path / "server.key"


@pytest.fixture
def serve(server, files):
    def start(**settings: str):
        env = {"northbound_tls_cert": str(files[0]), "northbound_tls_key": str(files[1]), **settings}
        server.env.update({f"DOWNLINK_{name.upper()}": value for name, value in env.items()})
        server.listeners["northbound"] = "127.0.0.1:0"
        server.start()
        return server

    return start


def connect(server, client: tuple[Path, Path] | None = None) -> bytes:
    """The certificate that a new connection gets, in DER, once a request was answered on it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client:
        context.load_cert_chain(*client)
    with socket.create_connection(server.address("northbound"), timeout=10) as plain:
        with context.wrap_socket(plain) as tls:
            tls.sendall(b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert tls.recv(12) == b"HTTP/1.1 404"
            return tls.getpeercert(binary_form=True)


def der(cert: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(cert.read_text())


def metric(server, name: str) -> float:
    host, port = server.address("admin")
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)), 0.0)


def test_a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not(serve, files, tmp_path):
    server = serve()
    first = der(files[0])
    assert connect(server) == first
    ends = metric(server, 'downlink_tls_certificate_not_after_seconds{listener="northbound"}')
    other, key = make(tmp_path, "other", "-days", "30")

    files[0].write_bytes(other.read_bytes())
    server.process.send_signal(signal.SIGHUP)
    until(lambda: metric(server, "downlink_tls_reloads_failed_total") >= 1, what="the key does not fit")
    assert connect(server) == first

    files[1].write_bytes(key.read_bytes())
    server.process.send_signal(signal.SIGHUP)
    until(lambda: connect(server) == der(other), what="the new certificate is used")
    later = metric(server, 'downlink_tls_certificate_not_after_seconds{listener="northbound"}')
    assert later > ends > 0


def test_a_new_certificate_is_found_by_itself(serve, files, tmp_path):
    server = serve(server_tls_reload_secs="1")
    other, key = make(tmp_path, "other")
    files[0].write_bytes(other.read_bytes())
    files[1].write_bytes(key.read_bytes())
    until(lambda: connect(server) == der(other), what="the new certificate is used")


@pytest.mark.parametrize("asked", ["optional", "required"])
def test_clients_are_asked_for_a_certificate(serve, tmp_path, asked):
    ca, ca_key = make(tmp_path, "ca")
    good = make(tmp_path, "client", "-CA", str(ca), "-CAkey", str(ca_key), "-addext", "basicConstraints=CA:FALSE")
    server = serve(northbound_client_certs=asked, northbound_client_ca=str(ca))
    connect(server, good)
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        connect(server, make(tmp_path, "stranger"))
    if asked == "optional":
        connect(server)
    else:
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            connect(server)


@pytest.mark.parametrize("door", ["northbound", "mqtts"])
def test_older_versions_and_weak_suites_are_refused(server, serve, door):
    def shaken(least: ssl.TLSVersion, most: ssl.TLSVersion, suites: str) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version, context.maximum_version = least, most
        context.set_ciphers(suites)
        with socket.create_connection(server.address(door), timeout=10) as plain:
            with context.wrap_socket(plain) as tls:
                return tls.version()

    old, new = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    server.listeners[door] = "127.0.0.1:0"
    serve()
    assert shaken(new, new, "DEFAULT") == "TLSv1.3"
    assert shaken(old, old, "ECDHE+AESGCM") == "TLSv1.2"
    for least, most, suites in [
        (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        (old, old, "AES128-GCM-SHA256:@SECLEVEL=0"),
        (old, old, "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:@SECLEVEL=0"),
    ]:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            shaken(least, most, suites)
