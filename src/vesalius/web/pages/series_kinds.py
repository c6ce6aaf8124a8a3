"""What a series is that is no stack of images, and where it can be read.

Theory. A reader who opens a report wants to read it, not to see a viewer that has no picture for it: structured
reports, key objects and encapsulated documents have a rendering of their own (PS3.18 8.7.4), presentation states are
drawn on the images that they are about. Which of them a series holds is told by the SOP class of its instances, never
by its modality alone: an encapsulated PDF has the modality of the machine that printed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vesalius.imaging.presentation import is_presentation_state
from vesalius.model.entities import Level, StoredInstance
from vesalius.web.context import WebContext
from vesalius.web.documents import ENCAPSULATED, is_readable

KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
MOST_INSTANCES = 50  # of a series that is looked into: documents come in small ones
MOST_LINKS = 12  # of one series

# Modality -> the word for it, a key of the catalogue.
WORDS = {
    "SR": "report", "KO": "keyobjects", "PR": "presentation", "SEG": "segmentation", "RTSTRUCT": "structures",
    "RTPLAN": "plan", "RTRECORD": "record", "RWV": "values", "REG": "registration", "FID": "fiducials",
    "ANN": "annotations", "ECG": "waveforms", "EEG": "waveforms", "EMG": "waveforms", "HD": "waveforms",
    "RESP": "waveforms", "AU": "waveforms", "DOC": "document",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """What a series is. `word`: for the catalogue, "" for images; `read`: instances that are read as they are."""

    word: str = ""
    read: tuple[str, ...] = ()


def kinds_of(ctx: WebContext, study: str, series: Sequence[tuple[str, str, int]]) -> dict[str, Kind]:
    """The kinds of series (UID, modality, number of instances). Blocks."""
    looked = tuple(uid for uid, modality, count in series if 0 < count <= MOST_INSTANCES and modality not in _IMAGES)
    instances: dict[str, list[StoredInstance]] = {}
    if looked:
        for one in ctx.index.select(Level.SERIES, studies=(study,), series=looked):
            instances.setdefault(one.series, []).append(one)
    return {uid: _kind(modality, instances.get(uid, [])) for uid, modality, _ in series}


# Always images; a reader's page is not to wait for them to be looked into.
_IMAGES = frozenset(("CT", "MR", "PT", "MG", "XA", "NM", "SM"))


def _kind(modality: str, instances: Sequence[StoredInstance]) -> Kind:
    read = tuple(
        one.sop_instance for one in instances if is_readable(one.sop_class) or is_presentation_state(one.sop_class)
    )
    word = WORDS.get(modality, "")
    if instances and all(one.sop_class in ENCAPSULATED for one in instances):
        word = "document"
    elif instances and all(one.sop_class == KEY_OBJECTS for one in instances):
        word = "keyobjects"
    elif instances and len(read) == len(instances) and not word:
        word = "report"
    # The newest is what is meant by the report of a study; the others are at hand beside it.
    return Kind(word, tuple(reversed(read))[:MOST_LINKS])
