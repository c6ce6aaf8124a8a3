"""How a module of our own interface describes its operations; `openapi.py` makes the document of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Schema: TypeAlias = "Mapping[str, Any]"

# The one form of everything that is wrong (`errors.problem_response`).
JSON_ERROR: Schema = {
    "type": "object",
    "required": ["title", "detail", "hint"],
    "properties": {name: {"type": "string"} for name in ("title", "detail", "hint")},
}
UID_TEXT: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+){1,20}$", "maxLength": 64}
# Which of a series' volumes.
PART_NUMBER: Schema = {"type": "integer", "minimum": 0, "maximum": 10**9}
# A person's name, which is written into an instance.
WHO_TEXT: Schema = {"type": "string", "pattern": r"^[^\x00-\x1f\\]*$", "maxLength": 64}


@dataclass(frozen=True, slots=True)
class Value:
    """A parameter of an operation."""

    name: str
    text: str
    schema: Schema
    place: str = "query"  # "query" | "header" | "path"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path below `view.api` (or of the root, where `root` is set)."""

    method: str  # in lower case
    path: str
    text: str
    parameters: tuple[Value, ...] = ()
    responses: Mapping[int, Schema | None] = field(default_factory=dict)  # status -> schema of the body, None: no JSON
    request: Mapping[str, Schema] = field(default_factory=dict)  # media type -> schema of the body
    media_type: str = "application/json"
    root: bool = False
