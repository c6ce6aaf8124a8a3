"""The sections of the conformance statement on the modality worklist and on performed procedure steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vesalius.app.settings_clinical import CommitmentSettings
from vesalius.app.settings_ris import RisSettings
from vesalius.dimse.n_mpps import NO_LONGER_UPDATED, NO_LONGER_UPDATED_ID
from vesalius.model import performed, worklist
from vesalius.model.performed import FIXED, PERFORMED_SERIES, SCHEDULED_STEP_ATTRIBUTES, TYPE_1, TYPE_2
from vesalius.standard.dictionary import describe


def modality_worklist() -> Iterator[str]:
    """Modality Worklist Information Model (PS3.4 annex K), both roles."""
    settings = RisSettings()
    yield "### 5.9 Modality worklist"
    yield (
        "As provider, for peers with the right `worklist`. An answer is one scheduled procedure step. A calling AE "
        "title that is a station (`vesalius ris stations`) sees its own steps and those of its department and of "
        f"departments that it was given (`ris.worklist_scope`, default {settings.worklist_scope}); any other sees "
        "nothing unless `ris.worklist_open`. No key of a question widens that, and the called AE title means "
        f"nothing. On the list are steps that are {_words(settings.worklist_states)} (`ris.worklist_states`): a "
        "step leaves it when it is begun, cancelled or done."
    )
    yield (
        "Every key below is matched and returned, optional ones too: single value, wild card, range, list of UIDs, "
        "sequence, universal; an empty value where that was negotiated, names by sound where fuzzy matching was. "
        "Keys in the items of a sequence match on one item. Where date and time of the start are both ranges they "
        "are one span (Table K.6-1). Names match without regard to case and accents and in any of their groups. An "
        "empty item, or an empty sequence, asks for the whole item. A key that is not below is told by FF01. "
        "Answers come in the order of their start, in the repertoire of the question where it holds them, else in "
        "UTF-8."
    )
    rows = ["| Sequence | Keys |", "| --- | --- |"]
    for sequence, keys in worklist.KEYS.items():
        where = "" if sequence is None else describe(sequence)
        rows.append(f"| {where} | {_listed(sorted(keys))} |")
    yield "\n".join(rows)
    yield "As user: `vesalius worklist --peer NAME`, and the simulated modality."


def performed_steps() -> Iterator[str]:
    """Modality Performed Procedure Step (PS3.4 annex F), both roles."""
    settings = CommitmentSettings()
    yield "### 5.10 Modality performed procedure step"
    yield (
        "As provider of N-CREATE, N-SET and, by the Retrieve class, N-GET, for peers with the right `worklist`; "
        "the Notification class is not offered. An answer leaves when the change is durable. A step is tied to the "
        "scheduled steps that its Scheduled Step Attributes Sequence names by ID together with study, accession "
        "number or requested procedure, else to the order, else to the patient (unscheduled); a further one for a "
        "step that is done is the append case. Scheduled steps and the order follow its state. Without a SOP "
        "Instance UID one is made."
    )
    rows = ["| Table F.7.2-1 | Attributes |", "| --- | --- |"]
    for sequence in (None, SCHEDULED_STEP_ATTRIBUTES, PERFORMED_SERIES):
        where = "" if sequence is None else f" in {describe(sequence)}"
        rows.append(f"| type 1{where}: 0120 where missing, 0121 where empty | {_listed(TYPE_1[sequence])} |")
        rows.append(f"| type 2{where}: taken as empty where missing | {_listed(TYPE_2[sequence])} |")
    ends = (performed.END_DATE, performed.END_TIME, PERFORMED_SERIES)
    rows.append(f"| needed for COMPLETED and DISCONTINUED, by then | {_listed(ends)} |")
    rows.append(f"| not changed by N-SET: stay as they are, 0107 with their list | {_listed(sorted(FIXED))} |")
    yield "\n".join(rows)
    yield (
        "Every other attribute is kept and answered as sent; a sequence in an N-SET replaces the one before. "
        "Deviation: an attribute that the N-CREATE did not mention may be set. A step that is COMPLETED or "
        f'DISCONTINUED never changes again: 0110 with Error Comment "{NO_LONGER_UPDATED}" and Error ID '
        f"{NO_LONGER_UPDATED_ID:04X}. A step is changed by the AE title that created it or is its Performed Station "
        "AE Title, else 0124; it is read by these and by stations that see its worklist, for others it is 0112."
    )
    yield (
        "The instances that a final step names are waited for. Those that have not arrived "
        f"{RisSettings().images_grace:g} s (`ris.images_grace`) after its end are an alert: event `images-missing`, "
        "metric `vesalius_performed_steps`, a warning in the log, and `vesalius ris performed --images missing`."
    )
    yield (
        "As user: peers with the duty `forward-mpps` are told of every step that they did not create themselves, "
        "with the SOP Instance UID and Performed Station AE Title it has: N-CREATE (IN PROGRESS, attributes of "
        "type 2 added empty), then N-SET with everything that may be set, whenever it has changed. One message is "
        "under way for a step and peer at a time; changes meanwhile are one N-SET. What is not answered, or "
        f"refused for a while, is sent again after {settings.retry_first:g} s, then later and later up to "
        f"{settings.retry_longest:g} s, for {settings.expiry / 86400:g} days, across restarts "
        "(`commitment.retry_first`, `.retry_longest`, `.expiry`). 0111 for an N-CREATE, and 0110 for the "
        "repetition of a final N-SET whose answer was lost, mean that it is known; 0112 for an N-SET begins anew "
        "with N-CREATE; 0105, 0106, 0117 to 0124 and 0211 end it (`vesalius jobs`)."
    )


def _listed(tags: Iterable[int]) -> str:
    return ", ".join(describe(tag) for tag in tags)


def _words(states: Iterable[str]) -> str:
    return ", ".join(str(state) for state in states)
