"""The rows of THE table: which attributes the index keeps, at which level, and as what.

Nothing here decides anything: `attributes.py` derives the columns, the schema, the keys of C-FIND and the
documentation from these rows, and `attributes_extract.py` fills them from a data set. One row, one line.

A key type of UNIQUE or REQUIRED is PS3.4 C.6.1.1 and C.6.2.1 (tables C.6-1 to C.6-5); every other row is
OPTIONAL. A VR, and whether an attribute may hold several values, are those of PS3.6 (a test compares them).
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from vesalius.model.entities import Level


class KeyType(enum.Enum):
    """How the information models name a key (PS3.4 C.2.2.1)."""

    UNIQUE = "U"
    REQUIRED = "R"
    OPTIONAL = "O"


class ColumnKind(enum.Enum):
    """How a value is kept and matched."""

    TEXT = "text"  # as sent, padding removed; case is significant
    NAME = "name"  # person name(s) as sent, with folded and phonetic companions
    UID = "uid"
    DATE = "date"  # as sent, with a normalized companion YYYYMMDD
    TIME = "time"  # as sent, with a normalized companion HHMMSS.FFFFFF
    DATETIME = "datetime"  # as sent, with a normalized companion YYYYMMDDHHMMSS.FFFFFF (UTC when an offset is known)
    INTEGER = "integer"  # a number; None where what was sent is no number
    DECIMAL = "decimal"  # a number; None where what was sent is no finite number
    MULTI = "multi"  # several values joined by a backslash
    SEQUENCE = "sequence"  # items as JSON; what can be matched inside also lies in the nested table


class Merge(enum.Enum):
    """What becomes of a value when a further instance of the same patient, study or series says another."""

    IDENTITY = "identity"  # part of the row's identity: another value is another row
    FILL = "fill"  # the first value stays; an empty one is filled by the first instance that has one
    OWN = "own"  # one row per instance: nothing to merge
    UNION = "union"  # computed: the set of the values below
    COUNT = "count"  # computed: a number of rows below


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of the table."""

    tag: int
    keyword: str
    vr: str
    level: Level
    key: KeyType
    kind: ColumnKind
    column: str
    merge: Merge
    phi: bool  # must never reach a log
    multi: bool  # VM above 1
    indexed: bool  # a search by this alone must be fast at a million studies
    computed: bool  # never read from a data set

    @property
    def name_of_tag(self) -> str:
        """`(gggg,eeee)`."""
        return f"({self.tag >> 16:04X},{self.tag & 0xFFFF:04X})"


_KINDS = {
    "PN": ColumnKind.NAME,
    "UI": ColumnKind.UID,
    "DA": ColumnKind.DATE,
    "TM": ColumnKind.TIME,
    "DT": ColumnKind.DATETIME,
    "SQ": ColumnKind.SEQUENCE,
    **dict.fromkeys(("IS", "US", "UL", "SS", "SL", "UV", "SV"), ColumnKind.INTEGER),
    **dict.fromkeys(("DS", "FL", "FD"), ColumnKind.DECIMAL),
}


