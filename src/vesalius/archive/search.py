"""Questions to the archive: C-FIND, QIDO-RS and the command line ask through here.

Theory. The index answers with the attributes that it keeps; what is true of the whole archive rather than of a
row is added here: the level of the answer, where to retrieve it from, and that it is online (PS3.4 C.4.1.1.3.2).
An answer holds the keys that were asked for and the unique keys of its level and above, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vesalius.model.entities import Level, Values
from vesalius.model.query import Match, Query, Root
from vesalius.ports.index import Index

QUERY_RETRIEVE_LEVEL = 0x00080052
RETRIEVE_AE_TITLE = 0x00080054
INSTANCE_AVAILABILITY = 0x00080056
SPECIFIC_CHARACTER_SET = 0x00080005
TIMEZONE_OFFSET = 0x00080201

PATIENT_ID = 0x00100020
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
SOP_INSTANCE_UID = 0x00080018

UNIQUE_KEYS: dict[Level, int] = {
    Level.PATIENT: PATIENT_ID,
    Level.STUDY: STUDY_INSTANCE_UID,
    Level.SERIES: SERIES_INSTANCE_UID,
    Level.IMAGE: SOP_INSTANCE_UID,
}


def unique_keys(root: Root, level: Level) -> tuple[int, ...]:
    """The unique keys from the root of the information model down to `level` (PS3.4 C.6.1.1, C.6.2.1)."""
    top = Level.STUDY if root is Root.STUDY else Level.PATIENT
    return tuple(tag for at, tag in UNIQUE_KEYS.items() if top <= at <= level)


class Search:
    """Answers queries from the index. Stateless; use it from any thread."""

    def __init__(self, index: Index, retrieve_aet: str) -> None:
        self._index = index
        self._retrieve_aet = retrieve_aet

    def find(self, query: Query) -> Iterator[list[Values]]:
        """Answers in pages, the first before the last row is read. Abandon the iterator to cancel.

        Each page is one short read of the index, which blocks: on an event loop take pages in a thread.
        Raises `IndexUnavailable`.
        """
        finish = self._finisher(query)
        for page in self._index.find(query):
            yield [finish(match) for match in page]

    def find_at_once(self, query: Query) -> list[Values] | None:
        """All answers where they are few and quickly found, for an event loop; None: ask `find`.

        Raises `IndexUnavailable`.
        """
        found = self._index.find_at_once(query)
        if found is None:
            return None
        finish = self._finisher(query)
        return [finish(match) for match in found]

    def _finisher(self, query: Query) -> Callable[[Match], Values]:
        """What makes an answer of what the index says."""
        keep = query.returns | frozenset(unique_keys(query.root, query.level))
        level: tuple[str, ...] = (query.level.name,)
        online: tuple[str, ...] = ("ONLINE",)
        retrieve_aet: tuple[str, ...] = (self._retrieve_aet,)

        def finish(match: Match) -> Values:
            answer: Values = {tag: value for tag, value in match.values.items() if tag in keep}
            for tag in keep:
                answer.setdefault(tag, ())
            if not answer.get(TIMEZONE_OFFSET, True):
                del answer[TIMEZONE_OFFSET]  # never of zero length: the times are then nobody's (C.4.1.1.3.2)
            answer[QUERY_RETRIEVE_LEVEL] = level
            answer[RETRIEVE_AE_TITLE] = retrieve_aet
            answer[INSTANCE_AVAILABILITY] = online
            return answer

        return finish
