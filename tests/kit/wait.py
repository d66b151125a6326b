"""Waiting for a condition, never for time."""

import time


def until(condition, timeout: float = 20, what: str = "", every: float = 0.01):
    """Polls until `condition()` is true and gives its value; fails loudly at the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what or condition}")
        time.sleep(every)
