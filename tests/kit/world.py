"""A server with its application, its receiver and its devices, and what is the same in many tests."""

import contextlib

from kit.admin import Admin
from kit.device import PahoDevice
from kit.na import NA, Credentials
from kit.rawmqtt import RawDevice
from kit.receiver import Receiver
from kit.server import Server


class World:
    """Closes all that it started."""

    def __init__(self, server: Server):
        self.server, self.na, self.receiver = server, NA(server), Receiver()
        self.admin = Admin(server)
        self._closing = contextlib.ExitStack()

    def device(self, make=RawDevice, credentials: Credentials | None = None, **more):
        """Registers a device (unless it has credentials), connects it and waits until it is ready for commands."""
        device = make(self.server.mqtt, credentials or self.na.register(), **more).start()
        self._closing.callback(device.stop)
        return device

    def create(self, device_or_credentials, expire: int | None = 600, **more) -> dict:
        credentials = getattr(device_or_credentials, "credentials", device_or_credentials)
        return self.na.create(credentials.device_id, self.receiver.url, expire, **more)

    def status(self, command: dict) -> str:
        return self.na.status(command["deviceId"], command["commandId"])

    def check_alive(self) -> None:
        """One command from its creation to its end."""
        device = self.device(PahoDevice)
        command = self.create(device)
        device.answer(device.next_command()["mid"])
        self.receiver.expect(command, "SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}'))
        device.stop()

    def close(self) -> None:
        self._closing.close()
        self.receiver.close()
        self.server.kill()
