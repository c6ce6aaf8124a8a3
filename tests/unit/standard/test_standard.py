"""The tables of the standard: complete, current, and quick to ask."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom._dicom_dict import DicomDictionary
from pydicom._uid_dict import UID_dictionary

from vesalius.standard import dictionary, sop_classes, statuses, transfer_syntaxes
from vesalius.standard.edition import EDITION, table

REPOSITORY = Path(__file__).resolve().parents[3]


def test_the_generated_tables_are_current() -> None:
    run = subprocess.run(
        [sys.executable, "tools/generate_standard.py", "--check"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def test_the_tables_are_of_the_pinned_edition() -> None:
    assert table("dictionary")["edition"] == EDITION == table("uids")["edition"]


def test_every_tag_has_the_vr_keyword_and_multiplicity_of_the_standard() -> None:
    for tag, (vr, vm, name, retired, keyword) in DicomDictionary.items():
        assert dictionary.VR_OF[tag] == vr
        assert dictionary.keyword_of(tag) == keyword
        assert dictionary.vm_of(tag) == vm
        assert dictionary.name_of(tag) == name
        assert dictionary.is_retired(tag) is bool(retired)


def test_a_keyword_leads_back_to_its_tag() -> None:
    assert dictionary.tag_of("PatientID") == 0x00100020
    assert dictionary.tag_of("NoSuchKeyword") is None
    assert dictionary.describe(0x00100020) == "(0010,0020) PatientID"
    assert dictionary.describe(0x00091001) == "(0009,1001)"


@pytest.mark.parametrize(
    ("tag", "vr"),
    [
        (0x60000010, "US"),  # overlay rows
        (0x601E0010, "US"),
        (0x60003000, "OB or OW"),
        (0x50200005, "US"),  # curve dimensions
        (0x00200000, "UL"),  # group length
        (0x00090010, "LO"),  # private creator
        (0x00091001, None),
        (0x0008FFFE, None),
    ],
)
def test_repeating_groups_group_lengths_and_private_creators_have_their_vr(tag: int, vr: str | None) -> None:
    assert dictionary.vr_of(tag) == vr


def test_several_allowed_vrs_are_told_apart() -> None:
    assert dictionary.vrs_of(0x00280106) == ("US", "SS")
    assert dictionary.vrs_of(0x00100020) == ("LO",)
    assert dictionary.vrs_of(0x00091001) == ()


def test_every_storage_class_of_the_standard_is_stored() -> None:
    named = {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and uid.startswith("1.2.840.10008.5.1.4.1.1.")
    }
    non_patient = {uid for uid, sop in sop_classes.SOP_CLASSES.items() if sop.kind.value.startswith("non-patient")}
    for uid in named - non_patient:
        assert sop_classes.is_storage(uid), uid
        assert uid in sop_classes.STORAGE
    assert len(sop_classes.STORAGE) > 200


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.5.1.4.1.1.2",
        "1.2.840.10008.5.1.1.29",  # hardcopy, retired
        "1.2.840.10008.5.1.4.34.7",  # RT Beams Delivery Instruction
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
        "1.2.840.10008.5.1.4.1.1.999.1",  # of an edition yet to come
        "1.3.12.2.1107.5.9.1",  # Siemens CSA
        "1.3.46.670589.11.0.0.12.1",
        "1.2.840.113619.4.30",
        "1.2.276.0.7230010.3.1.0.1",  # DCMTK
        "2.25.12345678901234567890",  # anybody's
    ],
)
def test_storage_classes_new_old_and_private_are_taken(uid: str) -> None:
    assert sop_classes.is_storage(uid)


@pytest.mark.parametrize(
    "uid",
    [
        sop_classes.VERIFICATION,
        sop_classes.PATIENT_ROOT_FIND,
        sop_classes.STUDY_ROOT_MOVE,
        sop_classes.MEDIA_STORAGE_DIRECTORY,
        sop_classes.STORAGE_COMMITMENT,
        sop_classes.MODALITY_WORKLIST_FIND,
        "1.2.840.10008.5.1.4.1.1.201.2",  # Inventory - FIND
        "1.2.840.10008.5.1.4.39.1",  # Color Palette: no patient, no study
        "1.2.840.10008.5.1.4.9.9",  # standard's root, not the storage arc
        "",
        "1",
        "1.2.",
        "1.2.03",
        "1..2",
        "1.2.a",
        "1.2.3/../../etc",
        "1." + "2" * 64,
    ],
)
def test_what_is_not_storage_is_not_taken_for_it(uid: str) -> None:
    assert not sop_classes.is_storage(uid)


def test_transfer_syntaxes_are_described_as_pydicom_describes_them() -> None:
    for uid, known in transfer_syntaxes.TRANSFER_SYNTAXES.items():
        theirs = pydicom.uid.UID(uid)
        if not theirs.is_transfer_syntax or known.private:
            continue
        if uid == transfer_syntaxes.PAPYRUS_3 or "JPIP" in known.name:
            continue
        assert known.explicit is not theirs.is_implicit_VR, uid
        assert known.little_endian is theirs.is_little_endian, uid
        assert known.deflated is theirs.is_deflated, uid
        assert known.encapsulated is theirs.is_encapsulated, uid


def test_an_unknown_transfer_syntax_is_explicit_little_endian_and_encapsulated() -> None:
    unknown = transfer_syntaxes.lookup("1.2.3.4")
    assert (unknown.explicit, unknown.little_endian, unknown.deflated, unknown.encapsulated) == (
        True,
        True,
        False,
        True,
    )
    assert unknown.private


def test_carriers_of_other_things_than_data_sets_are_not_offered() -> None:
    assert "1.2.840.10008.1.2.6.2" not in transfer_syntaxes.TRANSFER_SYNTAXES
    assert "1.2.840.10008.1.2.7.1" not in transfer_syntaxes.TRANSFER_SYNTAXES


def test_statuses_have_the_kinds_of_the_standard() -> None:
    kinds = {
        0x0000: "success",
        0xFF00: "pending",
        0xFF01: "pending",
        0xFE00: "cancel",
        0xB000: "warning",
        0xB007: "warning",
        0x0107: "warning",
        0xA700: "failure",
        0xA9FF: "failure",
        0xC001: "failure",
        0x0122: "failure",
    }
    for status, kind in kinds.items():
        assert statuses.kind_of(status).value == kind
    assert statuses.describe(0xA701).startswith("A701 unable")
    assert statuses.describe(0xA7FF) == "A7FF out of resources"
    assert statuses.describe(0xC123) == "C123 cannot understand"
    assert statuses.describe(0xDEAD) == "DEAD failure"
