"""An examination as the scanner remembers it: on its disk, so that it is carried on after a power cut.

Theory. Each examination has a folder with its images and a record. The record is replaced whole (written beside,
synced, renamed) before the next thing is done that depends on it: the transaction of a commitment is noted before it is
asked for, its result before it is answered. So whatever was cut short is done again, and again is harmless.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vesalius.model.attributes_extract import items_from_json, items_to_json
from vesalius.model.entities import Claim, Values
from vesalius.model.file_meta import file_prefix
from vesalius.simulate.phantom import Made
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE

IN_PROGRESS, COMPLETED, DISCONTINUED = "IN PROGRESS", "COMPLETED", "DISCONTINUED"
_RECORD = "exam.json"


@dataclass(slots=True)
class Image:
    """One instance."""

    sop_class: str
    uid: str
    series: str
    pixels: int = 0  # bytes of pixel data, the last of its data set
    digest: str = ""  # SHA-256 of them
    lost: bool = False  # it is not on the disk any more, and was never sent
    stored: bool = False  # the archive acknowledged it
    reason: int | None = None  # of the last result: 0 is committed

    @property
    def committed(self) -> bool:
        """Whether the archive guarantees it."""
        return self.reason == 0


@dataclass(slots=True)
class Exam:
    """One examination. `told` is what the RIS acknowledged of it, `outcome` what is true."""

    number: str  # Performed Procedure Step ID
    item: Values
    folder: Path
    fault: str = ""
    started: str = ""
    ended: str = ""
    series_number: int = 1
    performed_uid: str = ""  # of the MPPS; "": there is none
    told: str = ""
    outcome: str = ""
    sent_end: bool = False
    refused: str = ""  # what the RIS said to MPPS, where it said no
    images: list[Image] = field(default_factory=list)
    transactions: list[str] = field(default_factory=list)
    asked: bool = False  # the last of them was acknowledged
    not_committing: str = ""  # why commitment was given up
    was_cut: bool = False
    deleted: bool = False

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return str(self.item[0x0020000D][0])

    @property
    def accession(self) -> str:
        """Accession Number, "" where there is none."""
        return next((str(text) for text in self.item.get(0x00080050, ())), "")

    @property
    def patient_id(self) -> str:
        """As the images say."""
        return next((str(text) for text in self.item.get(0x00100020, ())), "")

    @property
    def performed(self) -> bool:
        """Whether nothing is left to tell the RIS."""
        return bool(self.outcome) and (not self.performed_uid or bool(self.refused) or self.told == self.outcome)

    @property
    def sent(self) -> bool:
        """Whether nothing is left to send."""
        return bool(self.outcome) and all(image.stored or image.lost for image in self.images)

    @property
    def answered(self) -> bool:
        """Whether each image has the archive's word."""
        return bool(self.not_committing) or all(image.reason is not None for image in self.images)

    def place(self, image: Image) -> Path:
        """Where its file is."""
        return self.folder / f"{self.images.index(image) + 1:04}.dcm"

    def keep(self, made: Made, aet: str) -> Image:
        """Write an image as a DICOM file (PS3.10)."""
        image = Image(made.sop_class, made.sop_instance, made.series, made.pixels, made.digest)
        self.images.append(image)
        claim = Claim(made.sop_class, made.sop_instance, EXPLICIT_LE)
        _write(self.place(image), file_prefix(claim, aet) + made.data)
        return image

    def data(self, image: Image, aet: str) -> bytes | None:
        """The data set of an image; None where its file is gone."""
        try:
            raw = self.place(image).read_bytes()
        except FileNotFoundError:
            return None
        return raw[len(file_prefix(Claim(image.sop_class, image.uid, EXPLICIT_LE), aet)) :]

    def lose(self, image: Image) -> None:
        """The file goes before it was sent."""
        image.lost = True
        self.place(image).unlink(missing_ok=True)

    def delete(self) -> None:
        """Free the disk: the archive has guaranteed every image."""
        for image in self.images:
            self.place(image).unlink(missing_ok=True)
        self.deleted = True
        self.save()

    def save(self) -> None:
        """Note how it stands."""
        record = {**asdict(self), "item": items_to_json([self.item]), "folder": ""}
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(self.folder / _RECORD, json.dumps(record, ensure_ascii=False).encode())


def _write(path: Path, data: bytes) -> None:
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def load(folder: Path) -> Iterator[Exam]:
    """Every examination that a scanner remembers, in order. One whose record was never whole was never begun."""
    for place in sorted(folder.glob(f"*/{_RECORD}")):
        record: dict[str, Any] = json.loads(place.read_bytes())
        record |= {
            "item": items_from_json(record["item"])[0],
            "folder": place.parent,
            "images": [Image(**image) for image in record["images"]],
        }
        yield Exam(**record)


def forget(exam: Exam) -> None:
    """Remove what is left of an examination."""
    shutil.rmtree(exam.folder, ignore_errors=True)
