"""Every interop test runs twice: as shipped, and with the hints between the parts switched off, so that the sweeps
alone find all work. What a hint does, a sweep must do too."""

import pytest

SWEEPS_ONLY = {
    "DOWNLINK_ENGINE_HINTS": "false",
    "DOWNLINK_ENGINE_QUEUE_SWEEP_MS": "200",
    "DOWNLINK_ENGINE_OPEN_SWEEP_MS": "200",
    "DOWNLINK_ENGINE_EXPIRY_SWEEP_MS": "100",
}


@pytest.fixture(params=["hints", "sweeps"])
def engine_env(request):
    return SWEEPS_ONLY if request.param == "sweeps" else {}
