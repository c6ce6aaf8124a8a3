"""A duty that fails is told once and tried again."""

from __future__ import annotations

import time

from structlog.testing import capture_logs

from vesalius.app.duties import Duty
from vesalius.model.errors import OutOfResources


def test_a_failing_duty_never_raises_and_is_logged_once_a_change() -> None:
    fails = [OutOfResources("full"), OutOfResources("full"), ValueError("x"), None, None]

    def act() -> None:
        error = fails.pop(0)
        if error is not None:
            raise error

    duty = Duty("copy", 0.0, act)
    with capture_logs() as logs:
        for _ in range(5):
            duty.run(time.monotonic())
    events = [entry["event"] for entry in logs]
    assert events == ["duty-failing", "duty-failing", "duty-works-again"] or events == [
        "duty-failing",
        "duty-failing",
        "duty-failed",
        "duty-works-again",
    ]
    assert logs[0]["reason"] == "full"


def test_a_duty_waits_for_its_interval() -> None:
    done = []
    duty = Duty("x", 100.0, lambda: done.append(1))
    now = time.monotonic()
    duty.run(now)
    duty.run(now + 50)
    assert done == [1]
    duty.run(now + 200)
    assert done == [1, 1]
