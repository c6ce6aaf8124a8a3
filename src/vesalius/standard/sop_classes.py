"""SOP classes (PS3.6 table A-1) and which of them an archive stores.

An archive meets classes that are newer than its tables and classes that only one vendor knows. Both must be
kept (PS3.4 B.1: storage does not depend on understanding), so `is_storage` combines the tables with two rules:
everything under the storage arc 1.2.840.10008.5.1.4.1.1 that is not known to be something else, and every
valid UID outside the standard's own root. Classes of the Non-Patient Object Storage service (PS3.4 annex GG)
are another service: their instances belong to no study.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from vesalius.standard.edition import table

STANDARD_ROOT = "1.2.840.10008."
STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
STORAGE_COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"  # well-known (PS3.4 J.3.5)
INSTANCE_AVAILABILITY = "1.2.840.10008.5.1.4.33"
PERFORMED_STEP = "1.2.840.10008.3.1.2.3.3"
PERFORMED_STEP_RETRIEVE = "1.2.840.10008.3.1.2.3.4"
UPS_PUSH = "1.2.840.10008.5.1.4.34.6.1"
UPS_WATCH = "1.2.840.10008.5.1.4.34.6.2"
UPS_PULL = "1.2.840.10008.5.1.4.34.6.3"
UPS_EVENT = "1.2.840.10008.5.1.4.34.6.4"
UPS_QUERY = "1.2.840.10008.5.1.4.34.6.5"
# All of them act on instances of the first (PS3.4 CC.3.1).
UPS_CLASSES = (UPS_PUSH, UPS_WATCH, UPS_PULL, UPS_EVENT, UPS_QUERY)
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_STUDY_ONLY_FIND = "1.2.840.10008.5.1.4.1.2.3.1"
PATIENT_STUDY_ONLY_MOVE = "1.2.840.10008.5.1.4.1.2.3.2"
PATIENT_STUDY_ONLY_GET = "1.2.840.10008.5.1.4.1.2.3.3"
COMPOSITE_INSTANCE_MOVE = "1.2.840.10008.5.1.4.1.2.4.2"
COMPOSITE_INSTANCE_GET = "1.2.840.10008.5.1.4.1.2.4.3"
MODALITY_WORKLIST_FIND = "1.2.840.10008.5.1.4.31"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE_IMAGE = "1.2.840.10008.5.1.4.1.1.7"

# The Service Class UID of Storage, used by SOP Class Common Extended Negotiation (PS3.4 B.3.1.3).
STORAGE_SERVICE_CLASS = "1.2.840.10008.4.2"


class Kind(enum.Enum):
    """The service that a SOP class belongs to, as far as an archive needs to know."""

    STORAGE = "storage"
    NON_PATIENT_STORAGE = "non-patient object storage"
    QUERY_RETRIEVE = "query/retrieve"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class SopClass:
    """One SOP class."""

    uid: str
    name: str
    kind: Kind
    retired: bool = False
    private: bool = False


# PS3.4 GG.3: instances of these carry no patient and no study.
_NON_PATIENT = frozenset(
    {
        "1.2.840.10008.5.1.4.38.1",  # Hanging Protocol
        "1.2.840.10008.5.1.4.39.1",  # Color Palette
        "1.2.840.10008.5.1.4.43.1",  # Generic Implant Template
        "1.2.840.10008.5.1.4.44.1",  # Implant Assembly Template
        "1.2.840.10008.5.1.4.45.1",  # Implant Template Group
        "1.2.840.10008.5.1.4.1.1.200.1",  # CT Defined Procedure Protocol
        "1.2.840.10008.5.1.4.1.1.200.3",  # Protocol Approval
        "1.2.840.10008.5.1.4.1.1.200.7",  # XA Defined Procedure Protocol
        "1.2.840.10008.5.1.4.1.1.201.1",  # Inventory
    }
)
# Under the storage arc, or named like storage, and yet not stored by C-STORE.
_NOT_STORAGE = frozenset(
    {
        MEDIA_STORAGE_DIRECTORY,
        STORAGE_COMMITMENT,
        "1.2.840.10008.1.20.2",
        "1.2.840.10008.5.1.4.1.1.200.4",
        "1.2.840.10008.5.1.4.1.1.200.5",
        "1.2.840.10008.5.1.4.1.1.200.6",
        "1.2.840.10008.5.1.4.1.1.201.1.1",
        "1.2.840.10008.5.1.4.1.1.201.2",
        "1.2.840.10008.5.1.4.1.1.201.3",
        "1.2.840.10008.5.1.4.1.1.201.4",
        "1.2.840.10008.5.1.4.1.1.201.5",
        "1.2.840.10008.5.1.4.1.1.201.6",
    }
)
# Retired classes that PS3.6 prints without a name.
_UNNAMED = {
    "1.2.840.10008.5.1.4.1.1.12.77": "Retired storage class (unnamed in PS3.6)",
    "1.2.840.10008.5.1.4.1.1.40": "Retired storage class (unnamed in PS3.6)",
}
# What vendors publish in their conformance statements.
_PRIVATE = {
    "1.2.276.0.7230010.3.1.0.1": "DCMTK test and query file",
    "1.2.276.0.48.5.1.4.1.1.7": "TomTec Annotation Storage",
    "1.2.124.113532.3500.7": "Agfa Basic Attribute Presentation State Storage",
    "1.2.392.200036.9116.7.8.1.1.1": "Toshiba Private Data Storage",
    "1.2.392.200036.9125.1.1.2": "Fuji CR Image Storage",
    "1.2.528.1.1001.5.1.1.1": "GE Collage Storage",
    "1.2.826.0.1.3680043.293.1.0.1": "ERAD Practice Builder Report Text Storage",
    "1.2.826.0.1.3680043.293.1.0.2": "ERAD Practice Builder Report Dictation Storage",
    "1.2.840.113543.6.6.1.3.10001": "Philips HP Live 3D 01 Storage",
    "1.2.840.113543.6.6.1.3.10002": "Philips HP Live 3D 02 Storage",
    "1.2.840.113619.4.2": "GE DICOM MR Image Info Object",
    "1.2.840.113619.4.3": "GE DICOM CT Image Info Object",
    "1.2.840.113619.4.4": "GE DICOM Display Image Info Object",
    "1.2.840.113619.4.5.249": "GE RT Plan Storage",
    "1.2.840.113619.4.26": "GE 3D Model Storage",
    "1.2.840.113619.4.27": "GE eNTEGRA Protocol or NM Genie Storage",
    "1.2.840.113619.4.30": "GE PET Raw Data Storage",
    "1.3.12.2.1107.5.9.1": "Siemens CSA Non-Image Storage",
    "1.3.12.2.1107.5.99.3.10": "Siemens CT MR Volume Storage",
    "1.3.12.2.1107.5.99.3.11": "Siemens AX Frame Sets Storage",
    "1.3.46.670589.2.3.1.1": "Philips Specialised XA Storage",
    "1.3.46.670589.2.4.1.1": "Philips CX Image Storage",
    "1.3.46.670589.2.5.1.1": "Philips 3D Presentation State Storage",
    "1.3.46.670589.2.8.1.1": "Philips VRML Storage",
    "1.3.46.670589.2.11.1.1": "Philips Volume Set Storage",
    "1.3.46.670589.5.0.1": "Philips Volume Storage (retired)",
    "1.3.46.670589.5.0.1.1": "Philips Volume Storage",
    "1.3.46.670589.5.0.2": "Philips 3D Object Storage (retired)",
    "1.3.46.670589.5.0.2.1": "Philips 3D Object Storage",
    "1.3.46.670589.5.0.3": "Philips Surface Storage (retired)",
    "1.3.46.670589.5.0.3.1": "Philips Surface Storage",
    "1.3.46.670589.5.0.4": "Philips Composite Object Storage",
    "1.3.46.670589.5.0.7": "Philips MR Cardio Profile Storage",
    "1.3.46.670589.5.0.8": "Philips MR Cardio Storage (retired)",
    "1.3.46.670589.5.0.8.1": "Philips MR Cardio Storage",
    "1.3.46.670589.5.0.9": "Philips CT Synthetic Image Storage",
    "1.3.46.670589.5.0.10": "Philips MR Synthetic Image Storage",
    "1.3.46.670589.5.0.11": "Philips MR Cardio Analysis Storage (retired)",
    "1.3.46.670589.5.0.11.1": "Philips MR Cardio Analysis Storage",
    "1.3.46.670589.5.0.12": "Philips CX Synthetic Image Storage",
    "1.3.46.670589.5.0.13": "Philips Perfusion Storage",
    "1.3.46.670589.5.0.14": "Philips Perfusion Image Storage",
    "1.3.46.670589.7.8.1618510091": "Philips X-Ray MF Storage",
    "1.3.46.670589.7.8.16185100129": "Philips Live Run Storage",
    "1.3.46.670589.7.8.16185100130": "Philips Reconstruction Storage",
    "1.3.46.670589.11.0.0.12.1": "Philips MR Spectrum Storage",
    "1.3.46.670589.11.0.0.12.2": "Philips MR Series Data Storage",
    "1.3.46.670589.11.0.0.12.3": "Philips MR Color Image Storage",
    "1.3.46.670589.11.0.0.12.4": "Philips MR Examcard Storage",
    "1.3.6.1.4.1.5962.301.1": "PixelMed Legacy Converted Enhanced CT Image Storage",
    "1.3.6.1.4.1.5962.301.2": "PixelMed Legacy Converted Enhanced MR Image Storage",
    "1.3.6.1.4.1.5962.301.3": "PixelMed Legacy Converted Enhanced PET Image Storage",
    "1.3.6.1.4.1.5962.301.9": "PixelMed Floating Point Image Storage",
    "1.3.6.1.4.1.16978.3.1": "Medical Insight 3D Softcopy Presentation State Storage",
    "2.16.840.1.113709.1.5.1": "GEPACS private IMS Info Storage",
}


def _kind(uid: str, name: str) -> Kind:
    if uid in _NON_PATIENT:
        return Kind.NON_PATIENT_STORAGE
    if uid in _NOT_STORAGE:
        return Kind.OTHER
    if uid.startswith(STORAGE_ROOT) or "Storage" in name:
        return Kind.STORAGE
    return Kind.QUERY_RETRIEVE if uid.startswith("1.2.840.10008.5.1.4.1.2.") else Kind.OTHER


def _build() -> dict[str, SopClass]:
    known = {}
    for uid, (name, kind, retired) in table("uids")["uids"].items():
        if kind in ("SOP Class", "Meta SOP Class"):
            named = name or _UNNAMED.get(uid, uid)
            known[uid] = SopClass(uid, named, _kind(uid, named), retired=bool(retired))
    for uid, name in _PRIVATE.items():
        known[uid] = SopClass(uid, name, Kind.STORAGE, retired="(retired)" in name, private=True)
    return known


# Every SOP class of the edition, meta classes and known private ones included.
SOP_CLASSES: dict[str, SopClass] = _build()

# Every class whose instances an archive keeps, by name: current, retired, known private ones.
STORAGE: dict[str, SopClass] = {uid: sop for uid, sop in SOP_CLASSES.items() if sop.kind is Kind.STORAGE}

# UID construction, PS3.5 9.1; the length is checked apart.
_VALID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")


def is_storage(uid: str) -> bool:
    """Whether instances of this class are kept: by the table, else by rule for later and private ones."""
    known = SOP_CLASSES.get(uid)
    if known is not None:
        return known.kind is Kind.STORAGE
    if uid in _NOT_STORAGE or len(uid) > 64 or _VALID.fullmatch(uid) is None:
        return False
    if uid.startswith(STANDARD_ROOT):
        return uid.startswith(STORAGE_ROOT)
    return True


def name_of(uid: str) -> str:
    """The name of a SOP class, or the UID itself if unknown."""
    known = SOP_CLASSES.get(uid)
    return known.name if known is not None else uid
