"""CoAP messages (RFC 7252 §3) as bytes, written without looking at the server's: so that a test can send what no library
would, and see each datagram."""

from dataclasses import dataclass, field

CON, NON, ACK, RST = range(4)
EMPTY, GET, POST, PUT, DELETE = range(5)
CREATED, DELETED, CHANGED, CONTENT = 0x41, 0x42, 0x44, 0x45
FORBIDDEN, NOT_FOUND = 0x83, 0x84

OBSERVE, LOCATION_PATH, URI_PATH, CONTENT_FORMAT, URI_QUERY = 6, 8, 11, 12, 15
OCTETS = 42


@dataclass
class Coap:
    """One message. Options are pairs of number and bytes."""

    kind: int
    code: int
    mid: int
    token: bytes = b""
    options: list[tuple[int, bytes]] = field(default_factory=list)
    payload: bytes = b""

    def texts(self, number: int) -> list[str]:
        return [value.decode() for known, value in self.options if known == number]

    @property
    def path(self) -> str:
        return "/".join(self.texts(URI_PATH))

    def encode(self) -> bytes:
        head = bytes([0x40 | self.kind << 4 | len(self.token), self.code]) + self.mid.to_bytes(2) + self.token
        last, parts = 0, []
        for number, value in sorted(self.options, key=lambda option: option[0]):
            (delta, more_delta), (length, more_length) = _nibble(number - last), _nibble(len(value))
            parts.append(bytes([delta << 4 | length]) + more_delta + more_length + value)
            last = number
        return head + b"".join(parts) + (b"\xff" + self.payload if self.payload else b"")


def _nibble(number: int) -> tuple[int, bytes]:
    if number < 13:
        return number, b""
    return (13, bytes([number - 13])) if number < 269 else (14, (number - 269).to_bytes(2))


def uint(number: int) -> bytes:
    """The value of an option that is a number (§3.2)."""
    return number.to_bytes((number.bit_length() + 7) // 8)


def decode(datagram: bytes) -> Coap:
    """A message of the server; it must be in order."""
    assert len(datagram) >= 4 and datagram[0] >> 6 == 1, datagram
    length = datagram[0] & 15
    message = Coap(datagram[0] >> 4 & 3, datagram[1], int.from_bytes(datagram[2:4]), datagram[4 : 4 + length])
    rest, number = datagram[4 + length :], 0
    while rest and rest[0] != 0xFF:
        delta, size, rest = rest[0] >> 4, rest[0] & 15, rest[1:]
        delta, rest = _extended(delta, rest)
        size, rest = _extended(size, rest)
        assert len(rest) >= size, datagram
        number += delta
        message.options.append((number, rest[:size]))
        rest = rest[size:]
    message.payload = rest[1:]
    return message


def _extended(nibble: int, rest: bytes) -> tuple[int, bytes]:
    assert nibble < 15
    if nibble < 13:
        return nibble, rest
    bytes_more = nibble - 12
    return int.from_bytes(rest[:bytes_more]) + (13 if nibble == 13 else 269), rest[bytes_more:]
