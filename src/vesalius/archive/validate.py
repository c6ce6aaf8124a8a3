"""What the sender claims against what the data set says.

Theory. A C-STORE request names a SOP Class and a SOP Instance beside the data set that repeats both
(PS3.7 9.1.1.1). The claim alone decides whether the transfer may begin: a UID that breaks the rules of
construction never reaches a file name, a class that is not storage never takes space. (Leading zeros in a UID,
which real devices emit, are harmless and pass.) The data set decides whether it may end: where it contradicts the
claim, or lacks what identifies it, it is refused and leaves no trace (PS3.4 B.2.3). Nothing else is a reason to
refuse: a nonsense value is kept as sent and noted, and no UID is ever invented.
"""

from __future__ import annotations

from vesalius.model.entities import Claim, Record
from vesalius.model.errors import ClassNotSupported, DataSetMismatch, InvalidInstanceUID
from vesalius.model.identifiers import is_tolerable_uid
from vesalius.standard.sop_classes import is_storage

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_INSTANCE_UID = 0x0020000D


def check_claim(claim: Claim, *, declared: bool = False) -> None:
    """Refuse what must not even begin. `declared`: the class was agreed on as a storage class that no table knows.

    Raises `InvalidInstanceUID` (PS3.5 9.1; status 0117) and `ClassNotSupported` (status 0122).
    """
    if not is_tolerable_uid(claim.sop_instance):
        raise InvalidInstanceUID(
            "the SOP Instance UID breaks the rules for UIDs",
            hint="digits in components between dots, 64 characters at most (PS3.5 9.1)",
            offending=(SOP_INSTANCE_UID,),
        )
    if not declared and not is_storage(claim.sop_class):
        raise ClassNotSupported("the SOP class is not a storage class", offending=(SOP_CLASS_UID,))


def check_record(claim: Claim, record: Record, study: str = "") -> None:
    """Refuse a data set that is not what was claimed, or, where `study` is given, of another study.

    Raises `DataSetMismatch` with the elements that differ (PS3.4 B.2.3: A900).
    """
    offending = []
    if record.instance["sop_class_uid"] != claim.sop_class:
        offending.append(SOP_CLASS_UID)
    if record.instance["sop_instance_uid"] != claim.sop_instance:
        offending.append(SOP_INSTANCE_UID)
    if offending:
        raise DataSetMismatch(
            "SOP class or instance of data set and request differ",
            hint="the sender must take both UIDs of the request from the data set",
            offending=offending,
        )
    if study and record.study["study_instance_uid"] != study:
        raise DataSetMismatch(
            "the instance belongs to another study than the one it was sent to",
            hint="send it to its own study, or to the service without naming a study",
            offending=(STUDY_INSTANCE_UID,),
        )
