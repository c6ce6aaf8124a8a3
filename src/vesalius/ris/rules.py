"""The rules of one house: issuers, numbers, who sees which worklist, what happens with images that fit nowhere."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass

from vesalius.model.orders import Identifier
from vesalius.model.steps import StepState


class Scope(enum.StrEnum):
    """Whose items a station sees."""

    STATION = "station"  # its own
    DEPARTMENT = "department"  # those of every station of its department, and of departments that it `sees`
    ALL = "all"


@dataclass(frozen=True, slots=True)
class RisRules:
    """Settings as the verbs need them (`app/settings_ris.py` says what each means)."""

    default_issuer: str = ""
    accession: str = "V{yy}{number:07}"
    filler_issuer: str = "VESALIUS"
    system: str = "VESALIUS"  # Modifying System (0400,0563)
    worklist_states: tuple[StepState, ...] = (StepState.SCHEDULED, StepState.ARRIVED, StepState.READY)
    worklist_scope: Scope = Scope.DEPARTMENT
    worklist_open: bool = False  # callers that are no station see everything
    images_grace: float = 3600.0  # seconds
    reconcile: bool = True
    reconcile_days: int = 30
    follow_merges: bool = True

    def issued(self, identifier: Identifier) -> Identifier:
        """The identifier with its issuer, that of the house where it has none."""
        identifier = dataclasses.replace(identifier, value=identifier.value.strip(), issuer=identifier.issuer.strip())
        return identifier if identifier.issuer else dataclasses.replace(identifier, issuer=self.default_issuer)

    def issuers(self, identifier: Identifier) -> tuple[str, ...]:
        """How images may write the issuer: not at all, where it is that of the house."""
        return (identifier.issuer, "") if identifier.issuer == self.default_issuer else (identifier.issuer,)
