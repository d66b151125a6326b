"""Subscriptions over REST against the real binary, and that what devices do reaches the subscriber."""

import json

import pytest

from kit.device import PahoDevice
from kit.wait import until

SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"
