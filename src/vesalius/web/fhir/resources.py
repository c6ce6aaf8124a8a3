"""What every resource of the FHIR edge has: who answers it, its search parameters, and the tools to answer with.

Theory. One table of `Resource` rows is the routes, the reader of query strings and the CapabilityStatement at once:
what is served and not told of, or told of and not served, cannot be. Reading and searching run in a thread (`Reader` is
made for one request); the workflow is looked at through `Reader.look`, the images through the archive's search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from vesalius.ports.ris import Ris, RisView
from vesalius.ris.rules import RisRules
from vesalius.web.context import WebContext
from vesalius.web.fhir.parameters import Asked, Parameter
from vesalius.web.fhir.problems import FhirProblem, Json

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reader:
    """One request: the archive, the workflow, and the addresses as this client reaches them."""

    ctx: WebContext
    ris: Ris
    base: str  # of this edge: "https://host/fhir"
    dicom_web: str

    @property
    def rules(self) -> RisRules:
        """Of the house."""
        return self.ctx.ris_rules

    def look(self, work: Callable[[RisView], T]) -> T:
        """Read the workflow. Blocks."""
        return self.ris.look(work)


@dataclass(frozen=True, slots=True)
class Found:
    """A page of answers."""

    matches: tuple[Json, ...] = ()
    total: int | None = None  # None: not counted
    cursor: str = ""  # where the next page begins; "": this is the last
    # Resources that may be included, by the name of the include: references of the matches.
    included: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource type as it is served."""

    type: str
    text: str
    parameters: tuple[Parameter, ...]
    includes: tuple[str, ...]  # "ImagingStudy:patient"
    read: Callable[[Reader, str], Json]  # raises `FhirProblem` (404, 410)
    search: Callable[[Reader, Asked], Found]
    # Several at once, for `_include`; those that are not there are left out.
    read_many: Callable[[Reader, Sequence[str]], list[Json]]
    creates: bool = False


def nothing_there(kind: str) -> FhirProblem:
    """404 of a read."""
    return FhirProblem(404, f"there is no {kind} with this id")


def number_of(text: str) -> int:
    """The number of a row as an id; 0 where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 and text[0] != "0" else 0