def column_name(keyword: str) -> str:
    """`StudyInstanceUID` -> `study_instance_uid`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", keyword.replace("IDs", "Ids")).lower()


def _rows(level: Level, text: str) -> tuple[Attribute, ...]:
    """Read rows `GGGGEEEE Keyword VR flags`: U R (key), n (several values), x (indexed), p (PHI), c (computed)."""
    rows = []
    for line in text.strip().splitlines():
        tag, keyword, vr, *rest = line.split()
        flags = rest[0] if rest else ""
        multi, computed = "n" in flags, "c" in flags
        kind = _KINDS.get(vr, ColumnKind.TEXT)
        if multi and kind is not ColumnKind.NAME:
            kind = ColumnKind.MULTI
        if computed:
            merge = Merge.UNION if multi else Merge.COUNT
        elif "U" in flags:
            merge = Merge.IDENTITY
        else:
            merge = Merge.OWN if level is Level.IMAGE else Merge.FILL
        key = KeyType.UNIQUE if "U" in flags else KeyType.REQUIRED if "R" in flags else KeyType.OPTIONAL
        rows.append(
            Attribute(
                tag=int(tag, 16),
                keyword=keyword,
                vr=vr,
                level=level,
                key=key,
                kind=kind,
                column=column_name(keyword),
                merge=merge,
                phi="p" in flags,
                multi=multi,
                indexed="x" in flags,
                computed=computed,
            )
        )
    return tuple(rows)


PATIENT = _rows(
    Level.PATIENT,
    """
    00100020 PatientID                              LO Uxp
    00100021 IssuerOfPatientID                      LO p
    00100010 PatientName                            PN Rxp
    00100022 TypeOfPatientID                        CS
    00100030 PatientBirthDate                       DA Rxp
    00100032 PatientBirthTime                       TM p
    00100040 PatientSex                             CS R
    00101000 OtherPatientIDs                        LO np
    00101001 OtherPatientNames                      PN np
    00101002 OtherPatientIDsSequence                SQ p
    00101005 PatientBirthName                       PN p
    00101060 PatientMotherBirthName                 PN p
    00102160 EthnicGroup                            SH p
    00104000 PatientComments                        LT p
    00102201 PatientSpeciesDescription              LO
    00102292 PatientBreedDescription                LO
    00102297 ResponsiblePerson                      PN p
    00102299 ResponsibleOrganization                LO p
    00120062 PatientIdentityRemoved                 CS
    00201200 NumberOfPatientRelatedStudies          IS c
    00201202 NumberOfPatientRelatedSeries           IS c
    00201204 NumberOfPatientRelatedInstances        IS c
    """,
)

STUDY = _rows(
    Level.STUDY,
    """
    0020000D StudyInstanceUID                       UI Ux
    00080020 StudyDate                              DA Rx
    00080030 StudyTime                              TM R
    00080050 AccessionNumber                        SH Rxp
    00200010 StudyID                                SH Rxp
    00080051 IssuerOfAccessionNumberSequence        SQ
    00080090 ReferringPhysicianName                 PN xp
    0008009C ConsultingPhysicianName                PN np
    00081030 StudyDescription                       LO p
    00081032 ProcedureCodeSequence                  SQ
    00081048 PhysiciansOfRecord                     PN np
    00081060 NameOfPhysiciansReadingStudy           PN np
    00081080 AdmittingDiagnosesDescription          LO np
    00081084 AdmittingDiagnosesCodeSequence         SQ
    00081110 ReferencedStudySequence                SQ
    00101010 PatientAge                             AS p
    00101020 PatientSize                            DS p
    00101030 PatientWeight                          DS p
    00102180 Occupation                             SH p
    001021B0 AdditionalPatientHistory               LT p
    001021A0 SmokingStatus                          CS p
    001021C0 PregnancyStatus                        US p
    00102000 MedicalAlerts                          LO np
    00102110 Allergies                              LO np
    00380010 AdmissionID                            LO p
    00321060 RequestedProcedureDescription          LO p
    00321064 RequestedProcedureCodeSequence         SQ
    00321032 RequestingPhysician                    PN p
    00321033 RequestingService                      LO
    00401012 ReasonForPerformedProcedureCodeSequence SQ
    00120020 ClinicalTrialProtocolID                LO
    00120040 ClinicalTrialSubjectID                 LO p
    00080201 TimezoneOffsetFromUTC                  SH
    00080061 ModalitiesInStudy                      CS nc
    00080062 SOPClassesInStudy                      UI nc
    00201206 NumberOfStudyRelatedSeries             IS c
    00201208 NumberOfStudyRelatedInstances          IS c
    """,
)

SERIES = _rows(
    Level.SERIES,
    """
    0020000E SeriesInstanceUID                      UI Ux
    00080060 Modality                               CS Rx
    00200011 SeriesNumber                           IS R
    00080021 SeriesDate                             DA x
    00080031 SeriesTime                             TM
    0008103E SeriesDescription                      LO p
    0008103F SeriesDescriptionCodeSequence          SQ
    00080068 PresentationIntentType                 CS
    00080070 Manufacturer                           LO
    00080080 InstitutionName                        LO p
    00080082 InstitutionCodeSequence                SQ
    00081010 StationName                            SH p
    00081040 InstitutionalDepartmentName            LO p
    00081050 PerformingPhysicianName                PN np
    00081070 OperatorsName                          PN np
    00081090 ManufacturerModelName                  LO
    00181000 DeviceSerialNumber                     LO p
    00181020 SoftwareVersions                       LO n
    00081111 ReferencedPerformedProcedureStepSequence SQ
    00180015 BodyPartExamined                       CS
    00180010 ContrastBolusAgent                     LO
    00181030 ProtocolName                           LO p
    00185100 PatientPosition                        CS
    00082218 AnatomicRegionSequence                 SQ
    00200060 Laterality                             CS
    00200052 FrameOfReferenceUID                    UI
    00201040 PositionReferenceIndicator             LO
    00400244 PerformedProcedureStepStartDate        DA x
    00400245 PerformedProcedureStepStartTime        TM
    00400250 PerformedProcedureStepEndDate          DA
    00400251 PerformedProcedureStepEndTime          TM
    00400253 PerformedProcedureStepID               SH
    00400254 PerformedProcedureStepDescription      LO p
    00400260 PerformedProtocolCodeSequence          SQ
    00400275 RequestAttributesSequence              SQ
    00201209 NumberOfSeriesRelatedInstances         IS c
    """,
)

IMAGE = _rows(
    Level.IMAGE,
    """
    00080018 SOPInstanceUID                         UI Ux
    00080016 SOPClassUID                            UI
    00200013 InstanceNumber                         IS R
    00083002 AvailableTransferSyntaxUID             UI
    00080005 SpecificCharacterSet                   CS n
    00080008 ImageType                              CS n
    00080012 InstanceCreationDate                   DA
    00080013 InstanceCreationTime                   TM
    00080022 AcquisitionDate                        DA
    00080023 ContentDate                            DA
    0008002A AcquisitionDateTime                    DT
    00080032 AcquisitionTime                        TM
    00080033 ContentTime                            TM
    00081115 ReferencedSeriesSequence               SQ
    00180050 SliceThickness                         DS
    00180060 KVP                                    DS
    00180088 SpacingBetweenSlices                   DS
    00181151 XRayTubeCurrent                        IS
    00181152 Exposure                               IS
    00181164 ImagerPixelSpacing                     DS n
    00185101 ViewPosition                           CS
    00189074 FrameAcquisitionDateTime               DT
    00200012 AcquisitionNumber                      IS
    00200032 ImagePositionPatient                   DS n
    00200037 ImageOrientationPatient                DS n
    00200062 ImageLaterality                        CS
    00200100 TemporalPositionIdentifier             IS
    00201041 SliceLocation                          DS
    00204000 ImageComments                          LT p
    00280002 SamplesPerPixel                        US
    00280004 PhotometricInterpretation              CS
    00280006 PlanarConfiguration                    US
    00280008 NumberOfFrames                         IS
    00280010 Rows                                   US
    00280011 Columns                                US
    00280030 PixelSpacing                           DS n
    00280034 PixelAspectRatio                       IS n
    00280100 BitsAllocated                          US
    00280101 BitsStored                             US
    00280102 HighBit                                US
    00280103 PixelRepresentation                    US
    00280301 BurnedInAnnotation                     CS
    00281050 WindowCenter                           DS n
    00281051 WindowWidth                            DS n
    00281052 RescaleIntercept                       DS
    00281053 RescaleSlope                           DS
    00281054 RescaleType                            LO
    00282110 LossyImageCompression                  CS
    0040A032 ObservationDateTime                    DT
    0040A043 ConceptNameCodeSequence                SQ
    0040A370 ReferencedRequestSequence              SQ
    0040A491 CompletionFlag                         CS
    0040A493 VerificationFlag                       CS
    0040A504 ContentTemplateSequence                SQ
    00420010 DocumentTitle                          ST p
    00420012 MIMETypeOfEncapsulatedDocument         LO
    00700080 ContentLabel                           CS
    00700081 ContentDescription                     LO p
    00700082 PresentationCreationDate               DA
    00700083 PresentationCreationTime               TM
    00700084 ContentCreatorName                     PN p
    """,
)

ATTRIBUTES: tuple[Attribute, ...] = PATIENT + STUDY + SERIES + IMAGE

_CODE = (0x00080100, 0x00080102, 0x00080103, 0x00080104)  # value, designator, version, meaning
_REFERENCE = (0x00081150, 0x00081155)  # referenced SOP class, instance

# What is kept, matched and answered inside a sequence. A tag that is itself a key here is kept as a nested
# sequence, which is matched by looking at the candidates again (PS3.4 C.2.2.2.6).
SEQUENCES: dict[int, tuple[int, ...]] = {
    0x00080051: (0x00400031, 0x00400032, 0x00400033),
    0x00081032: _CODE,
    0x0008103F: _CODE,
    0x00080082: _CODE,
    0x00081084: _CODE,
    0x00081110: _REFERENCE,
    0x00081111: _REFERENCE,
    0x00081115: (0x0020000E,),
    0x00082218: _CODE,
    0x00101002: (0x00100020, 0x00100021, 0x00100022),
    0x00321064: _CODE,
    0x00401012: _CODE,
    0x00400260: _CODE,
    0x00400275: (
        0x0020000D,  # Study Instance UID
        0x00080050,  # Accession Number
        0x00401001,  # Requested Procedure ID
        0x00400009,  # Scheduled Procedure Step ID
        0x00321060,  # Requested Procedure Description
        0x00400007,  # Scheduled Procedure Step Description
        0x00401002,  # Reason for the Requested Procedure
        0x00321064,  # Requested Procedure Code Sequence
        0x00400008,  # Scheduled Protocol Code Sequence
    ),
    0x00400008: _CODE,
    0x0040A043: _CODE,
    0x0040A370: (0x0020000D, 0x00080050, 0x00401001, 0x00402016, 0x00402017, 0x00321060, 0x00321064),
    0x0040A504: (0x00080105, 0x0040DB00),
}

# A date and the time that belongs to it: combined date-time matching (PS3.4 C.2.2.2.5.3).
DATE_TIME_PAIRS: dict[int, int] = {
    0x00080012: 0x00080013,
    0x00080020: 0x00080030,
    0x00080021: 0x00080031,
    0x00080022: 0x00080032,
    0x00080023: 0x00080033,
    0x00400244: 0x00400245,
    0x00400250: 0x00400251,
    0x00700082: 0x00700083,
}

# VRs of what is kept inside sequences (PS3.6) and is no row above.
NESTED_VR: dict[int, str] = {
    0x00080100: "SH",
    0x00080102: "SH",
    0x00080103: "SH",
    0x00080104: "LO",
    0x00080105: "CS",
    0x00081150: "UI",
    0x00081155: "UI",
    0x00321060: "LO",
    0x00400007: "LO",
    0x00400008: "SQ",
    0x00400009: "SH",
    0x00400031: "UT",
    0x00400032: "UT",
    0x00400033: "CS",
    0x00401001: "SH",
    0x00401002: "LO",
    0x00402016: "LO",
    0x00402017: "LO",
    0x0040DB00: "CS",
    **{row.tag: row.vr for row in ATTRIBUTES},
}
