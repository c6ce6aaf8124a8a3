"""A log line is one line, whatever a peer sends (T14)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from vesalius.app.logs import LONGEST, clean

HOSTILE = [
    'a\r\n{"level":"error"}',
    "\x1b[2J\x1b[31mred",
    "\u202egnp.exe",
    "line\u2028separator",
    "\x9b2J",
    "nul\0",
]

PROGRAM = """
import sys, structlog
from vesalius.app.logs import configure
configure("info", sys.argv[1])
log = structlog.get_logger()
log.info("event", text=sys.argv[2].encode().decode("unicode_escape"), count=3)
log.debug("hidden")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("fault")
"""


def run(form: str, text: str) -> str:
    escaped = text.encode("unicode_escape").decode()
    done = subprocess.run([sys.executable, "-c", PROGRAM, form, escaped], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_loses_what_could_forge_or_hide_a_line(text: str) -> None:
    cleaned = clean(text)
    assert not any(char in cleaned for char in "\r\x1b\u202e\u2028\x9b\0")


def test_long_text_is_cut() -> None:
    assert len(clean("x" * 10_000)) == LONGEST + 3


def test_json_lines_are_one_object_each() -> None:
    lines = run("json", "".join(HOSTILE)).splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in events] == ["event", "fault"]
    assert events[0]["level"] == "info" and events[0]["count"] == 3 and events[0]["pid"] > 0
    assert events[0]["timestamp"].endswith("Z")
    assert "ZeroDivisionError" in events[1]["exception"]


def test_text_lines_cannot_be_steered() -> None:
    first = run("text", "".join(HOSTILE)).splitlines()[0]
    assert "event" in first and "\x1b[2J" not in first and "\u202e" not in first


def test_a_log_that_cannot_be_written_disturbs_nobody() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM + "\nprint('went on', flush=True)", "json", "text"],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
        )
    assert done.stdout == "went on\n"
