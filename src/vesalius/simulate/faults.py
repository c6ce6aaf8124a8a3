"""What goes wrong at a scanner, as data: each fault is a way to behave, and what is expected to become of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from vesalius.model.entities import Values


class Stage(enum.StrEnum):
    """Where the power may fail: after the first image was stored, and before the scanner has noted its answer; after
    all were stored; after commitment was asked for, before the answer was noted."""

    STORING = "storing"
    STORED = "stored"
    ASKED = "asked"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How an examination goes."""

    text: str  # what happens, for people
    expected: str  # what must become of it
    wrong_patient: bool = False
    lose: int = 0  # images that MPPS tells of and that are never sent
    commit: bool = True
    cut: Stage | None = None
    times: int = 1  # how often each image is sent
    late_mpps: bool = False
    discontinue: bool = False
    wrong_charset: bool = False
    append: bool = False


RIGHT = Behaviour("everything goes as it should", "committed, and deleted at the scanner")

FAULTS: Mapping[str, Behaviour] = {
    "wrong-patient": Behaviour(
        "the Patient ID is mistyped at the console", "kept as sent, on the list to reconcile", wrong_patient=True
    ),
    "lost-images": Behaviour(
        "an image that MPPS tells of is lost before it is sent",
        "missing images are an alert; commitment names the image with reason 0112",
        lose=1,
    ),
    "no-commit": Behaviour(
        "commitment is never asked for", "kept by the archive, and never deleted at the scanner", commit=False
    ),
    "power-cut": Behaviour(
        "the power fails while images are sent", "carried on after the start; no image lost, none twice",
        cut=Stage.STORING,
    ),
    "power-cut-stored": Behaviour(
        "the power fails after the last image", "MPPS and commitment follow after the start", cut=Stage.STORED
    ),
    "power-cut-asked": Behaviour(
        "the power fails after commitment was asked for", "asked again after the start", cut=Stage.ASKED
    ),
    "duplicate-send": Behaviour("every image is sent twice", "each is there once", times=2),
    "late-mpps": Behaviour(
        "MPPS is sent after the images", "the step is tied to its order and images all the same", late_mpps=True
    ),
    "discontinued": Behaviour(
        "the examination is given up half-way", "the step is DISCONTINUED, its images are kept", discontinue=True
    ),
    "wrong-charset": Behaviour(
        "names are Latin-1 and declared as UTF-8", "kept byte for byte; an order's own words are answered",
        wrong_charset=True,
    ),
    "append": Behaviour(
        "a second series is made after the step was completed", "a further performed step of the same order",
        append=True,
    ),
}  # fmt: skip


def mistyped(item: Values) -> Values:
    """The item with two characters of the Patient ID exchanged: what a console makes of a hurry."""
    wrong = tuple(_swapped(text) for text in item.get(0x00100020, ()) if isinstance(text, str))
    return {**item, 0x00100020: wrong}


def _swapped(text: str) -> str:
    """The last two neighbours that differ, exchanged."""
    for at in range(len(text) - 1, 0, -1):
        if text[at] != text[at - 1]:
            return text[: at - 1] + text[at] + text[at - 1] + text[at + 1 :]
    return text + "0"
