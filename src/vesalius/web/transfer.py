"""In which form instances go out as DICOM files: container and transfer syntax by Accept (PS3.18 8.7.3, 10.4.1.1.1).

Without a `transfer-syntax` parameter it is Explicit VR Little Endian; `*` is as stored. Between transfer syntaxes that
the client likes the same, the stored one wins. What cannot be decoded here at all (video, syntaxes of tomorrow) goes
out as stored where the client has named none: it is the only form there is.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vesalius.model.entities import StoredInstance
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE
from vesalius.web.errors import Problem
from vesalius.web.negotiation import DICOM, MediaType, choose, parse_media_types, weight_of

MULTIPART_DICOM = 'multipart/related; type="application/dicom"'
ZIP = "application/zip"

Can = Callable[[StoredInstance, str], bool]


class Container(enum.Enum):
    """What the files come in."""

    MULTIPART = MULTIPART_DICOM
    SINGLE = DICOM
    ZIP = ZIP


@dataclass(frozen=True, slots=True)
class Form:
    """Container, and transfer syntaxes with their weights, best first. "" stands for none named, "*" for any."""

    container: Container
    syntaxes: tuple[tuple[float, str], ...]

    def syntax_for(self, instance: StoredInstance, can: Can) -> str | None:
        """The transfer syntax in which an instance goes out; None where it cannot."""
        stored = instance.transfer_syntax
        named = [(weight, uid) for weight, uid in self.syntaxes if uid]
        best: tuple[float, int] | None = None
        chosen = None
        for order, (weight, uid) in enumerate(self.syntaxes):
            wanted = stored if uid == "*" else uid or EXPLICIT_LE
            if not can(instance, wanted):
                continue
            rank = (weight, 1 if wanted == stored else -order)
            if best is None or rank > best:
                best, chosen = rank, wanted
        if chosen is None and not named:
            return stored
        return chosen


def form_of(ranges: Sequence[MediaType], *, single: bool) -> Form:
    """The form that the client likes best. `single`: exactly one instance is asked for.

    Raises `Problem` (406) where it takes none.
    """
    offers = [MULTIPART_DICOM, *([DICOM] if single else []), ZIP]
    container = Container(choose(ranges, offers))
    offer = parse_media_types(container.value)[0]
    found = [
        (wanted.q, wanted.transfer_syntax) for wanted in ranges if wanted.q > 0 and weight_of(offer, (wanted,)) > 0
    ]
    if container is Container.ZIP:
        # A download is what was stored unless something else is asked for.
        found = [(weight, uid or "*") for weight, uid in found]
    for _, uid in found:
        if uid not in ("", "*") and not all(part.isdecimal() for part in uid.split(".")):
            raise Problem(400, "transfer-syntax is neither a UID nor *")
    return Form(container, tuple(sorted(found, key=lambda pair: -pair[0])))
