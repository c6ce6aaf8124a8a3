"""Fill an index with synthetic studies or instances, straight through the index: no images, no packs.

`python -m benchmarks.fill_index DIR --studies 1000000` makes DIR/index.db as a hospital's of that many studies: names
of many families, Patient IDs in no order, accession numbers by day, 770 studies a week of which ten fall on the
weekend. The density is the same at every size, so that a question about one weekend or one family has as many
answers among a thousand studies as among a million.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import hashlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from vesalius.backends.database import open_database
from vesalius.backends.index_sql import SqlIndex
from vesalius.model.attributes import columns
from vesalius.model.entities import Arrival, Level, Member, PixelLayout, Provenance, Record, Scalar
from vesalius.model.names import fold_groups
from vesalius.model.phonetics import sounds
from vesalius.ports.index import in_batches

BATCH = 20_000  # large, so that the pages of indexes in no order are written few times
SAMPLES = 1000
PACK_MEMBERS = 50_000  # arrivals that share a pack
INSTANCES_A_SERIES = 100
SERIES_A_STUDY = 2
FIRST_DAY = datetime.date(2000, 1, 1)  # a Saturday
BY_WEEKDAY = (152, 152, 152, 152, 152, 5, 5)  # Monday first
WEEK = sum(BY_WEEKDAY)

GIVEN = [
    "John",
    "Mary",
    "Anna",
    "James",
    "Maria",
    "Peter",
    "Sofia",
    "Lucas",
    "Emma",
    "Noah",
    "Olivia",
    "Hugo",
    "Clara",
    "Felix",
    "Ida",
    "Oscar",
    "Alice",
    "Leo",
    "Nora",
    "Max",
    "Eva",
    "Paul",
    "Lena",
    "Tom",
    "Julia",
    "Karl",
    "Sara",
    "Erik",
    "Marta",
    "Ivan",
    "Jose",
    "Ana",
    "Luis",
    "Elena",
    "Marco",
    "Rosa",
    "Pablo",
    "Ines",
    "Juan",
    "Laura",
]
ONSET = [
    "B",
    "Br",
    "C",
    "D",
    "Dr",
    "F",
    "G",
    "H",
    "J",
    "K",
    "L",
    "M",
    "N",
    "P",
    "R",
    "S",
    "Sch",
    "St",
    "T",
    "V",
    "W",
    "Z",
]
NUCLEUS = ["a", "e", "i", "o", "u", "ei", "au", "oe"]
CODA = ["l", "n", "r", "s", "t", "ck", "ng", "mann", "berg", "son", "er", "ert", "ini", "ez"]

CT, EXPLICIT_LE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
STUDIES_OF = ("CHEST", "HEAD", "ABDOMEN", "KNEE LEFT", "SPINE LUMBAR", "PELVIS", "THORAX WITH CONTRAST")
EMPTY: dict[Level, dict[str, Scalar]] = {
    level: dict.fromkeys(column.name for column in columns(level, computed=False)) for level in Level
}
ORIGIN = Provenance("import", "FILL", "VESALIUS", "127.0.0.1", "fill", "2026-01-01T00:00:00.000000Z")


def scattered(number: int, bits: int = 30) -> int:
    """A number of its own for each number, in no order (an odd factor permutes the residues)."""
    return number * 0x9E3779B1 % (1 << bits)


def family(patient: int) -> str:
    """A name that a few patients share, with the first Doe among them."""
    number = patient // 3
    if number == 0:
        return "Doe"
    number = scattered(number, 22)
    parts = []
    for _ in range(2):
        for choice in (ONSET, NUCLEUS, CODA):
            number, place = divmod(number, len(choice))
            parts.append(choice[place].lower())
    return ("".join(parts) + NUCLEUS[number % len(NUCLEUS)]).capitalize()


@functools.lru_cache(maxsize=4096)
def _folded(part: str) -> tuple[str, tuple[str, ...]]:
    return fold_groups(part)[0], tuple(sounds(part))


def day_of(study: int) -> datetime.date:
    """The day of a study: the weekend first, because the first day is a Saturday."""
    weeks, place = divmod(study, WEEK)
    day = FIRST_DAY + datetime.timedelta(weeks=weeks)
    while place >= BY_WEEKDAY[day.weekday()]:
        place -= BY_WEEKDAY[day.weekday()]
        day += datetime.timedelta(days=1)
    return day


def patient_row(patient: int) -> dict[str, Scalar]:
    """Who: ID in no order, a name, a birth date, a sex."""
    surname, given = family(patient), GIVEN[patient * 7 % len(GIVEN)]
    (folded, codes), (folded_given, codes_given) = _folded(surname), _folded(given)
    birth = f"{1930 + patient * 13 % 80}{1 + patient * 5 % 12:02}{1 + patient * 11 % 28:02}"
    return EMPTY[Level.PATIENT] | {
        "patient_id": f"{scattered(patient):010}",
        "patient_name": f"{surname}^{given}",
        "patient_name_folded": f"{folded}^{folded_given}",
        "patient_name_sounds": f" {' '.join((*codes, *codes_given))} ",
        "patient_birth_date": birth,
        "patient_birth_date_norm": birth,
        "patient_sex": "MFO"[patient % 2],
    }


def study_row(study: int) -> dict[str, Scalar]:
    """What and when."""
    day = f"{day_of(study):%Y%m%d}"
    clock = f"{study % 24:02}{study % 60:02}{study % 59:02}"
    doctor = f"{family(3 + study % 200 * 3)}^{GIVEN[study % len(GIVEN)]}"
    return EMPTY[Level.STUDY] | {
        "study_instance_uid": f"1.2.840.113619.2.55.{scattered(study)}.{day}.{study}",
        "study_date": day,
        "study_date_norm": day,
        "study_time": clock,
        "study_time_norm": f"{clock}.000000",
        "accession_number": f"{day[2:]}{study % WEEK:04}",
        "study_id": str(study),
        "study_description": STUDIES_OF[study % len(STUDIES_OF)],
        "referring_physician_name": doctor,
        "referring_physician_name_folded": doctor.lower(),
    }


def series_row(study: dict[str, Scalar], series: int) -> dict[str, Scalar]:
    """One series."""
    return EMPTY[Level.SERIES] | {
        "series_instance_uid": f"{study['study_instance_uid']}.{series}",
        "modality": "CT",
        "series_number": series,
        "series_date": study["study_date"],
        "series_date_norm": study["study_date_norm"],
        "series_description": "AXIAL 5 MM",
        "manufacturer": "GE MEDICAL SYSTEMS",
        "body_part_examined": "CHEST",
    }


def instance_row(series: dict[str, Scalar], number: int) -> dict[str, Scalar]:
    """One slice."""
    return EMPTY[Level.IMAGE] | {
        "sop_instance_uid": f"{series['series_instance_uid']}.{number}",
        "sop_class_uid": CT,
        "available_transfer_syntax_uid": EXPLICIT_LE,
        "instance_number": number,
        "image_type": "ORIGINAL\\PRIMARY\\AXIAL",
        "content_date": series["series_date"],
        "content_date_norm": series["series_date_norm"],
        "image_position_patient": f"-125.5\\-125.5\\{number * 5}",
        "image_orientation_patient": "1\\0\\0\\0\\1\\0",
        "slice_thickness": 5.0,
        "rows": 512,
        "columns": 512,
        "bits_allocated": 16,
        "bits_stored": 12,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "pixel_spacing": "0.488281\\0.488281",
        "rescale_intercept": -1024.0,
        "rescale_slope": 1.0,
    }


def arrivals(studies: int, series: int = 1, instances: int = 1) -> Iterator[Arrival]:
    """So many studies in order of their days."""
    count = 0
    pixels = PixelLayout(0x7FE00010, 1800, 524_288, False)
    for study in range(studies):
        patient_of, study_of = patient_row(study * 5 // 8), study_row(study)
        for series_number in range(1, series + 1):
            series_of = series_row(study_of, series_number)
            for number in range(1, instances + 1):
                instance_of = instance_row(series_of, number)
                uid = str(instance_of["sop_instance_uid"])
                pack, place = divmod(count, PACK_MEMBERS)
                start = place * 528_384
                yield Arrival(
                    Record(patient_of, study_of, series_of, instance_of),
                    Member(
                        f"fill-{pack:06}",
                        start,
                        start + 1536,
                        526_400,
                        start + 1900,
                        526_036,
                        hashlib.sha256(uid.encode()).hexdigest(),
                    ),
                    ORIGIN,
                    CT,
                    uid,
                    EXPLICIT_LE,
                    pixels,
                )
                count += 1


def fill(data: Path | str, studies: int) -> dict[str, list[str]]:
    """Fill `data`/index.db (or a database URL) with studies of one instance; answers keys to ask for.

    The keys are values of `patient_id`, `accession_number`, `name_pattern` (a family and `*`) and `date_range` (a
    weekend): some hundred of each, spread over the whole.
    """
    _ingest(data, arrivals(studies), studies)
    step = max(1, studies // SAMPLES)
    chosen = range(0, studies, step)
    sample: dict[str, list[str]] = {
        "patient_id": [str(patient_row(study * 5 // 8)["patient_id"]) for study in chosen],
        "accession_number": [str(study_row(study)["accession_number"]) for study in chosen],
        "name_pattern": [f"{family(study * 5 // 8)}*" for study in chosen],
    }
    weeks = range(max(1, studies // WEEK))
    starts = (FIRST_DAY + datetime.timedelta(weeks=week) for week in weeks)
    sample["date_range"] = [f"{day:%Y%m%d}-{day + datetime.timedelta(days=1):%Y%m%d}" for day in starts]
    return sample


def fill_instances(data: Path | str, instances: int) -> None:
    """Fill with so many instances, rounded up to whole studies of two hundred."""
    a_study = SERIES_A_STUDY * INSTANCES_A_SERIES
    studies = -(-instances // a_study)
    _ingest(data, arrivals(studies, SERIES_A_STUDY, INSTANCES_A_SERIES), studies * a_study)


def _ingest(data: Path | str, source: Iterator[Arrival], total: int) -> None:
    url = data
    if isinstance(data, Path):
        data.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{data.absolute()}/index.db"
    index = SqlIndex(open_database(str(url)))
    started, done = time.perf_counter(), 0
    for batch in in_batches(source, BATCH):
        index.ingest(batch)
        done += len(batch)
        if sys.stderr.isatty():
            rate = done / (time.perf_counter() - started)
            sys.stderr.write(f"\r{done:,} of {total:,}, {rate:,.0f}/s ")
    index.optimise()
    index.close()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fill_index", description=__doc__)
    parser.add_argument("target", help="a data directory, or a database URL")
    parser.add_argument("--studies", type=int, default=0)
    parser.add_argument("--instances", type=int, default=0)
    args = parser.parse_args()
    target: Path | str = args.target if "://" in args.target else Path(args.target)
    started = time.perf_counter()
    if args.studies:
        sample = fill(target, args.studies)
        for key, values in sample.items():
            print(key, *values[:3], sep="\t")
    if args.instances:
        fill_instances(target, args.instances)
    print(f"{time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
