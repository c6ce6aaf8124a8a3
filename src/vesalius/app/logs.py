"""Logging of every process: one event a line, JSON for machines or text for people, on standard error.

Log lines carry UIDs, AE titles and counts, never patient data (T14). What a peer sends can still end up in one
(its AE title, a UID), so every string is cut to a length and stripped of control, bidirectional and line
separator characters before it is written: a line is always one line.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

LONGEST = 1000
# Control characters, line and paragraph separators, and the marks that reorder text on a terminal.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _Lossy:
    """A stream behind which a disk may be full or a pipe closed: that costs a line, never a request."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As of a text file. Never raises."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As of a text file. Never raises."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def clean(value: Any) -> Any:
    """A string without anything that could forge or hide a log line; other values as they are."""
    if isinstance(value, str):
        text = _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", value)
        return text if len(text) <= LONGEST else text[:LONGEST] + "..."
    return value


def _clean_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if key != "exception":
            event[key] = clean(value).replace("\n", " ") if isinstance(value, str) else value
    return event


def _add_process(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["pid"] = os.getpid()
    return event


def _as_json(value: Any, **_options: Any) -> str:
    # ensure_ascii: what is left of other scripts travels as \u escapes and cannot disturb a terminal.
    return json.dumps(value, default=repr, ensure_ascii=True, separators=(",", ":"))


def configure(level: str = "info", form: str = "auto") -> None:
    """Set up structlog for this process and those it forks. `form` is "json", "text" or "auto"."""
    stream = cast(TextIO, _Lossy(sys.stderr))
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if text else "iso", utc=not text),
    ]
    if text:
        processors += [
            structlog.processors.format_exc_info,
            _clean_event,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
    else:
        processors += [
            _add_process,
            structlog.processors.format_exc_info,
            _clean_event,
            structlog.processors.JSONRenderer(serializer=_as_json),
        ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    # Libraries that use the standard library's logging: only their warnings, and in one line each.
    logging.basicConfig(level=logging.WARNING, stream=stream, format="%(name)s: %(message)s", force=True)
    logging.getLogger("_granian").setLevel(logging.ERROR)
