"""The graph of an advanced blending state (PS3.3 C.11.34, PS3.4 N.2.6): read, put in order, worked out."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from tests.support.advanced_states import ADVANCED, item, step
from tests.support.generate import ct

from vesalius.imaging.advanced_blending import MOST_INPUTS, MOST_STEPS, advanced_of
from vesalius.imaging.blending_layers import composed, let_through, packed, unpacked
from vesalius.model.elements import Header, read_header
from vesalius.model.errors import CannotTranscode, VesaliusError
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE

Said = tuple[str, tuple[int, ...], int | None, float]
Seen = tuple[float, bool]
IMAGE = ct(rows=2, columns=2)


def encoded(inputs: Sequence[int], steps: Sequence[Said]) -> bytes:
    ds = Dataset()
    ds.SOPClassUID = ADVANCED
    ds.AdvancedBlendingSequence = [item(number, [IMAGE]) for number in inputs]
    ds.BlendingDisplaySequence = [
        step(mode, used, result, opacity if mode == "FOREGROUND" else None) for mode, used, result, opacity in steps
    ]
    stream = BytesIO()
    dcmwrite(stream, ds, implicit_vr=False, little_endian=True)
    return stream.getvalue()


def header(inputs: Sequence[int], steps: Sequence[Said]) -> Header:
    return read_header(encoded(inputs, steps), EXPLICIT_LE)


class Wrong(Exception):
    """What the state asks for cannot be worked out."""


def by_recursion(inputs: dict[int, Seen], steps: Sequence[Said]) -> Seen:
    """The picture of one pixel, from the one step without a number down."""
    numbers = [result for _, _, result, _ in steps if result is not None]
    last = [each for each in steps if each[2] is None]
    if len(last) != 1 or len({*numbers, *inputs}) < len(numbers) + len(inputs):
        raise Wrong
    made = {each[2]: each for each in steps if each[2] is not None}

    def value(number: int, above: tuple[int, ...]) -> Seen:
        if number in inputs:
            return inputs[number]
        if number in above or number not in made:
            raise Wrong
        return blend(made[number], (*above, number))

    def blend(said: Said, above: tuple[int, ...]) -> Seen:
        mode, used, _, opacity = said
        found = [value(number, above) for number in used]
        there = [level for level, here in found if here]
        if not there:
            return 0.0, False
        if mode == "EQUAL":
            return sum(there) / len(there), True
        return (there[0] if len(there) == 1 else found[0][0] * opacity + found[1][0] * (1 - opacity)), True

    return blend(last[0], ())


numbers_ = st.integers(1, 7)
opacities = st.sampled_from([0.0, 0.25, 0.5, 1.0])
equals = st.tuples(st.just("EQUAL"), st.lists(numbers_, min_size=1, max_size=3).map(tuple),
                   st.none() | numbers_, opacities)  # fmt: skip
foregrounds = st.tuples(st.just("FOREGROUND"), st.tuples(numbers_, numbers_), st.none() | numbers_, opacities)
pixels = st.tuples(st.integers(0, 255).map(float), st.booleans())


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.integers(1, 4), pixels, min_size=1), st.lists(equals | foregrounds, min_size=1, max_size=5))
def test_any_graph_gives_what_following_it_by_hand_gives_or_is_refused(
    inputs: dict[int, Seen], steps: list[Said]
) -> None:
    try:
        theirs: Seen | None = by_recursion(inputs, steps)
    except Wrong:
        theirs = None
    if theirs is None:
        with pytest.raises(CannotTranscode):
            advanced_of(header(list(inputs), steps))
        return
    try:
        advanced = advanced_of(header(list(inputs), steps))
    except CannotTranscode as error:
        pytest.fail(f"refused: {error.message}")
    assert advanced is not None
    layers = {
        number: np.array([[[level, level, level, 255 if here else 0]]], np.uint8)
        for number, (level, here) in inputs.items()
        if number in advanced.inputs
    }
    picture = composed(advanced, layers)
    assert picture.shape == (1, 1, 3)
    assert np.abs(picture.astype(float) - (theirs[0] if theirs[1] else 0.0)).max() <= 0.51


def test_a_chain_as_long_as_is_allowed_is_made_and_one_longer_is_not() -> None:
    def chain(length: int) -> list[Said]:
        steps: list[Said] = [("EQUAL", (100 + length - 1,), None, 0.0), ("EQUAL", (1,), 101, 0.0)]
        return steps + [("EQUAL", (100 + place - 1, 1), 100 + place, 0.0) for place in range(2, length)]

    advanced = advanced_of(header([1], chain(MOST_STEPS)))
    assert advanced is not None and len(advanced.steps) == MOST_STEPS
    with pytest.raises(CannotTranscode, match="at most 32"):
        advanced_of(header([1], chain(MOST_STEPS + 1)))


def test_steps_that_fan_out_are_made_once_each() -> None:
    """Every step uses the one before twice: followed by hand that is 2 to the power of 30."""
    steps: list[Said] = [("EQUAL", (130, 130), None, 0.0), ("EQUAL", (1,), 101, 0.0)]
    steps += [("FOREGROUND", (100 + place, 100 + place), 101 + place, 0.5) for place in range(1, 30)]
    advanced = advanced_of(header([1], steps))
    assert advanced is not None and len(advanced.steps) == 31
    layer = np.array([[[9, 8, 7, 255]]], np.uint8)
    assert composed(advanced, {1: layer}).ravel().tolist() == [9, 8, 7]


def test_inputs_that_nobody_sees_are_not_asked_for() -> None:
    advanced = advanced_of(header([1, 2, 3], [("EQUAL", (2,), None, 0.0), ("EQUAL", (3,), 9, 0.0)]))
    assert advanced is not None
    assert list(advanced.inputs) == [2] and advanced.geometry.number == 2


def test_as_many_inputs_as_are_allowed_are_read_and_one_more_is_not() -> None:
    most = list(range(1, MOST_INPUTS + 1))
    assert advanced_of(header(most, [("EQUAL", tuple(most), None, 0.0)])) is not None
    with pytest.raises(CannotTranscode, match="at most 16"):
        advanced_of(header([*most, 99], [("EQUAL", (1,), None, 0.0)]))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_whatever_bytes_are_wrong_a_state_is_read_or_refused_in_words(changes: list[tuple[int, int]]) -> None:
    data = bytearray(encoded([1, 2, 3], [("FOREGROUND", (1, 5), None, 0.5), ("EQUAL", (2, 3), 5, 0.0)]))
    for place, value in changes:
        data[place % len(data)] = value
    try:
        advanced_of(read_header(bytes(data), EXPLICIT_LE))
    except VesaliusError as error:
        assert error.message


KEEP: dict[str, tuple[tuple[float, ...], list[bool]]] = {
    "RANGE_INCL": ((1.0, 3.0), [False, True, True, True, False]),
    "RANGE_EXCL": ((3.0, 1.0), [True, False, False, False, True]),
    "GREATER_OR_EQUAL": ((2.0,), [False, False, True, True, True]),
    "LESS_OR_EQUAL": ((2.0,), [True, True, True, False, False]),
    "GREATER_THAN": ((2.0,), [False, False, False, True, True]),
    "LESS_THAN": ((2.0,), [True, True, False, False, False]),
}


@pytest.mark.parametrize("kind", KEEP)
def test_a_threshold_shows_the_values_that_the_standard_says(kind: str) -> None:
    values, theirs = KEEP[kind]
    ds = Dataset()
    ds.SOPClassUID = ADVANCED
    ds.AdvancedBlendingSequence = [item(1, [IMAGE], keep=[(kind, values)])]
    ds.BlendingDisplaySequence = [step("EQUAL", [1])]
    stream = BytesIO()
    dcmwrite(stream, ds, implicit_vr=False, little_endian=True)
    advanced = advanced_of(read_header(stream.getvalue(), EXPLICIT_LE))
    assert advanced is not None
    assert let_through(np.arange(5.0), advanced.inputs[1].thresholds).tolist() == theirs


def test_layers_that_do_not_fit_the_picture_are_refused() -> None:
    layers: dict[int, Any] = {3: np.full((2, 5, 4), 3, np.uint8), 1: np.full((2, 5, 4), 1, np.uint8)}
    data = packed(layers)
    found = unpacked(data, 2, 5)
    assert {number: int(layer[0, 0, 0]) for number, layer in found.items()} == {1: 1, 3: 3}
    for wrong in (b"", b"\1", data[:-1], data + b"\0", data[:2]):
        with pytest.raises(CannotTranscode):
            unpacked(wrong, 2, 5)
