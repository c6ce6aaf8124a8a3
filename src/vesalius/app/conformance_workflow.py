"""The sections of the conformance statement on what happens around images: commitment, notices of availability."""

from __future__ import annotations

from collections.abc import Iterator

from vesalius.app.settings_clinical import AvailabilitySettings, CommitmentSettings
from vesalius.model.commitments import COMMITTED, REASONS

_WHEN = {
    0x0110: "its bytes in one of its places do not have the digest of their receipt any more, and no other place has "
    "good ones",
    0x0112: "no such instance is kept",
    0x0119: "it is kept, with another SOP class",
    0x0122: "the class is no storage class",
    0x0131: "the Transaction UID is that of a request whose result is not acknowledged yet",
    0x0213: "a configured further place cannot be brought up to it within `commitment.patience`",
}


def commitment() -> Iterator[str]:
    """Storage Commitment Push Model (PS3.4 annex J), both roles."""
    settings = CommitmentSettings()
    yield "### 5.6 Storage commitment"
    yield (
        "As provider. An N-ACTION is answered 0000 when the request is durable: from then on a result is attempted "
        "until "
        "it is acknowledged, across restarts, for "
        f"{settings.expiry / 86400:g} days (`commitment.expiry`). Then every named instance is read again from the "
        "medium "
        "in every place that is configured to hold it (the primary and each of `store.copies`), and its SHA-256 "
        "compared "
        "with that of its receipt; a place that lags is brought up first, a bad copy is made good from a good one "
        "first. "
        "Only what passes in all places is committed. The commitment has no end; a committed instance can be "
        "deleted only "
        "by a person who gives a reason and is told of the commitment."
    )
    yield (
        "The result is an N-EVENT-REPORT on a new association to the peer's configured address, for which this side "
        "proposes by role selection to be the SCP (a peer that accepts the context without a word about roles is "
        "told all "
        "the same); on the association of the request where the peer has the duty `commit-same-association`, is no "
        "configured peer, or cannot be reached, as long as that association is open. Event type 1 or 2 holds the "
        "complete "
        "list, in the order of the request, and Retrieve AE Title. It is sent again "
        f"after {settings.retry_first:g} s, then later and later up to {settings.retry_longest:g} s "
        "(`commitment.retry_first`, `commitment.retry_longest`), until it is answered with success or a warning; the "
        "Transaction UID is active until then."
    )
    rows = ["| Failure reason | Meaning | Given when |", "| --- | --- | --- |"]
    rows += [f"| {code:04X} | {text} | {_WHEN[code]} |" for code, text in REASONS.items() if code != COMMITTED]
    yield "\n".join(rows)
    yield (
        "As user, by `vesalius commit` or for peers with the duty `ask-commitment` after each C-MOVE and `vesalius "
        "send`. "
        "The same request is repeated with the same Transaction UID until it is answered; a refusal that no "
        "repetition "
        f"changes ends it. The association stays open for {settings.linger:g} s (`commitment.linger`) for a result "
        "on it. "
        "A result is taken on any association and in any role, from the AE title that was asked, and answered 0000 "
        "when it "
        "is durable; the same result again is answered 0000 again. An instance that a result does not name is not "
        "committed. Failure reason 0131 in answer to a repetition is no result."
    )


def availability() -> Iterator[str]:
    """Instance Availability Notification (PS3.4 annex R), both roles."""
    settings = AvailabilitySettings()
    yield "### 5.7 Instance availability"
    yield (
        "As user: peers with the duty `notify-availability` are told of a study when nothing of it has arrived for "
        f"{settings.quiet:g} s (`availability.quiet`), of the whole study again when more has arrived, and by "
        "`vesalius notify`. The data set has the attributes of PS3.4 Table R.3.2-1 and no others; every instance is "
        "ONLINE with this archive's AE title; Referenced Performed Procedure Step Sequence is empty."
    )
    yield (
        "As provider: a notification of a peer with the right `notify` is kept and listed by `vesalius "
        "availability`; the "
        "attributes of type 1 must be there."
    )
