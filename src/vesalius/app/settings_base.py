"""What a setting is: a value with its meaning, its unit and the reason for its default."""

from __future__ import annotations

from typing import Any

import msgspec


def setting(text: str, *, why: str, unit: str = "", **constraints: Any) -> msgspec.Meta:
    """Document one setting: what it is (`text`), why it has its default (`why`), its `unit` and its bounds."""
    return msgspec.Meta(description=text, extra={"why": why, "unit": unit}, **constraints)


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """Base of every table of the configuration file: unknown keys are refused, values do not change."""
