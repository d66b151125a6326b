"""Bytes of DTLS 1.2 (RFC 6347) that no honest client sends, or not so many of."""

HANDSHAKE, ALERT, APPLICATION = 22, 21, 23
CLIENT_HELLO, HELLO_VERIFY_REQUEST = 1, 3
PSK_CCM_8, EXTENDED_MASTER_SECRET = b"\xc0\xa8", b"\0\x17\0\0"


def record(content: int, fragment: bytes, epoch: int = 0, sequence: int = 0) -> bytes:
    head = bytes([content]) + b"\xfe\xfd" + epoch.to_bytes(2) + sequence.to_bytes(6)
    return head + len(fragment).to_bytes(2) + fragment


def hello(random: bytes, cookie: bytes = b"", message: int = 0, extensions: bytes = EXTENDED_MASTER_SECRET) -> bytes:
    """A client's hello in one record; the shortest that there is without extensions."""
    body = b"\xfe\xfd" + random + b"\0" + bytes([len(cookie)]) + cookie + b"\0\2" + PSK_CCM_8 + b"\1\0"
    if extensions:
        body += len(extensions).to_bytes(2) + extensions
    length = len(body).to_bytes(3)
    return record(HANDSHAKE, bytes([CLIENT_HELLO]) + length + message.to_bytes(2) + b"\0\0\0" + length + body)


def close_notify() -> bytes:
    """The end of a session, in clear."""
    return record(ALERT, b"\1\0")
