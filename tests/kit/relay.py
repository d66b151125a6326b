"""A relay between a device and the server, that can say everything again, and things of its own."""

import select
import socket
import threading


class Relay:
    """To the server it is the device: same address, same port. `copies`: how often what the device says is said again."""

    def __init__(self, server: tuple[str, int], copies: int = 0):
        self.server, self.copies = server, copies
        self.said: list[bytes] = []
        self.front, self.back, self.other, self._stop = (self._socket() for _ in range(4))
        self._device: tuple[str, int] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @staticmethod
    def _socket() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", 0))
        return made

    @property
    def address(self) -> str:
        """Where the device finds it."""
        host, port = self.front.getsockname()
        return f"{host}:{port}"

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self.front, self.back, self._stop], [], [])
            if self._stop in ready:
                return
            if self.front in ready:
                datagram, self._device = self.front.recvfrom(4096)
                self.said.append(datagram)
                for _ in range(1 + self.copies):
                    self.back.sendto(datagram, self.server)
            if self.back in ready:
                datagram = self.back.recv(4096)
                if self._device:
                    self.front.sendto(datagram, self._device)

    def inject(self, datagram: bytes) -> None:
        """Says this in the device's name."""
        self.back.sendto(datagram, self.server)

    def elsewhere(self, datagram: bytes) -> None:
        """Says this from another address."""
        self.other.sendto(datagram, self.server)

    def stop(self) -> None:
        self._stop.sendto(b"", self._stop.getsockname())
        self._thread.join(10)
        for one in (self.front, self.back, self.other, self._stop):
            one.close()
