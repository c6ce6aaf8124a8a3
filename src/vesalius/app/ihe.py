"""The IHE integration statement: which profiles, as which actors, by which transactions (RAD TF-1 appendix D).

Theory. One table says it, `docs/reference/ihe-integration-statement.md` is written from it, and a test demands that
every transaction names acceptance tests that exist: what is claimed is what is tried over real sockets. What a profile
asks of an actor and is not done stands beside it in `limits`, in plain words.

Order filler, image manager and performed procedure step manager are one product over one database, so what they have to
tell each other (RAD-4, RAD-13, RAD-12, RAD-6, RAD-7, RAD-11 between them) needs no message.
"""

from __future__ import annotations

from dataclasses import dataclass

from vesalius import __version__
from vesalius.app.conformance import table

DATE = "2026-11-24"  # when the claims last changed

FILLER = "Department System Scheduler/Order Filler"
MANAGER = "Image Manager/Image Archive"
STEPS = "Performed Procedure Step Manager"
RESPONDER = "Imaging Document Responder"
DISPLAY = "Image Display"
SUPPLIER = "Patient Demographics Supplier"


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction as it is done. `tests`: file below `tests/acceptance`, and the test in it."""

    number: str
    name: str
    actors: tuple[str, ...]
    role: str  # "receives" | "sends" | "both"
    how: str
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """An integration profile."""

    name: str
    short: str
    domain: str
    actors: tuple[str, ...]
    options: tuple[str, ...]
    transactions: tuple[Transaction, ...]
    limits: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()  # of the profile as a whole, from one end to the other


_IHE = "ihe/test_transactions.py::"
_STATUSES = "mpps/test_statuses.py::"
_ASKED = "commitment/test_asked_by_a_modality.py::"

REGISTRATION = Transaction(
    "RAD-1",
    "Patient Registration",
    (FILLER,),
    "receives",
    "ADT^A01, A04, A05, A11",
    (_IHE + "test_rad_1_a_patient_is_registered_and_admitted",),
)
UPDATE = Transaction(
    "RAD-12",
    "Patient Update",
    (FILLER, MANAGER),
    "receives",
    "ADT^A08, A31, A40, A47; merges from named senders alone; worklist, orders and images follow",
    (
        _IHE + "test_rad_12_a_patient_is_updated_merged_and_gets_another_number",
        "ris/test_reconciliation.py::test_a_merge_before_during_and_after_the_images",
    ),
)
STEP_BEGINS = Transaction(
    "RAD-6",
    "Modality Procedure Step In Progress",
    (STEPS, FILLER, MANAGER),
    "receives",
    "MPPS N-CREATE; RAD-20 of an evidence creator alike; forwarded to further managers by the duty `forward-mpps`",
    (
        _STATUSES + "test_a_step_goes_from_in_progress_to_completed_and_is_read_back",
        "mpps/test_forwarding.py::test_a_step_is_told_from_beginning_to_end_with_everything_that_was_sent",
    ),
)
STEP_ENDS = Transaction(
    "RAD-7",
    "Modality Procedure Step Completed/Discontinued",
    (STEPS, FILLER, MANAGER),
    "receives",
    "MPPS N-SET; RAD-21 alike; exception management: a discontinuation with its reason",
    (
        _STATUSES + "test_a_step_goes_from_in_progress_to_completed_and_is_read_back",
        _STATUSES + "test_d27_a_final_state_is_final_and_says_so_in_the_words_of_the_clause",
    ),
)
STORED = Transaction(
    "RAD-8",
    "Modality Images Stored",
    (MANAGER,),
    "receives",
    "C-STORE of every storage class; RAD-9, RAD-18, RAD-19, RAD-29, RAD-43 are the same for other objects",
    ("store/test_corpus.py::test_every_real_file_is_taken_or_refused_with_the_right_code",),
)
PROCEDURE_UPDATE = Transaction(
    "RAD-13", "Procedure Update", (MANAGER,), "receives", "OMI^O23 or ORM^O01 with ORC-1 XO, CA, DC",
    (_IHE + "test_rad_4_and_rad_13_a_scheduled_procedure_is_taken_over_and_updated",),
)  # fmt: skip

SCHEDULED = Profile(
    "Scheduled Workflow.b",
    "SWF.b",
    "Radiology",
    (FILLER, MANAGER, STEPS),
    (f"{MANAGER}: Availability of PPS-Referenced Instances", f"{FILLER}: HL7 v2.5.1"),
    (
        REGISTRATION,
        Transaction(
            "RAD-2", "Placer Order Management", (FILLER,), "receives", "OMG^O19 or ORM^O01, new, change, cancel, hold",
            (_IHE + "test_rad_2_a_placer_orders_and_cancels",),
        ),
        Transaction(
            "RAD-3", "Filler Order Management", (FILLER,), "sends", "ORM^O01 or OMI^O23, ORC-1 SC: state of an order",
            (
                _IHE + "test_rad_3_the_placer_is_told_of_the_state_of_its_order_and_rad_48_of_the_appointment",
                "hl7/test_sending.py::test_orders_charges_and_images_are_told_in_order_and_once",
            ),
        ),
        Transaction(
            "RAD-4", "Procedure Scheduled", (MANAGER,), "receives",
            "OMI^O23 of another order filler: accession number, study UID, station and time as it says",
            (_IHE + "test_rad_4_and_rad_13_a_scheduled_procedure_is_taken_over_and_updated",),
        ),
        Transaction(
            "RAD-5", "Query Modality Worklist", (FILLER,), "receives", "C-FIND of the Modality Worklist",
            (
                "worklist/test_answers.py::test_an_answer_is_one_step_with_what_was_asked_for_and_nothing_else",
                "mpps/test_a_day_at_the_scanner.py::test_findscu_and_the_command_line_see_what_is_planned",
            ),
        ),
        STEP_BEGINS,
        STEP_ENDS,
        STORED,
        Transaction(
            "RAD-10", "Storage Commitment", (MANAGER,), "receives",
            "Storage Commitment Push Model: every instance is read again before it is committed",
            (_ASKED + "test_all_instances_are_committed_on_a_new_association_with_role_selection",),
        ),
        Transaction(
            "RAD-11", "Image Availability Query", (MANAGER,), "receives", "C-FIND, study root and patient root",
            ("find/test_answers.py::test_every_answer_says_its_level_where_it_is_and_that_it_is_online",),
        ),
        UPDATE,
        PROCEDURE_UPDATE,
        Transaction(
            "RAD-14", "Query Images", (MANAGER,), "receives", "C-FIND; RAD-15, RAD-30, RAD-44 are the same",
            ("find/test_oracle.py::test_any_question_over_the_wire_is_answered_as_the_oracle_answers_it",),
        ),
        Transaction(
            "RAD-16", "Retrieve Images", (MANAGER,), "receives", "C-MOVE, C-GET; RAD-17, RAD-31, RAD-45 are the same",
            (
                "store/test_corpus.py::test_every_data_set_comes_by_c_move_as_it_was_sent",
                "store/test_corpus.py::test_every_data_set_comes_back_by_c_get_as_it_was_sent",
            ),
        ),
        Transaction(
            "RAD-48", "Appointment Notification", (FILLER,), "sends", "SIU^S12, S13, S15, S26",
            (_IHE + "test_rad_3_the_placer_is_told_of_the_state_of_its_order_and_rad_48_of_the_appointment",),
        ),
        Transaction(
            "RAD-49", "Instance Availability Notification", (MANAGER, FILLER), "both",
            "Instance Availability Notification N-CREATE, to peers with the duty `notify-availability`, and from peers",
            (
                "commitment/test_asking_others.py::test_a_study_that_has_gone_quiet_is_told_to_who_wants_it_once",
                "commitment/test_asking_others.py::test_a_notification_of_a_peer_is_kept_and_listed",
            ),
        ),
    ),
    (
        "Order filler, image manager and step manager are one product and claimed together: RAD-4 and RAD-13 are "
        "not sent to an image manager of another maker.",
        "RAD-3 tells the state of orders that a placer made; an order that is entered here is not told to a placer as "
        "a new one (ORC-1 SN).",
        "RAD-42 (Performed Work Status Update) is neither sent nor taken; workitems are Unified Procedure Steps here.",
    ),
    (
        "scheduled_workflow/test_workflow.py::test_from_an_order_by_hl7_to_the_guarantee",
        "scheduled_workflow/test_workflow.py::test_an_unscheduled_case_is_reconciled_with_the_order_that_comes_later",
        "scheduled_workflow/test_workflow.py::test_an_order_is_cancelled_and_made_anew_for_another_station",
        "scheduled_workflow/test_downtime.py::test_an_hl7_partner_is_down_and_is_told_everything_once_and_in_order",
    ),
)  # fmt: skip

RECONCILED = Profile(
    "Patient Information Reconciliation",
    "PIR",
    "Radiology",
    (FILLER, MANAGER, STEPS),
    (),
    (
        UPDATE,
        PROCEDURE_UPDATE,
        STEP_BEGINS,
        STEP_ENDS,
        Transaction(
            "RAD-8", "Modality Images Stored", (MANAGER,), "receives",
            "images of an unidentified patient, before, during and after the merge; what was received stays; "
            "every way out says the name of today",
            (
                "ris/test_reconciliation.py::test_an_unidentified_patient_is_named_later_and_the_images_say_so",
                "ris/test_reconciliation.py::test_images_for_a_cancelled_order_and_for_another_patient_are_on_the_list",
                "ris/test_reconciliation.py::test_an_unmerge_gives_the_images_back",
            ),
        ),
    ),
    (),
    (
        "scheduled_workflow/test_reconciliation.py::test_an_unidentified_emergency_patient_is_named_later",
        "scheduled_workflow/test_reconciliation.py::test_a_temporary_record_is_merged",
    ),
)  # fmt: skip

WEB_ACCESS = Profile(
    "Web-based Image Access",
    "WIA",
    "Radiology",
    (RESPONDER,),
    (),
    (
        Transaction(
            "RAD-107", "WADO-RS Retrieve", (RESPONDER,), "receives",
            "studies, series, instances, metadata, bulk data, frames, rendered",
            (
                "dicomweb/test_wado.py::test_every_real_file_comes_back_byte_for_byte_and_with_an_empty_preamble",
                "dicomweb/test_wado.py::test_dicomweb_client_does_every_retrieve_transaction",
            ),
        ),
        Transaction(
            "RAD-129", "QIDO-RS Query", (RESPONDER,), "receives", "studies, series, instances",
            ("dicomweb/test_clients.py::test_it_searches_at_every_level",),
        ),
    ),
)  # fmt: skip

WEB_CAPTURE = Profile(
    "Web-based Image Capture",
    "WIC",
    "Radiology",
    (MANAGER,),
    (),
    (
        Transaction(
            "RAD-108", "Store Instances Over the Web", (MANAGER,), "receives",
            "STOW-RS, DICOM files and metadata with bulk data in JSON and XML",
            ("dicomweb/test_stow_corpus.py::test_every_real_file_is_stored_or_fails_with_the_reason_of_c_store",),
        ),
    ),
)  # fmt: skip

PROFILES: tuple[Profile, ...] = (SCHEDULED, RECONCILED, WEB_ACCESS, WEB_CAPTURE)

# Done, without a claim to the profile that they are of.
FURTHER: tuple[Transaction, ...] = (
    Transaction(
        "RAD-35", "Charge Posted", (FILLER,), "sends", "DFT^P03 when a performed step is completed (profile CHG)",
        ("hl7/test_sending.py::test_orders_charges_and_images_are_told_in_order_and_once",),
    ),
    Transaction(
        "ITI-21", "Patient Demographics Query", (SUPPLIER,), "receives", "QBP^Q22, answered RSP^K22 (profile PDQ)",
        (_IHE + "test_iti_21_a_question_for_candidates_is_answered",),
    ),
)  # fmt: skip


def page() -> str:
    """`docs/reference/ihe-integration-statement.md`."""
    parts = [
        "# IHE integration statement",
        "<!-- Generated by tools/generate_docs.py: do not edit. -->",
        table(
            ("Vendor", "Product", "Version", "Date"),
            [("The Vesalius project", "Vesalius", __version__, DATE)],
        ),
        "This product implements the profiles below as the actors and with the options named, by the transactions that "
        "follow. It is what the project states of itself, tried by the acceptance tests named beside each transaction; "
        "no Connectathon result is claimed.",
        table(
            ("Integration profile", "Actors", "Options"),
            [
                (f"{one.name} ({one.short}), {one.domain}", "; ".join(one.actors), "; ".join(one.options) or "none")
                for one in PROFILES
            ],
        ),
    ]
    for profile in PROFILES:
        parts.append(f"## {profile.name} ({profile.short})")
        parts.append(_transactions(profile.transactions))
        if profile.tests:
            parts.append("From one end to the other: " + "; ".join(f"`{test}`" for test in profile.tests) + ".")
        if profile.limits:
            parts.append("What is not done:")
            parts.append("\n".join(f"- {text}" for text in profile.limits))
    parts.append("## Further transactions")
    parts.append("Served without a claim to the whole profile.")
    parts.append(_transactions(FURTHER))
    parts.append("## Where it says more")
    parts.append(
        "- [DICOM conformance statement](conformance.md), [DICOMweb](dicomweb.md)\n"
        "- [HL7 v2: messages, fields, errors](hl7.md), [FHIR R4](fhir.md)\n"
        "- [States of orders and steps](workflow-states.md)\n"
        "- The IHE Radiology technical framework: https://www.ihe.net/resources/technical_frameworks/#radiology"
    )
    return "\n\n".join(parts) + "\n"


def _transactions(found: tuple[Transaction, ...]) -> str:
    return table(
        ("Transaction", "Actors", "This product", "How", "Acceptance tests"),
        [
            (
                f"{one.name} [{one.number}]",
                "; ".join(one.actors),
                {"both": "sends and receives"}.get(one.role, one.role),
                one.how,
                "; ".join(f"`{test}`" for test in one.tests),
            )
            for one in found
        ],
    )
