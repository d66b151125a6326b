"""A few of the kills that `python -m tests.durability.kills` makes hundreds of; DOWNLINK_TEST_KILLS says how many."""

import os

from durability import kills


def test_every_promise_is_kept_over_kills(tmp_path, rng, syncdrop_library):
    ledger = kills.run(tmp_path, int(os.environ.get("DOWNLINK_TEST_KILLS") or 12), rng, syncdrop_library)
    print(ledger.show())
    assert not ledger.wrong
    assert ledger.in_flight >= 0.9 * ledger.kills
