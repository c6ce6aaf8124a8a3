"""The settings of what this archive does by itself: jobs, storage commitment, notices of availability."""

from __future__ import annotations

from typing import Annotated

from vesalius.app.settings_base import Section, setting


class JobSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What has been promised and is still to be done."""

    keep: Annotated[
        float,
        setting(
            "How long a job that is done stays in the list; one that failed stays until it is replayed.",
            why="Thirty days: long enough to answer what became of something, short enough to stay small.",
            unit="seconds",
            ge=60,
        ),
    ] = 30 * 86400.0
    at_once: Annotated[
        int,
        setting(
            "Jobs of one kind that one DIMSE process does at a time.",
            why="Four: one slow peer does not hold up the others, and the disks are read by few at once.",
            ge=1,
            le=64,
        ),
    ] = 4


class CommitmentSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Storage commitment (PS3.4 annex J), in both roles."""

    expiry: Annotated[
        float,
        setting(
            "After so long a result that could not be told, or a request that was not answered, is given up.",
            why="A week: a modality may be switched off over the holidays, and keeps its images until it hears.",
            unit="seconds",
            ge=1,
        ),
    ] = 7 * 86400.0
    patience: Annotated[
        float,
        setting(
            "How long to wait for a further place that is away before its instances are answered with failure reason "
            "0213, resource limitation.",
            why="A quarter of an hour: a share that is remounted or a machine that restarts is back by then.",
            unit="seconds",
            ge=0,
        ),
    ] = 900.0
    retry_first: Annotated[
        float,
        setting(
            "Wait before a peer that could not be reached is called a second time; doubled each time.",
            why="Five seconds: most failures are a peer that is busy with one association.",
            unit="seconds",
            ge=0.05,
        ),
    ] = 5.0
    retry_longest: Annotated[
        float,
        setting(
            "Longest wait between two calls.",
            why="Ten minutes: soon enough after a peer is back, rare enough to disturb nobody.",
            unit="seconds",
            ge=0.05,
        ),
    ] = 600.0
    linger: Annotated[
        float,
        setting(
            "How long our own request keeps its association open for a result on the same one.",
            why="Five seconds: a quick peer answers at once, and the others call back.",
            unit="seconds",
            ge=0,
            le=600,
        ),
    ] = 5.0


class AvailabilitySettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Instance Availability Notification (PS3.4 annex R) to peers with the duty `notify-availability`."""

    quiet: Annotated[
        float,
        setting(
            "A study is told to be available when nothing of it has arrived for so long.",
            why="A minute: longer than the pauses within an examination's sending, shorter than anybody waits.",
            unit="seconds",
            ge=0,
        ),
    ] = 60.0


class WorkitemSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Workitems of Unified Procedure Step (PS3.4 annex CC), over DICOM and over HTTP."""

    label: Annotated[
        str,
        setting(
            "Worklist Label of a workitem that is created without one.",
            why="The standard asks for one; a name of your own tells which worklist it is.",
            min_length=1,
            max_length=64,
        ),
    ] = "Worklist"
    keep: Annotated[
        float,
        setting(
            "How long a workitem stays after it was completed or canceled; one with a deletion lock stays until that "
            "is removed.",
            why="Thirty days: whoever tracks it has read its result by then.",
            unit="seconds",
            ge=60,
        ),
    ] = 30 * 86400.0
    retry_first: Annotated[
        float,
        setting(
            "Wait before a subscriber that could not be told is called a second time; doubled each time.",
            why="Five seconds: most failures are a peer that is busy with one association.",
            unit="seconds",
            ge=0.05,
        ),
    ] = 5.0
    retry_longest: Annotated[
        float,
        setting(
            "Longest wait between two calls.",
            why="A minute: what is told is about work that somebody waits for.",
            unit="seconds",
            ge=0.05,
        ),
    ] = 60.0
    expiry: Annotated[
        float,
        setting(
            "After so long an event that could not be told is dropped.",
            why="A day: a subscriber that is back asks for the state instead of reading old news.",
            unit="seconds",
            ge=1,
        ),
    ] = 86400.0
