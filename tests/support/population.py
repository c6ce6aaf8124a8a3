"""Whole populations of random data sets, as arrivals that went through the real extraction."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

from vesalius.model import datasets
from vesalius.model.attributes import BY_TAG, ColumnKind, extract
from vesalius.model.elements import Header
from vesalius.model.entities import Arrival, Member, Provenance, Values
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
UTF_8 = ("ISO_IR 192",)


def header(values: Values) -> Header:
    """The header of a data set with these values, Explicit VR Little Endian, text in UTF-8."""
    elements: dict[int, tuple[str, bytes]] = {}
    for tag, value in values.items():
        row = BY_TAG[tag]
        if row.kind is ColumnKind.SEQUENCE:
            inside = [datasets.encode(item, EXPLICIT_LE, UTF_8) for item in value if not isinstance(item, str)]
            raw = b"".join(b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item for item in inside)
        elif row.vr == "US":
            raw = b"".join(int(str(part)).to_bytes(2, "little") for part in value)
        else:
            raw = "\\".join(str(part) for part in value).encode()
        elements[tag] = (row.vr, raw)
    return Header.of(EXPLICIT_LE, elements, UTF_8)


def arrival(values: Values, *, pack: str = "pack-1", number: int = 0) -> Arrival:
    """One instance whose bytes lie somewhere, with a digest that follows from its values."""
    record = extract(header(values))
    return Arrival(
        record=record,
        member=Member(
            pack=pack,
            header_offset=number * 4096,
            offset=number * 4096 + 1024,
            length=2048,
            dataset_offset=number * 4096 + 1400,
            dataset_length=1600,
            sha256=hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest(),
        ),
        provenance=Provenance(how="c-store", calling_aet="TEST", received_at="2024-01-01T00:00:00.000000Z"),
        sop_class=str(record.instance["sop_class_uid"]),
        sop_instance=str(record.instance["sop_instance_uid"]),
        transfer_syntax=EXPLICIT_LE,
    )


NAMES = (
    "Doe^John", "DOE^JOHN^^^", "Doe", "Doe^Jane^Q", "Müller^Jörg", "Mueller^Jorg", "Smith^John", "Smyth^Jon",
    "O'Neil^Mary Ann", "Yamada^Tarou=山田^太郎=やまだ^たろう", "=山田^花子=やまだ^はなこ", "Wang^XiaoDong=王^小东",
    "Łukasiewicz^Jan", "50%_off^[a-z]", "Иванов^Иван", "",
)  # fmt: skip
TEXTS = ("HEAD", "head", "HEAD CT", "Thorax %_", "Thorax [1]", "Abdömen", "a\U0001f600b", "\uffff", "x" * 70, "")
DATES = ("20200101", "20200102", "20200131", "2020.02.01", "20201301", "19991231", "20240229", "")
TIMES = ("101500", "1015", "10", "235959.999999", "00:30:00", "2561", "103000.5", "")
ZONES = ("+0100", "-0500", "", "")
DATETIMES = ("20200101103000", "202001", "20200101233000-0500", "20200102003000.25+0100", "soon", "")
CODES = ("T-1", "T-2", "X*1", "")


def population(seed: int, studies: int) -> Iterator[Values]:
    """Random data sets that agree with each other on what is above them, in order of arrival."""
    rng = random.Random(seed)
    patients = [_patient(rng, number) for number in range(max(1, studies // 2))]
    for number in range(studies):
        study = {**rng.choice(patients), **_study(rng, number)}
        for series_number in range(rng.choice((1, 1, 2, 3))):
            series = {**study, **_series(rng, f"1.2.{number}.{series_number}")}
            for instance_number in range(rng.choice((1, 2, 3))):
                yield {**series, **_instance(rng, f"1.2.{number}.{series_number}.{instance_number}")}


def _names(rng: random.Random, *counts: int) -> tuple[str, ...]:
    return tuple(rng.sample(NAMES[:-1], rng.choice(counts)))


def _patient(rng: random.Random, number: int) -> Values:
    return {
        0x00100020: (f"P{number}" if number % 7 else "",),
        0x00100021: (rng.choice(("", "HOSP")),),
        0x00100010: (rng.choice(NAMES),),
        0x00100030: (rng.choice(DATES),),
        0x00100032: (rng.choice(TIMES),),
        0x00100040: (rng.choice(("M", "F", "O", "")),),
        0x00101000: tuple(rng.sample(("O1", "O2", "O*3", "Q"), rng.choice((0, 1, 2)))),
        0x00101001: _names(rng, 0, 1, 2),
    }


def _study(rng: random.Random, number: int) -> Values:
    codes: tuple[Values, ...] = tuple(
        {
            0x00080100: (rng.choice(CODES),),
            0x00080102: (rng.choice(("SRT", "DCM")),),
            0x00080104: (rng.choice(TEXTS),),
        }
        for _ in range(rng.choice((0, 0, 1, 2)))
    )
    return {
        0x0020000D: (f"1.2.{number}",),
        0x00080020: (rng.choice(DATES),),
        0x00080030: (rng.choice(TIMES),),
        0x00080201: (rng.choice(ZONES),),
        0x00080050: (rng.choice(("A1", "A2", "a1", "A*", f"B{number}", "")),),
        0x00200010: (rng.choice(("S1", "")),),
        0x00080090: (rng.choice(NAMES),),
        0x00081030: (rng.choice(TEXTS),),
        0x00081060: _names(rng, 0, 1, 3),
        0x00101030: (rng.choice(("70", "70.5", "7.05e1", "heavy", "")),),
        0x00081032: codes,
    }


def _series(rng: random.Random, uid: str) -> Values:
    requests: tuple[Values, ...] = tuple(
        {0x00401001: (rng.choice(("RP1", "RP2", "")),), 0x00400009: (rng.choice(("SPS1", "SPS2")),)}
        for _ in range(rng.choice((0, 1, 2)))
    )
    return {
        0x0020000E: (uid,),
        0x00080060: (rng.choice(("CT", "MR", "SR", "")),),
        0x00200011: (rng.choice(("1", "02", "x", "")),),
        0x0008103E: (rng.choice(TEXTS),),
        0x00081070: _names(rng, 0, 1, 2),
        0x00400244: (rng.choice(DATES),),
        0x00400245: (rng.choice(TIMES),),
        0x00400275: requests,
    }


def _instance(rng: random.Random, uid: str) -> Values:
    return {
        0x00080018: (uid,),
        0x00080016: (rng.choice((CT, MR)),),
        0x00200013: (rng.choice(("1", "2", "003", "")),),
        0x00080008: ("ORIGINAL", "PRIMARY", rng.choice(("AXIAL", "LOCALIZER", "A*B"))),
        0x0008002A: (rng.choice(DATETIMES),),
        0x00080023: (rng.choice(DATES),),
        0x00080033: (rng.choice(TIMES),),
        0x00280010: (rng.choice(("16", "512")),),
        0x00201041: (rng.choice(("1.5", "-3", "")),),
    }
