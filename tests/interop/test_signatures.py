"""Signatures of pushes, checked by a library that others wrote, from the first key to the next."""

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from kit import cli
from kit.device import PahoDevice
from kit.server import APP_ID

DONE = ["SENT", "DELIVERED", ("SUCCESSFUL", '{"result":0}')]


def pushes_of_one_command(world):
    device = world.device(PahoDevice)
    command = world.create(device)
    device.answer(device.next_command()["mid"])
    world.receiver.expect(command, *DONE)
    device.stop()
    return world.receiver.pushes(command["commandId"])


def verified_by(secret, pushes):
    """Whether the library takes all of them, or none."""
    outcomes = set()
    for push in pushes:
        try:
            Webhook(secret).verify(push.body, push.headers)
            outcomes.add(True)
        except WebhookVerificationError:
            outcomes.add(False)
    assert len(outcomes) == 1, "all pushes of a command are signed alike"
    return outcomes.pop()


def test_without_a_key_nothing_is_signed(world):
    assert all("webhook-signature" not in push.headers for push in pushes_of_one_command(world))


def test_from_the_first_key_to_the_next(world):
    server = world.server
    first = cli.call(server, "app", "key", "create", APP_ID)
    assert verified_by(first["secret"], pushes_of_one_command(world))
    second = cli.call(server, "app", "key", "create", APP_ID, "--overlap", "3600")
    both = pushes_of_one_command(world)
    assert verified_by(first["secret"], both) and verified_by(second["secret"], both)
    assert [key["id"] for key in cli.call(server, "app", "key", "list", APP_ID)["keys"]] == [second["id"], first["id"]]
    refused = cli.run(server, "app", "key", "create", APP_ID)
    assert refused.returncode == 1 and "two keys" in refused.stderr

    server.restart()
    both = pushes_of_one_command(world)
    assert verified_by(first["secret"], both) and verified_by(second["secret"], both)
    cli.call(server, "app", "key", "delete", APP_ID, first["id"])
    last = pushes_of_one_command(world)
    assert verified_by(second["secret"], last) and not verified_by(first["secret"], last)


def test_a_given_secret_is_used(world):
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    made = cli.call(world.server, "app", "key", "create", APP_ID, "--signing-secret", secret)
    assert made["secret"] == secret
    pushes = pushes_of_one_command(world)
    assert verified_by(secret, pushes)
    forged = pushes[0]
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(forged.body + b" ", forged.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(forged.body, {**forged.headers, "webhook-id": "another"})
