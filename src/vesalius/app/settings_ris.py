"""The settings of the radiology workflow: numbers, worklists, and images that fit nowhere."""

from __future__ import annotations

from typing import Annotated, Literal

from vesalius.app.settings_base import Section, setting


class RisSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The radiology workflow."""

    default_issuer: Annotated[
        str,
        setting(
            "Issuer of Patient ID of the house: what an ID without an issuer means.",
            why="Empty: one house, whose images and messages name no issuer either.",
            max_length=64,
        ),
    ] = ""
    accession_pattern: Annotated[
        str,
        setting(
            "Pattern of accession numbers that are given here: `{number}` or `{number:07}` once, `{yyyy}` `{yy}` "
            "`{mm}` `{dd}` where you like, at most 16 characters.",
            why="The year keeps them short and readable; a letter keeps them apart from those of other systems.",
        ),
    ] = "V{yy}{number:07}"
    filler_issuer: Annotated[
        str,
        setting(
            "Who issues the filler order numbers that are given here.", why="The name of this system.", max_length=64
        ),
    ] = "VESALIUS"
    worklist_states: Annotated[
        tuple[Literal["SCHEDULED", "ARRIVED", "READY", "STARTED", "COMPLETED", "DISCONTINUED"], ...],
        setting(
            "States in which a scheduled step is on the worklist.",
            why="A step leaves it when it is started. Add STARTED where a second console must find it again.",
        ),
    ] = ("SCHEDULED", "ARRIVED", "READY")
    worklist_scope: Annotated[
        Literal["station", "department", "all"],
        setting(
            "What a station sees: its own steps, those of its department, or all.",
            why="The department: a patient may be taken to the next scanner, and nobody else's patients are shown.",
        ),
    ] = "department"
    worklist_open: Annotated[
        bool,
        setting(
            "A caller with the right to worklists that is no station sees every step.",
            why="Off: a worklist names patients. Register the station instead.",
        ),
    ] = False
    images_grace: Annotated[
        float,
        setting(
            "How long images may take to arrive after their step was completed, before it is an alert.",
            why="An hour: modalities send in the background, and a slow line is not a lost image.",
            unit="seconds",
            ge=1,
        ),
    ] = 3600.0
    reconcile: Annotated[
        bool,
        setting(
            "Put studies that fit no order, another patient or a cancelled order on the list to reconcile.",
            why="On; as long as no patient is known here, nothing is put on it.",
        ),
    ] = True
    reconcile_days: Annotated[
        int,
        setting(
            "Studies older than this are not put on the list.",
            why="Thirty days: what is older was brought in from elsewhere, and its order is not here.",
            unit="days",
            ge=1,
        ),
    ] = 30
    follow_merges: Annotated[
        bool,
        setting(
            "Images that come under a Patient ID that was merged into another are answered under that one at once.",
            why="On: the merge was somebody's decision, it is kept as a repair, and can be taken back.",
        ),
    ] = True
