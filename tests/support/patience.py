"""How long the tests wait for what must happen: a promise in seconds, times the slack of a busy machine.

The suite runs several processes on each processor, so a promise such as "within a second" cannot be held to the letter
while other tests compute. What a promise means (it does not take minutes, it does not wait for a timer) still shows
with slack; `VESALIUS_TEST_SLACK=1` on a quiet machine holds them to the letter. Speed itself is measured in
`benchmarks/`.
"""

from __future__ import annotations

import os
import time

SLACK = float(os.environ.get("VESALIUS_TEST_SLACK", "10"))


def patient(seconds: float) -> float:
    """So many seconds on a quiet machine, on this one."""
    return seconds * SLACK


def assert_within(began: float, seconds: float) -> None:
    """That no more than `seconds` (of a quiet machine) went by since `began`, a time of `time.monotonic()`."""
    took = time.monotonic() - began
    assert took < patient(seconds), f"took {took:.2f} s; {seconds} s on a quiet machine, {patient(seconds)} s here"
