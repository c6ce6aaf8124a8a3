"""Taking values out of a decoded data set (`model.entities.Values`), which holds texts or items under each tag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from vesalius.model.entities import Values


def texts(values: Mapping[int, object], tag: int) -> tuple[str, ...]:
    """The texts of an element; none where it is missing, empty or a sequence."""
    return tuple(each for each in _held(values, tag) if isinstance(each, str))


def text(values: Mapping[int, object], tag: int) -> str:
    """The first text of an element; "" where there is none."""
    return next(iter(texts(values, tag)), "")


def items(values: Mapping[int, object], tag: int) -> tuple[Values, ...]:
    """The items of a sequence; none where it is missing, empty or no sequence."""
    return tuple(each for each in _held(values, tag) if isinstance(each, dict))


def item(values: Mapping[int, object], tag: int) -> Values:
    """The first item of a sequence; an empty one where there is none."""
    return next(iter(items(values, tag)), {})


def all_texts(values: Values) -> Iterator[str]:
    """Every text of a data set, those inside sequences included."""
    for value in values.values():
        for each in value:
            if isinstance(each, str):
                yield each
            else:
                yield from all_texts(each)


def _held(values: Mapping[int, object], tag: int) -> tuple[object, ...]:
    return cast("tuple[object, ...]", values.get(tag, ()))
